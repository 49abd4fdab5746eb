"""The summary of some blocks: counts, moments, extremes and candidates of the sample, a monoid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.row_block import Mask, RowBlock
from dgmm.data.summary.cell_counts import count_equal, count_outside
from dgmm.data.summary.extremes import Extremes
from dgmm.data.summary.moments import Floats, Moments
from dgmm.data.summary.uniform_sample import Candidates, SampleRule
from dgmm.mixture.backends import Backend


@dataclass(frozen=True, slots=True)
class PartialSummary:
    """The summary of some blocks; a monoid.

    Parameters
    ----------
    n_read : int
        Rows, dropped ones included.
    n_nan, n_inf : (d,) int64
    first_faulty : (row, feature) or None
        The first value that is not finite.
    n_fill : (d,) int64
        Values equal to the fill value, in the rows that count.
    n_outside : (d,) int64
        Values outside the valid range, in the rows that count.
    moments, extremes, candidates
        Of the rows that count.
    n_weightless : int
        Rows of weight 0.
    """

    n_read: int
    n_nan: NDArray[np.int64]
    n_inf: NDArray[np.int64]
    n_fill: NDArray[np.int64]
    n_outside: NDArray[np.int64]
    first_faulty: tuple[int, int] | None
    moments: Moments
    extremes: Extremes
    candidates: Candidates
    n_weightless: int = 0

    @property
    def n_incomplete(self) -> int:
        """Rows left out because a value is not finite."""
        return self.n_read - self.moments.count - self.n_weightless

    @classmethod
    def of_block(
        cls,
        block: RowBlock,
        dataset: Dataset,
        rule: SampleRule,
        backend: Backend,
    ) -> Self:
        """Measure one block."""
        rows, start = block.values, block.start
        selected = MissingPolicy.DROP.select(block, dataset)
        fill, weights = dataset.fill_value, block.weights
        faulty = rows[:0] if selected.incomplete is None else rows[selected.incomplete]
        columns = _columns(selected.values, backend)
        numbers = None if selected.mask is None else np.flatnonzero(selected.mask)
        extremes = Extremes.of_columns(columns, start, numbers)
        largest = np.maximum(np.abs(extremes.minimum), np.abs(extremes.maximum))
        return cls(
            n_read=len(rows),
            n_nan=np.isnan(faulty).sum(axis=0, dtype=np.int64),
            n_inf=np.isinf(faulty).sum(axis=0, dtype=np.int64),
            n_fill=count_equal(columns, extremes, None if fill is None else fill.value),
            n_outside=count_outside(columns, extremes, dataset.valid_range),
            first_faulty=_first_faulty(block, selected.incomplete),
            moments=Moments.of_columns(columns, largest, selected.weights),
            extremes=extremes,
            candidates=rule.candidates(block.index, start, rows, selected.mask),
            n_weightless=0 if weights is None else int(np.count_nonzero(weights == 0)),
        )

    def merge(self, other: Self) -> Self:
        """Return the summary of these rows followed by the other's."""
        return type(self)(
            n_read=self.n_read + other.n_read,
            n_nan=self.n_nan + other.n_nan,
            n_inf=self.n_inf + other.n_inf,
            n_fill=self.n_fill + other.n_fill,
            n_outside=self.n_outside + other.n_outside,
            first_faulty=self.first_faulty or other.first_faulty,
            moments=self.moments.merge(other.moments),
            extremes=self.extremes.merge(other.extremes),
            candidates=self.candidates.merge(other.candidates),
            n_weightless=self.n_weightless + other.n_weightless,
        )


def _columns(rows: NDArray[Any], backend: Backend) -> Floats:
    """Rows (b, d) features first, in float64."""
    n_features = rows.shape[1]
    columns = np.empty(rows.shape[::-1])
    backend.standardise(rows, np.ones(n_features), np.zeros(n_features), columns)
    return columns


def _first_faulty(block: RowBlock, incomplete: Mask | None) -> tuple[int, int] | None:
    """Row and feature of the first value that is not finite."""
    if incomplete is None:
        return None
    place = int(np.argmax(incomplete))
    return block.start + place, int(np.argmin(np.isfinite(block.values[place])))
