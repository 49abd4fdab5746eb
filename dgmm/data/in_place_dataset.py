"""Rows that are read where they lie, of a source whose results go back as its own do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dgmm.data.forwarding_dataset import ForwardingDataset, StoredRows
from dgmm.data.sources.row_source import RowSource
from dgmm.data.stored_dataset import StoredDataset

#: Key of the fingerprint of columns that go to results, and to no computation.
CARRIED = "carried_columns_sha256"


@dataclass(frozen=True, slots=True)
class InPlaceDataset(StoredRows, ForwardingDataset):
    """A plain array that a source found, such as AnnData's `obsm/X_pca` in Zarr; picklable.

    Nothing has to be prepared: the engine reads `rows`. Deliveries ask `source`, as they do that of
    a `SourceDataset`.

    Parameters
    ----------
    rows : StoredDataset
        The array.
    source : RowSource
        The same rows in the same order, with the columns that results carry along.
    carried_digest : str, optional
        Of the stored arrays of those columns, as they were when it was opened.
    """

    rows: StoredDataset
    source: RowSource
    carried_digest: str | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The source's."""
        return self.source.description.feature_names

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of the array and of the source."""
        return (*self.rows.warnings, *self.source.description.warnings)

    def fingerprint(self) -> dict[str, Any]:
        """The array's, and what identifies the columns that results carry along.

        Under a key of its own: runs that were begun before it was recorded go on without.
        """
        own = {} if self.carried_digest is None else {CARRIED: self.carried_digest}
        return self.rows.fingerprint() | own

    def check_unchanged(self) -> None:
        """Ask the array and the source.

        Raises
        ------
        DataError
            If one of them has changed.
        """
        self.rows.check_unchanged()
        self.source.check_unchanged()
