"""Whether the ids of cells are unique: an error where the job names them, else a warning."""

from __future__ import annotations

from dataclasses import replace

from dgmm.data.data_source import DataSource
from dgmm.data.sources.anndata.obs_columns import OBS_NAMES
from dgmm.data.sources.array_source import ArraySource
from dgmm.data.sources.tables.arrow_columns import is_installed
from dgmm.data.sources.tables.duplicate_ids import MOST_ROWS, UNIQUE, repeated_id
from dgmm.errors import DataError


def with_checked_ids(source: DataSource, opened: ArraySource) -> ArraySource:
    """The rows, with a warning where names of obs repeat that the job has not asked for.

    Files of single cells often have such names; nothing is compared of more than `MOST_ROWS` rows.

    Raises
    ------
    DataError
        If an id of `data.id` is there twice.
    """
    if not is_installed() or opened.ranges.n_rows > MOST_ROWS:
        return opened
    ids = source.ids or (OBS_NAMES,)
    carried = tuple(column for column in opened.carried if column.name in ids)
    found = repeated_id(replace(opened, carried=carried), ids)
    if found is None:
        return opened
    if source.ids:
        raise DataError(f"data.id: {found}. {UNIQUE}")
    warning = (
        f"{found}: results cannot be joined by these names, only by the order of rows. Name unique "
        "columns of obs in data.id, or write the file after adata.obs_names_make_unique()"
    )
    described = opened.description
    return replace(opened, description=replace(described, warnings=(*described.warnings, warning)))
