"""What the other packages need of a data set: rows, features, names, and blocks read in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from dgmm.data.fill_value import FillValue
from dgmm.data.row_block import RowBlock
from dgmm.data.valid_range import ValidRange
from dgmm.reduction.blocks import BlockGrid, BlockRange


class Dataset(Protocol):
    """Rows that can be read block by block; picklable, so that tasks carry it to workers."""

    @property
    def n_samples(self) -> int:
        """Rows, dropped ones included."""

    @property
    def n_features(self) -> int:
        """Columns."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a value as stored, in native byte order."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name per column; `x0`, `x1`, … where the data give none."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The array's own attributes (`sample_dims`, `sample_shape`, …)."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know of how the rows are stored."""

    @property
    def fill_value(self) -> FillValue | None:
        """What stands where nothing was written, unless that is NaN; None where nothing does."""

    @property
    def valid_range(self) -> ValidRange | None:
        """Outside of which values stand for missing ones; None where no attribute gives a bound."""

    @property
    def grid(self) -> BlockGrid:
        """How the rows are cut into blocks."""

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield the blocks of a range in order, decoding each chunk once."""

    def locate(self, row: int) -> str:
        """Where a row lies, in words a user can act on (`chunk c/3/0, row 12`)."""

    def fingerprint(self) -> dict[str, Any]:
        """What identifies the data: shape, dtype; for stored data metadata and chunk listing."""

    def check_unchanged(self) -> None:
        """Raise a DataError if stored rows have changed since they were opened."""
