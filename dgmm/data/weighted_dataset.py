"""Rows with weights that lie beside them: in an array of their own, in any chunking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from dgmm.data.dataset import Dataset
from dgmm.data.fill_value import FillValue
from dgmm.data.row_block import RowBlock, cut_again
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.valid_range import ValidRange
from dgmm.data.weight_kind import WeightKind
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockGrid, BlockRange


@dataclass(frozen=True, slots=True)
class WeightedDataset:
    """A data set, and a weight for each of its rows; made by `weighted`.

    Attributes
    ----------
    source : Dataset
        The rows.
    weights : Dataset
        Of one feature: the rows' weights as they are given.
    kind : {"counts", "importance"}
        What they mean.
    unit : float
        What weights are divided by; 1 until they have been measured.
    total : float
        Their sum, so divided, over all rows; NaN until they have been measured.
    """

    source: Dataset
    weights: Dataset
    kind: WeightKind
    unit: float = 1.0
    total: float = float("nan")

    @staticmethod
    def check_sizes(dataset: Dataset, weights: Dataset) -> None:
        """Refuse other than one weight per row.

        Raises
        ------
        DataError
            With both numbers.
        """
        n_weights, n_samples = weights.n_samples, dataset.n_samples
        if n_weights != n_samples:
            raise DataError(
                f"there are {n_weights:,} weights for {n_samples:,} rows; expected one per row. "
                "Write a weight for each row, 0 for those to be left out"
            )

    @property
    def n_samples(self) -> int:
        """Rows."""
        return self.source.n_samples

    @property
    def n_features(self) -> int:
        """Columns."""
        return self.source.n_features

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a value, in native byte order."""
        return self.source.dtype

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Of the rows."""
        return self.source.feature_names

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Of the rows."""
        return self.source.attributes

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of the rows, and of the weights."""
        return (*self.source.warnings, *self.weights.warnings)

    @property
    def fill_value(self) -> FillValue | None:
        """Of the rows."""
        return self.source.fill_value

    @property
    def valid_range(self) -> ValidRange | None:
        """Of the rows."""
        return self.source.valid_range

    @property
    def grid(self) -> BlockGrid:
        """How the rows are cut into blocks."""
        return self.source.grid

    def in_units_of(self, unit: float, total: float = float("nan")) -> Self:
        """The same rows with their weights divided by a number, which then have that sum."""
        return replace(self, unit=unit, total=total)

    def read_weights(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield the weights of the rows of a range of blocks, as values (b, 1) in given units."""
        start, stop = self.grid.rows_of_range(blocks)
        found = self.weights.read_blocks(self.weights.grid.range_of_rows(start, stop))
        return cut_again(found, self.grid, blocks)

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield blocks with their weights."""
        pairs = zip(self.source.read_blocks(blocks), self.read_weights(blocks), strict=True)
        for rows, own in pairs:
            yield replace(rows, weights=own.values[:, 0].astype(np.float64) / self.unit)

    def locate(self, row: int) -> str:
        """Where a row lies."""
        return self.source.locate(row)

    def fingerprint(self) -> dict[str, Any]:
        """Of the rows and of the weights."""
        own = {"weights": {"kind": self.kind} | self.weights.fingerprint()}
        return self.source.fingerprint() | own

    def check_unchanged(self) -> None:
        """Ask both.

        Raises
        ------
        DataError
            If rows or weights changed.
        """
        self.source.check_unchanged()
        self.weights.check_unchanged()


@dataclass(frozen=True, slots=True)
class WeightedStoredDataset(WeightedDataset):
    """Stored rows and their stored weights."""

    source: StoredDataset
    weights: StoredDataset

    @property
    def zarr_format(self) -> Literal[2, 3]:
        """Of the rows."""
        return self.source.zarr_format

    @property
    def read_bytes(self) -> int:
        """Of the rows and of the weights."""
        return self.source.read_bytes + self.weights.read_bytes

    def with_cache(self, n_bytes: int) -> Self:
        """Rows and weights, cached within one budget: it is that of the process."""
        rows, weights = self.source.with_cache(n_bytes), self.weights.with_cache(n_bytes)
        return replace(self, source=rows, weights=weights)

    def with_retries(self, seconds: float) -> Self:
        """Rows and weights, read with retries."""
        rows, weights = self.source.with_retries(seconds), self.weights.with_retries(seconds)
        return replace(self, source=rows, weights=weights)


def weighted(dataset: Dataset, weights: Dataset, kind: WeightKind) -> WeightedDataset:
    """A data set with weights; a stored one where both are.

    Raises
    ------
    DataError
        If there is not one weight per row.
    """
    WeightedDataset.check_sizes(dataset, weights)
    if isinstance(dataset, StoredDataset) and isinstance(weights, StoredDataset):
        return WeightedStoredDataset(dataset, weights, kind)
    return WeightedDataset(dataset, weights, kind)
