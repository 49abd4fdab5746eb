"""A data set made of another one: it answers as that does, but for what its class changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, cast

import numpy as np

from dgmm.data.dataset import Dataset
from dgmm.data.fill_value import FillValue
from dgmm.data.row_block import RowBlock, cut_again
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.valid_range import ValidRange
from dgmm.reduction.blocks import BlockGrid, BlockRange


@dataclass(frozen=True, slots=True)
class ForwardingDataset:
    """Answers as `rows` does.

    Attributes
    ----------
    rows : Dataset
        The other data set.
    """

    rows: Dataset

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
        """Type of a value, in native byte order."""
        return self.rows.dtype

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One per column."""
        return self.rows.feature_names

    @property
    def attributes(self) -> Mapping[str, Any]:
        """As stored."""
        return self.rows.attributes

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know of how the rows are stored."""
        return self.rows.warnings

    @property
    def fill_value(self) -> FillValue | None:
        """As stored."""
        return self.rows.fill_value

    @property
    def valid_range(self) -> ValidRange | None:
        """As stored."""
        return self.rows.valid_range

    @property
    def grid(self) -> BlockGrid:
        """How the rows are cut into blocks."""
        return self.rows.grid

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield the blocks of a range in order."""
        return self.rows.read_blocks(blocks)

    def locate(self, row: int) -> str:
        """Where a row is stored."""
        return self.rows.locate(row)

    def fingerprint(self) -> dict[str, Any]:
        """Of what is stored."""
        return self.rows.fingerprint()

    def check_unchanged(self) -> None:
        """Ask what is stored."""
        self.rows.check_unchanged()


class StoredRows:
    """What a `ForwardingDataset` has beside that where its rows are stored."""

    __slots__ = ()

    rows: StoredDataset

    @property
    def zarr_format(self) -> Literal[2, 3]:
        """As stored."""
        return self.rows.zarr_format

    @property
    def read_bytes(self) -> int:
        """As stored."""
        return self.rows.read_bytes

    def with_cache(self, n_bytes: int) -> Self:
        """The same rows; as stored they are cached."""
        return self._of(self.rows.with_cache(n_bytes))

    def with_retries(self, seconds: float) -> Self:
        """The same rows, read with retries."""
        return self._of(self.rows.with_retries(seconds))

    def _of(self, rows: StoredDataset) -> Self:
        return cast("Self", replace(cast("Any", self), rows=rows))


def read_in_grid(rows: Dataset, grid: BlockGrid, blocks: BlockRange) -> Iterator[RowBlock]:
    """Yield blocks of another grid of the same rows, such as that of fewer columns."""
    start, stop = grid.rows_of_range(blocks)
    found = rows.read_blocks(rows.grid.range_of_rows(start, stop))
    return cut_again(found, grid, blocks)
