"""Arrays of a group, those that look like rows × features first."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dgmm.data.feature_names import safe_text
from dgmm.data.inspection.suggestion import columns_of_text
from dgmm.data.sources.stored_arrays import Hierarchy, StoredArray, array_names
from dgmm.errors import DgmmError

#: Names of what lies beside the rows: coordinates, masks, weights.
_BESIDE = re.compile(
    r"(^|[/_.])(mask|lat|latitude|lon|longitude|time|index|indices|indptr|bounds|bnds|weights?"
    r"|codes|categories)s?$",
    re.IGNORECASE,
)
#: Rows are so many times the features in most tables.
_TALL = 4
_MOST_SHOWN = 60


def plausible_arrays(
    arrays: Hierarchy | Mapping[str, StoredArray], groups: tuple[str, ...] = ()
) -> dict[str, StoredArray]:
    """Arrays by path, the most plausible first; those that cannot be opened are left out.

    Parameters
    ----------
    arrays
        A hierarchy, or its arrays.
    groups : tuple of str
        Groups that are looked into, in order of plausibility; all where empty.
    """
    found: dict[str, StoredArray] = {}
    names = arrays if isinstance(arrays, Mapping) else array_names(arrays)
    for name in names:
        if groups and name.split("/")[0] not in groups:
            continue
        try:
            array = arrays[name] if isinstance(arrays, Mapping) else arrays.array(name)
        except DgmmError:
            continue
        if array is not None:
            found[name] = array
    return dict(sorted(found.items(), key=lambda item: _rank(item[0], item[1], groups)))


def _rank(name: str, array: StoredArray, groups: tuple[str, ...]) -> tuple[object, ...]:
    """Smaller is more plausible: tables of floats with many more rows than columns."""
    shape = array.shape
    is_table = len(shape) == 2 and array.dtype.kind in "fiu" and not array.is_text
    is_tall = is_table and has_many_rows(array)
    group = groups.index(name.split("/", maxsplit=1)[0]) if groups else 0
    n_rows = shape[0] if shape else 0
    return (
        not is_table,
        group,
        _BESIDE.search(name) is not None,
        not is_tall,
        array.dtype.kind != "f",
        -n_rows,
        name,
    )


def has_many_rows(array: StoredArray) -> bool:
    """Whether a table has several times as many rows as columns; fields mostly have not."""
    return array.shape[0] >= _TALL * array.shape[1]


def array_lines(arrays: Mapping[str, StoredArray]) -> list[str]:
    """A line for each array: name, shape, type, chunks."""
    rows = [
        (
            safe_text(name),
            str(array.shape),
            "text" if array.is_text else str(array.dtype),
            f"chunks {array.chunks}" if array.chunks else "",
        )
        for name, array in list(arrays.items())[:_MOST_SHOWN]
    ]
    more = [f"and {len(arrays) - _MOST_SHOWN:,} more"] if len(arrays) > _MOST_SHOWN else []
    return [*(columns_of_text(rows) if rows else []), *more]
