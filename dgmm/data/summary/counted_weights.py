"""What weights are worth once the summary pass has told which rows count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from dgmm.data.dataset import Dataset
from dgmm.data.summary.summarise import Summary
from dgmm.data.summary.weight_summary import RowOfWeight, WeightSummary
from dgmm.data.summary.weight_sums import WeightSums
from dgmm.data.weight_kind import WeightKind
from dgmm.run_record import RowWeights

#: One row with more of all weight, and fewer effective rows a free parameter, are warned of.
_LARGE_SHARE, _ROWS_PER_PARAMETER = 0.1, 10


@dataclass(frozen=True, slots=True)
class CountedWeights:
    """Weights of the rows that count: what criteria, record and warnings are made of.

    Attributes
    ----------
    kind : {"counts", "importance"}
    sums : WeightSums
    unit, divisor : float
        What `sums` are in units of, and what divides them where EM's weights are others.
    largest : RowOfWeight
        The first row with the largest weight, in given units.
    is_uniform : bool
        Whether all these weights are equal.
    n_positive, n_weightless : int
        Rows of positive weight, left out or not, and rows of weight 0.
    """

    kind: WeightKind
    sums: WeightSums
    unit: float
    divisor: float
    largest: RowOfWeight
    is_uniform: bool
    n_positive: int
    n_weightless: int

    @classmethod
    def of(cls, weights: WeightSummary, summary: Summary) -> Self:
        """Those of the rows that the summary pass has not left out."""
        sizes = weights.sums.n_rows, weights.n_weightless
        part, unit = summary.counted_weights, weights.unit
        if part is None or part.largest is None or summary.n_kept == weights.sums.n_rows:
            sums = weights.sums
            if weights.is_uniform:
                sums = WeightSums.of_equal(weights.largest.weight, summary.n_kept)
            uniform = weights.is_uniform
            return cls(weights.kind, sums, 1.0, unit, weights.largest, uniform, *sizes)
        largest = weights.largest
        if part.largest.row != largest.row:  # whose weight is known to the last bit
            largest = RowOfWeight(part.largest.row, part.largest.weight * unit)
        uniform = part.largest.weight == (part.smallest or part.largest).weight
        return cls(weights.kind, part.sums, unit, 1.0, largest, uniform, *sizes)

    @property
    def total(self) -> float:
        """Σw in given units; infinite where float64 cannot hold it."""
        with np.errstate(over="ignore"):
            return self.sums.total * self.unit

    @property
    def largest_share(self) -> float:
        """Share of the largest weight in all."""
        return self.largest.weight / (self.unit * self.divisor) / self._fitted_total

    @property
    def _fitted_total(self) -> float:
        """Σw in EM's units: finite also where Σw is not."""
        return self.sums.total_over(self.divisor)

    @property
    def rows_represented(self) -> float:
        """Rows that criteria count."""
        return self.sums.rows_represented(self.kind)

    @property
    def has_approximate_criteria(self) -> bool:
        """Whether criteria rest on effective rows: of importance weights that differ."""
        return self.kind == "importance" and not self.is_uniform

    def rows_of(self, weight: float) -> float:
        """Rows that criteria count where the rows scored have that weight, in EM's units."""
        if self.kind == "counts":
            return weight
        if self.is_uniform and self.largest.weight == self.unit * self.divisor:  # each is 1 in EM
            return weight
        return self.rows_represented * (weight / self._fitted_total)

    def record(self) -> RowWeights:
        """What run.json and the model tell of the weights, in given units."""
        return {
            "kind": self.kind,
            "sum": self.total,
            "n_eff": self.sums.effective_rows,
            "max": self.largest.weight,
            "max_row": self.largest.row,
            "zeros": self.n_weightless,
            "positive_rows": self.n_positive,
            "criteria_are_approximate": self.has_approximate_criteria,
        }


def weight_warnings(counted: CountedWeights, n_free: int, dataset: Dataset) -> Iterator[str]:
    """What is to be said of weights that are few, or one of which outweighs the others.

    Parameters
    ----------
    counted
        Of the rows that count.
    n_free
        Free parameters of the mixture.
    dataset
        For the rows' places.
    """
    if counted.is_uniform:
        return
    largest, total = counted.largest, counted.total
    if (share := counted.largest_share) > _LARGE_SHARE:
        yield (
            f"one row has {share:.0%} of all weight: {dataset.locate(largest.row)}"
            f" has {largest.weight:.6g} of {total:.6g}. A component may shrink onto it; is the "
            "weight right?"
        )
    if counted.rows_represented < _ROWS_PER_PARAMETER * n_free:
        how = "Σw" if counted.kind == "counts" else "(Σw)²/Σw²"
        yield (
            f"the weights of {counted.sums.n_rows:,} rows make them worth "
            f"{counted.rows_represented:,.4g} rows ({how}), for {n_free:,} free parameters: "
            f"expected at least {_ROWS_PER_PARAMETER} for each. Lower model.n_components, or "
            "choose a simpler model.covariance_type"
        )
