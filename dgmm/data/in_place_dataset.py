"""Rows that are read where they lie, of a source whose results go back as its own do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from dgmm.data.fill_value import FillValue
from dgmm.data.row_block import RowBlock
from dgmm.data.sources.row_source import RowSource
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.valid_range import ValidRange
from dgmm.reduction.blocks import BlockGrid, BlockRange

#: Key of the fingerprint of columns that go to results, and to no computation.
CARRIED = "carried_columns_sha256"


@dataclass(frozen=True, slots=True)
class InPlaceDataset:
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
    def n_samples(self) -> int:
        """Rows."""
        return self.rows.n_samples

    @property
    def n_features(self) -> int:
        """Columns."""
        return self.rows.n_features

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a value as stored, in native byte order."""
        return self.rows.dtype

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The source's."""
        return self.source.description.feature_names

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The array's own."""
        return self.rows.attributes

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of the array and of the source."""
        return (*self.rows.warnings, *self.source.description.warnings)

    @property
    def fill_value(self) -> FillValue | None:
        """The array's."""
        return self.rows.fill_value

    @property
    def valid_range(self) -> ValidRange | None:
        """The array's."""
        return self.rows.valid_range

    @property
    def grid(self) -> BlockGrid:
        """How the rows are cut into blocks."""
        return self.rows.grid

    @property
    def zarr_format(self) -> Literal[2, 3]:
        """The array's."""
        return self.rows.zarr_format

    @property
    def read_bytes(self) -> int:
        """Bytes that one read of the array decodes."""
        return self.rows.read_bytes

    def with_cache(self, n_bytes: int) -> Self:
        """The same rows; each process that reads them may cache so many bytes of them."""
        return replace(self, rows=self.rows.with_cache(n_bytes))

    def with_retries(self, seconds: float) -> Self:
        """The same rows; reads that fail transiently are tried again for so long."""
        return replace(self, rows=self.rows.with_retries(seconds))

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield the blocks of a range in order, decoding each chunk once."""
        return self.rows.read_blocks(blocks)

    def locate(self, row: int) -> str:
        """The chunk that holds a row."""
        return self.rows.locate(row)

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
