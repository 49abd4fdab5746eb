"""Rows with weights that lie beside them: in an array of their own, in any chunking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from dgmm.data.dataset import Dataset
from dgmm.data.forwarding_dataset import ForwardingDataset, StoredRows, read_in_grid
from dgmm.data.row_block import RowBlock
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.weight_kind import WeightKind
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockRange


@dataclass(frozen=True, slots=True)
class WeightedDataset(ForwardingDataset):
    """A data set, and a weight for each of its rows; made by `weighted`.

    Attributes
    ----------
    rows : Dataset
    weights : Dataset
        Of one feature: the rows' weights as they are given.
    kind : {"counts", "importance"}
        What they mean.
    unit : float
        What weights are divided by; 1 until they have been measured.
    total : float
        Their sum, so divided, over all rows; NaN until they have been measured.
    """

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
    def warnings(self) -> tuple[str, ...]:
        """Of the rows, and of the weights."""
        return (*self.rows.warnings, *self.weights.warnings)

    def in_units_of(self, unit: float, total: float = float("nan")) -> Self:
        """The same rows with their weights divided by a number, which then have that sum."""
        return replace(self, unit=unit, total=total)

    def read_weights(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield the weights of the rows of a range of blocks, as values (b, 1) in given units."""
        return read_in_grid(self.weights, self.grid, blocks)

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield blocks with their weights."""
        pairs = zip(self.rows.read_blocks(blocks), self.read_weights(blocks), strict=True)
        for block, own in pairs:
            yield replace(block, weights=own.values[:, 0].astype(np.float64) / self.unit)

    def fingerprint(self) -> dict[str, Any]:
        """Of the rows and of the weights."""
        own = {"weights": {"kind": self.kind} | self.weights.fingerprint()}
        return self.rows.fingerprint() | own

    def check_unchanged(self) -> None:
        """Ask both.

        Raises
        ------
        DataError
            If rows or weights changed.
        """
        self.rows.check_unchanged()
        self.weights.check_unchanged()


@dataclass(frozen=True, slots=True)
class WeightedStoredDataset(StoredRows, WeightedDataset):
    """Stored rows and their stored weights."""

    rows: StoredDataset
    weights: StoredDataset

    @property
    def read_bytes(self) -> int:
        """Of the rows and of the weights."""
        return self.rows.read_bytes + self.weights.read_bytes

    def with_cache(self, n_bytes: int) -> Self:
        """Rows and weights, cached within one budget: it is that of the process."""
        rows, weights = self.rows.with_cache(n_bytes), self.weights.with_cache(n_bytes)
        return replace(self, rows=rows, weights=weights)

    def with_retries(self, seconds: float) -> Self:
        """Rows and weights, read with retries."""
        rows, weights = self.rows.with_retries(seconds), self.weights.with_retries(seconds)
        return replace(self, rows=rows, weights=weights)


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
