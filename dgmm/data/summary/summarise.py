"""The summary pass: one read of all rows for counts, moments, extremes and a uniform sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.summary.missing_patterns import MissingPatterns
from dgmm.data.summary.moments import Floats
from dgmm.data.summary.partial_summary import PartialSummary
from dgmm.data.summary.refusals import refuse_missing, refuse_outside
from dgmm.data.summary.uniform_sample import Candidates, Sample, SampleRule
from dgmm.data.summary.weight_summary import PartialWeights, WeightSummary
from dgmm.mixture.backends import standardising_backend
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import map_reduce
from dgmm.reduction.tree import PassProgress

#: A sample smaller than this share of what was asked for is drawn again.
_SHORT_SAMPLE = 0.9
#: How often this pass and one of EM touch a number of the data, at least: what decides whether
#: compiled code is worth loading.
_TOUCHES = 4


@dataclass(frozen=True, slots=True)
class Summary:
    """What one pass over the data finds; all but the counts is over rows that count, in user units.

    Where missing values are marginalised, moments and extremes of a feature are of its values.

    Parameters
    ----------
    n_read, n_kept : int
        Rows, and rows that count: complete, or with a value where the others are marginalised, and
        of a weight that is not 0.
    n_nan, n_inf : (d,) int64
        NaN and ±infinity per feature, over all rows of a weight that is not 0.
    n_fill : (d,) int64
        Values equal to the array's own fill value; 0 where it has none, or NaN.
    minimum, maximum, mean, variance : (d,) float64
        `variance` is the population's; infinite or 0 where float64 cannot hold it.
    minimum_row, maximum_row : (d,) int64
        The first row with each extreme.
    sample : (m, d)
        A sample in the stored type, in row order: uniform, or by weight where weights differ;
        NaN where a value is missing.
    sample_numbers : (m,) int64
        The rows' numbers.
    n_weightless : int
        Rows of weight 0.
    sum_of_weights : float or None
        Of the rows that count; None where each weighs 1.
    n_empty : int
        Rows without any value, which are left out.
    n_incomplete : int
        Rows that lack some values: left out, or fitted where these are marginalised.
    patterns : MissingPatterns or None
        Which values the rows that count lack; None unless missing values are marginalised.
    sample_weights : (m,) float64 or None
        What each row of the sample stands for; None where that is the same of all.
    counted_weights : PartialWeights or None
        Weights of the rows that count, as EM has them; None where each weighs 1.
    observed : (d,) float64 or None
        Sum of the weights of the rows that have each feature; None where they have all.
    """

    n_read: int
    n_kept: int
    n_nan: NDArray[np.int64]
    n_inf: NDArray[np.int64]
    n_fill: NDArray[np.int64]
    minimum: Floats
    maximum: Floats
    minimum_row: NDArray[np.int64]
    maximum_row: NDArray[np.int64]
    mean: Floats
    variance: Floats
    sample: NDArray[Any]
    sample_numbers: NDArray[np.int64]
    n_weightless: int = 0
    sum_of_weights: float | None = None
    n_empty: int = 0
    n_incomplete: int = 0
    patterns: MissingPatterns | None = None
    sample_weights: Floats | None = None
    observed: Floats | None = None
    counted_weights: PartialWeights | None = None

    @property
    def n_dropped(self) -> int:
        """Rows left out."""
        return self.n_read - self.n_kept

    @property
    def n_partial(self) -> int:
        """Rows that count though they lack values."""
        return 0 if self.patterns is None else self.n_incomplete

    @property
    def observed_shares(self) -> Floats:
        """Share of the weight of the rows that count which has each feature, (d,)."""
        if self.observed is None:
            return np.ones(len(self.minimum))
        return self.observed / self.weight

    @property
    def weight(self) -> float:
        """Sum of the weights of the rows that count."""
        return self.n_kept if self.sum_of_weights is None else self.sum_of_weights


@dataclass(frozen=True, slots=True)
class _SummaryLeaves:
    dataset: Dataset
    rule: SampleRule
    policy: MissingPolicy

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, PartialSummary]]:
        backend = standardising_backend(_TOUCHES * self.dataset.n_samples * self.dataset.n_features)
        for block in self.dataset.read_blocks(blocks):
            yield (
                block.index,
                PartialSummary.of_block(*(block, self.dataset, self.rule), backend, self.policy),
            )


@dataclass(frozen=True, slots=True)
class _SampleLeaves:
    dataset: Dataset
    rule: SampleRule
    policy: MissingPolicy

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, Candidates]]:
        for block in self.dataset.read_blocks(blocks):
            mask = self.policy.select(block, self.dataset, counting=True).mask
            yield (
                block.index,
                self.rule.candidates(block.index, block.start, block.values, mask, block.weights),
            )


def summarise(
    dataset: Dataset,
    executor: Executor,
    *,
    missing: Literal["error", "drop", "marginalise"],
    sample_rows: int,
    seed: int,
    of_pass: Callable[[str], PassProgress[Any] | None] = lambda _: None,
    weights: WeightSummary | None = None,
) -> Summary:
    """Read all rows once.

    Parameters
    ----------
    dataset, executor
        What to read and where.
    missing
        `error`: any value that is not finite is an error; `drop`: its row is left out;
        `marginalise`: NaN is a value that is not known, infinity an error. Rows without any value
        are left out whatever this is.
    sample_rows
        Size of the sample, at least 1; fewer where fewer rows count.
    seed
        The job's seed.
    of_pass
        Gives what saves the finished parts of a pass, by the pass's name.
    weights
        What is known of the rows' weights; where they differ, the sample is drawn by them.

    Raises
    ------
    DataError
        If `missing` refuses a row, no row is left, or a feature has no value in any row.
    """
    n_blocks, policy = dataset.grid.n_blocks, MissingPolicy(missing)
    rule = _rule(sample_rows, dataset.n_samples, seed, weights)
    leaves = _SummaryLeaves(dataset, rule, policy)
    part = map_reduce(executor, leaves, n_blocks, progress=of_pass("summary"))
    if part.n_read != dataset.n_samples:
        raise RuntimeError(f"read {part.n_read} of {dataset.n_samples} rows")
    refuse_missing(part, dataset, policy)
    refuse_outside(part, dataset)
    n_kept, candidates = part.moments.count, part.candidates
    if len(candidates) < _SHORT_SAMPLE * min(sample_rows, n_kept):
        rule = _rule(sample_rows, n_kept, seed, weights, part.moments.weight)
        again = _SampleLeaves(dataset, rule, policy)
        candidates = map_reduce(executor, again, n_blocks, progress=of_pass("second sample"))
    return finished(
        part,
        candidates.smallest(
            sample_rows, dataset.n_features, dataset.dtype, rule.least_weight if weights else 0.0
        ),
    )


def _rule(
    n_wanted: int,
    n_rows: int,
    seed: int,
    weights: WeightSummary | None,
    kept_weight: float | None = None,
) -> SampleRule:
    """Uniform over so many rows, or by weight; `kept_weight` is that of rows not left out."""
    if weights is None or weights.is_uniform:
        return SampleRule.expecting(n_wanted, n_rows, seed)
    kept = 1.0 if kept_weight is None else kept_weight / weights.fitted_total
    share = min(kept, 1.0)
    return SampleRule.by_weights(n_wanted, n_rows, seed, weights.sums, weights.unit, share)


def finished(part: PartialSummary, sample: Sample) -> Summary:
    """What a pass has found, with the sample that was drawn."""
    return Summary(
        n_read=part.n_read,
        n_kept=part.moments.count,
        n_nan=part.n_nan,
        n_inf=part.n_inf,
        n_fill=part.n_fill,
        minimum=part.extremes.minimum,
        maximum=part.extremes.maximum,
        minimum_row=part.extremes.minimum_row,
        maximum_row=part.extremes.maximum_row,
        mean=part.moments.mean,
        variance=part.moments.variance,
        sample=sample.rows,
        sample_numbers=sample.numbers,
        sample_weights=sample.weights,
        n_weightless=part.n_weightless,
        sum_of_weights=part.moments.sum_of_weights,
        n_empty=part.n_empty,
        n_incomplete=part.n_incomplete,
        patterns=part.patterns,
        observed=part.moments.observed,
        counted_weights=part.counted_weights,
    )
