"""The read of the weights alone, before any row: faulty ones are refused, the rest added up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from dgmm.data.dataset import Dataset
from dgmm.data.summary.weight_sums import Floats, WeightSums
from dgmm.data.weight_kind import WeightKind
from dgmm.data.weighted_dataset import WeightedDataset
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import map_reduce
from dgmm.reduction.tree import PassProgress

#: Positive weights below this share of the mean are refused: a pass in float32 multiplies by them.
_LEAST_SHARE = 1e-30
#: Counts beyond it are not exact in float64.
_LARGEST_COUNT = 2.0**53


@dataclass(frozen=True, slots=True)
class RowOfWeight:
    """A row, and its weight."""

    row: int
    weight: float


@dataclass(frozen=True, slots=True)
class PartialWeights:
    """What some blocks of weights hold; a monoid.

    Attributes
    ----------
    n_rows : int
    sums : WeightSums
        Of the positive weights.
    largest, smallest : RowOfWeight or None
        The first row with each of the positive weights' extremes.
    faulty, broken : RowOfWeight or None
        The first weight that is negative or not finite, and the first that is no whole number.
    """

    n_rows: int
    sums: WeightSums
    largest: RowOfWeight | None
    smallest: RowOfWeight | None
    faulty: RowOfWeight | None
    broken: RowOfWeight | None

    @classmethod
    def of(cls, weights: Floats, start: int) -> Self:
        """Measure weights (b,) of the rows from `start` on."""
        is_sound = np.isfinite(weights) & (weights >= 0)
        places = np.flatnonzero(is_sound & (weights > 0))
        positive = weights[places]
        broken = is_sound & (weights != np.rint(weights))

        def at(place: int) -> RowOfWeight:
            return RowOfWeight(start + place, float(weights[place]))

        return cls(
            n_rows=len(weights),
            sums=WeightSums.of(positive),
            largest=at(int(places[positive.argmax()])) if len(places) else None,
            smallest=at(int(places[positive.argmin()])) if len(places) else None,
            faulty=None if is_sound.all() else at(int(np.argmin(is_sound))),
            broken=at(int(np.argmax(broken))) if broken.any() else None,
        )

    def merge(self, other: Self) -> Self:
        """These rows followed by the others."""
        return type(self)(
            self.n_rows + other.n_rows,
            self.sums.merge(other.sums),
            _larger(self.largest, other.largest),
            _smaller(self.smallest, other.smallest),
            self.faulty or other.faulty,
            self.broken or other.broken,
        )


@dataclass(frozen=True, slots=True)
class WeightSummary:
    """What a fit knows of the weights before it reads a row.

    Attributes
    ----------
    kind : {"counts", "importance"}
    n_rows : int
        All rows, those of weight 0 included.
    sums : WeightSums
        Of the positive weights, in given units.
    largest, smallest : RowOfWeight
        The first row with each of the positive weights' extremes.
    """

    kind: WeightKind
    n_rows: int
    sums: WeightSums
    largest: RowOfWeight
    smallest: RowOfWeight

    @property
    def is_uniform(self) -> bool:
        """Whether all positive weights are equal."""
        return self.largest.weight == self.smallest.weight

    @property
    def n_weightless(self) -> int:
        """Rows of weight 0."""
        return self.n_rows - self.sums.n_rows

    @property
    def unit(self) -> float:
        """What a fit divides weights by: 1 of counts, the mean of positive importance weights.

        The common one where all are equal, so that they are 1 exactly.
        """
        if self.kind == "counts":
            return 1.0
        return self.largest.weight if self.is_uniform else self.sums.mean

    @property
    def scoring_unit(self) -> float:
        """What scores divide weights by: no bit of a score follows it, and no sum overflows.

        1 of counts, the power of two below the largest importance weight.
        """
        if self.kind == "counts":
            return 1.0
        return math.ldexp(1.0, math.frexp(self.largest.weight)[1] - 1)

    @property
    def fitted_total(self) -> float:
        """Σw as a fit has them: finite also where Σw is not."""
        return self.sums.total_over(self.unit)


def weigh(
    dataset: WeightedDataset,
    executor: Executor,
    n_components: int,
    of_pass: Callable[[str], PassProgress[Any] | None] = lambda _: None,
) -> WeightSummary:
    """Read all weights, and no row.

    Parameters
    ----------
    dataset, executor
        The rows with their weights, and where reads run.
    n_components
        Fewer rows of positive weight are an error.
    of_pass
        Gives what saves the finished parts of a read, by its name.

    Raises
    ------
    DataError
        If a weight is negative, not finite, no whole number where they are counts, or next to
        nothing beside the others, or if too few are positive; the row is named.
    """
    weights = dataset.weights
    leaves = _WeightLeaves(weights)
    part = map_reduce(executor, leaves, weights.grid.n_blocks, progress=of_pass("weights"))
    return _checked(part, dataset, n_components)


@dataclass(frozen=True, slots=True)
class _WeightLeaves:
    """Blocks of weights to what they hold; picklable."""

    weights: Dataset

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, PartialWeights]]:
        for block in self.weights.read_blocks(blocks):
            own = block.values[:, 0].astype(np.float64)
            yield block.index, PartialWeights.of(own, block.start)


def _checked(part: PartialWeights, dataset: WeightedDataset, n_components: int) -> WeightSummary:
    if part.n_rows != dataset.n_samples:
        raise RuntimeError(f"read {part.n_rows} of {dataset.n_samples} weights")
    kind, places = dataset.kind, dataset.weights
    if part.faulty is not None:
        raise DataError(
            f"{_named(part.faulty, places)}, expected a finite number that is not negative. Give "
            "rows to be left out the weight 0"
        )
    if kind == "counts" and part.broken is not None:
        raise DataError(
            f"{_named(part.broken, places)}, expected a whole number: weights of the kind counts "
            "say how many equal rows a row stands for. If only their ratios matter, they are of "
            "the kind importance"
        )
    if part.largest is None or part.smallest is None:
        raise DataError("all weights are zero, so no row is left. Give some rows a positive one")
    summary = WeightSummary(kind, part.n_rows, part.sums, part.largest, part.smallest)
    _check_range(summary, dataset)
    n_positive = summary.sums.n_rows
    if n_positive < n_components:
        raise DataError(
            f"{n_positive:,} of {part.n_rows:,} rows have a positive weight; they cannot be parted "
            f"into {n_components} components: lower model.n_components"
        )
    return summary


def _check_range(summary: WeightSummary, dataset: WeightedDataset) -> None:
    """Refuse counts that float64 does not hold exactly, and weights that float32 loses."""
    largest, smallest, places = summary.largest, summary.smallest, dataset.weights
    if summary.kind == "counts" and largest.weight > _LARGEST_COUNT:
        raise DataError(f"{_named(largest, places)}, expected a count of at most 2^53")
    if smallest.weight < _LEAST_SHARE * summary.unit:
        raise DataError(
            f"{_named(smallest, places)}, less than {_LEAST_SHARE:g} of the mean weight "
            f"{summary.unit:.6g}: it changes nothing. Write 0 there"
        )


def _named(found: RowOfWeight, weights: Dataset) -> str:
    place = weights.locate(found.row)
    where = f" ({place})" if place != f"row {found.row}" else ""
    return f"the weight of row {found.row}{where} is {found.weight:g}"


def _larger(one: RowOfWeight | None, other: RowOfWeight | None) -> RowOfWeight | None:
    """The first of the rows with the larger weight."""
    if one is None or other is None:
        return one or other
    return other if other.weight > one.weight else one


def _smaller(one: RowOfWeight | None, other: RowOfWeight | None) -> RowOfWeight | None:
    if one is None or other is None:
        return one or other
    return other if other.weight < one.weight else one
