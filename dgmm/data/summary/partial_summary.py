"""The summary of some blocks: counts, moments, extremes and candidates of the sample, a monoid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy, SelectedRows, faulty_feature
from dgmm.data.row_block import Mask, RowBlock
from dgmm.data.summary.cell_counts import count_equal, count_outside
from dgmm.data.summary.extremes import Extremes
from dgmm.data.summary.missing_patterns import MissingPatterns
from dgmm.data.summary.moments import Floats, Moments
from dgmm.data.summary.uniform_sample import Candidates, SampleRule
from dgmm.data.summary.weight_summary import PartialWeights
from dgmm.mixture.backends import Backend

_Part = TypeVar("_Part", MissingPatterns, PartialWeights)


@dataclass(frozen=True, slots=True)
class PartialSummary:
    """The summary of some blocks; a monoid.

    Parameters
    ----------
    n_read : int
        Rows, dropped ones included.
    n_nan, n_inf : (d,) int64
    first_faulty : (row, feature) or None
        The first value for which a row that has any value is refused, or would be by `error`.
    n_fill : (d,) int64
        Values equal to the fill value, in the rows that count.
    n_outside : (d,) int64
        Values outside the valid range, in the rows that count.
    moments, extremes, candidates
        Of the values that rows which count have.
    n_weightless : int
        Rows of weight 0.
    n_empty, n_incomplete, n_refused : int
        Rows without any value, which are left out; rows that lack some, left out or not; and rows
        that the policy refuses.
    patterns : MissingPatterns or None
        Of the rows that count; None unless missing values are marginalised.
    counted_weights : PartialWeights or None
        Of the rows that count; None where each weighs 1.
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
    n_empty: int = 0
    n_incomplete: int = 0
    n_refused: int = 0
    patterns: MissingPatterns | None = None
    counted_weights: PartialWeights | None = None

    @classmethod
    def of_block(
        cls,
        block: RowBlock,
        dataset: Dataset,
        rule: SampleRule,
        backend: Backend,
        policy: MissingPolicy = MissingPolicy.DROP,
        only: Mask | None = None,
    ) -> Self:
        """Measure one block, or those rows of it that `only` (b,) names.

        Rows that the policy refuses are counted and left out.
        """
        rows, start = block.values, block.start
        selected = policy.select(block, dataset, counting=True, only=only)
        fill, weights = dataset.fill_value, block.weights
        faulty = rows[:0] if selected.incomplete is None else rows[selected.incomplete]
        columns = _columns(selected.values, backend)
        missing = _missing(columns, selected, policy)
        numbers = None if selected.mask is None else np.flatnonzero(selected.mask)
        extremes = Extremes.of_columns(columns, start, numbers, missing)
        return cls(
            n_read=len(rows) if only is None else int(np.count_nonzero(only)),
            n_nan=np.isnan(faulty).sum(axis=0, dtype=np.int64),
            n_inf=np.isinf(faulty).sum(axis=0, dtype=np.int64),
            n_fill=count_equal(columns, extremes, None if fill is None else fill.value),
            n_outside=count_outside(columns, extremes, dataset.valid_range),
            first_faulty=_first_faulty(block, selected, policy),
            moments=_moments(columns, missing, extremes, selected.weights),
            extremes=extremes,
            candidates=rule.candidates(block.index, start, rows, selected.mask, weights),
            n_weightless=0 if weights is None else int(np.count_nonzero(weights == 0)),
            n_empty=selected.n_empty,
            n_incomplete=selected.n_incomplete,
            n_refused=0 if selected.refused is None else int(selected.refused.sum()),
            patterns=_patterns(selected.values, missing, policy),
            counted_weights=_counted(block, selected),
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
            n_empty=self.n_empty + other.n_empty,
            n_incomplete=self.n_incomplete + other.n_incomplete,
            n_refused=self.n_refused + other.n_refused,
            patterns=_merged(self.patterns, other.patterns),
            counted_weights=_merged(self.counted_weights, other.counted_weights),
        )


def _missing(columns: Floats, selected: SelectedRows, policy: MissingPolicy) -> Mask | None:
    """Where values of the rows that count are missing, (d, b); None for nowhere."""
    if policy is not MissingPolicy.MARGINALISE or selected.incomplete is None:
        return None
    missing = np.isnan(columns)
    return missing if missing.any() else None


def _moments(
    columns: Floats, missing: Mask | None, extremes: Extremes, weights: Floats | None
) -> Moments:
    largest = np.maximum(np.abs(extremes.minimum), np.abs(extremes.maximum))
    if missing is None:
        return Moments.of_columns(columns, largest, weights)
    return Moments.of_observed(columns, missing, largest, weights)


def _patterns(
    values: NDArray[Any], missing: Mask | None, policy: MissingPolicy
) -> MissingPatterns | None:
    if policy is not MissingPolicy.MARGINALISE:
        return None
    if missing is None:
        return MissingPatterns.of_complete(*values.shape)
    return MissingPatterns.of_rows(values)


def _counted(block: RowBlock, selected: SelectedRows) -> PartialWeights | None:
    """The weights of the rows that count, by their places among all."""
    weights = block.weights
    if weights is not None and selected.mask is not None:
        weights = np.where(selected.mask, weights, 0.0)
    return None if weights is None else PartialWeights.of(weights, block.start)


def _merged(one: _Part | None, other: _Part | None) -> _Part | None:
    if one is None or other is None:
        return one or other
    return one.merge(other)


def _columns(rows: NDArray[Any], backend: Backend) -> Floats:
    """Rows (b, d) features first, in float64."""
    n_features = rows.shape[1]
    columns = np.empty(rows.shape[::-1])
    backend.standardise(rows, np.ones(n_features), np.zeros(n_features), columns)
    return columns


def _first_faulty(
    block: RowBlock, selected: SelectedRows, policy: MissingPolicy
) -> tuple[int, int] | None:
    """Row and feature of the first value for which a row is refused, or left out."""
    faulty = selected.incomplete if policy is MissingPolicy.DROP else selected.refused
    if faulty is None or not faulty.any():
        return None
    place = int(np.argmax(faulty))
    return block.start + place, faulty_feature(block.values[place], policy)
