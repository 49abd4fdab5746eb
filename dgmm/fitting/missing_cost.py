"""What missing values cost: time of a pass of EM over that of a pass over complete rows.

Each pattern of each block is prepared and lifted once, whatever rows it has: that is most of the
time where patterns are many. Where features are independent they are masked, and patterns cost
nothing. Compiled code takes rows of patterns that few rows of a block have one by one, where the
family allows it. The constants are CPU times of NumPy's passes over 24,000 rows (d = 8 and 27,
k = 4 to 16, 1 to 50 patterns), which the formula meets within a factor of 2; and those of compiled
code, so that each case of the benchmark `missing` is met within a factor of 2 too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from dgmm.data.summary.missing_patterns import MOST_PATTERNS, MissingPatterns
from dgmm.errors import JobFileError
from dgmm.missing_record import Missing
from dgmm.mixture.covariance import Family
from dgmm.mixture.marginal.patterns import fewest_rows
from dgmm.reduction.blocks import BlockGrid

#: A job whose passes take longer by more than this, and more seconds of one CPU than these, has to
#: accept it.
MOST_COST: Final = 50.0
LONG_PASS_S: Final = 1.0
#: Nanoseconds of a row: for each flop, for each component, and beside them.
_FLOP, _COMPONENT, _ROW = 0.05, 8.0, 40.0
#: The same of a row that lacks values: taking its values apart, for each feature and beside them.
_FEATURE, _PARTIAL_ROW = 10.0, 200.0
#: Nanoseconds of a pattern in a block, and for each component and cube of the features.
_PATTERN, _LIFT = 0.35e6, 0.5
#: Both where code is compiled, over those of NumPy: complete rows gain more by it than patterns do.
_COMPILED_LIFT = 1.2
#: Nanoseconds of a component where compiled code takes a row by itself: beside its features, for
#: each pair of them, and for powers of the number that it lacks.
_OF_ROW, _OF_PAIR, _OF_MISSING = 160.0, 1.1, (130.0, 48.0, 1.6)
#: A row of masked features, over a complete one.
_MASKED = 2.5


@dataclass(frozen=True, slots=True)
class MissingCost:
    """Missing values of a data set, and what they cost.

    Attributes
    ----------
    n_patterns : int or None
        Different sets of features that rows lack, the empty one included; None where they are
        more than are counted.
    n_partial, n_rows : int
        Rows that lack values, and rows that are fitted.
    factor : float
        Time of a pass over that of a pass over as many complete rows, estimated.
    seconds : float
        CPU time of a pass, estimated likewise.
    """

    n_patterns: int | None
    n_partial: int
    n_rows: int
    factor: float
    seconds: float

    @classmethod
    def of(
        cls,
        family: Family,
        k: int,
        patterns: MissingPatterns,
        grid: BlockGrid,
        *,
        by_row: float | None = None,
    ) -> Self:
        """Estimate it.

        Parameters
        ----------
        family, k
            Of the mixture.
        patterns
            Of the rows that are fitted.
        grid
            How rows are cut into blocks: each prepares and lifts its own patterns.
        by_row
            The mean number of values that a row lacks, of those that lack any, where code is
            compiled, which can take rows one by one; None elsewhere.
        """
        n_rows, n_partial = patterns.n_rows, patterns.n_partial
        d, n_blocks = grid.n_features, grid.n_blocks
        whole = _FLOP * 4 * k * family.width(d) + _COMPONENT * k + _ROW
        share, complete_s = n_partial / n_rows, whole * n_rows / 1e9
        if family.masks_features:
            factor = 1.0 + share * (_MASKED - 1.0)
            return cls(patterns.n_patterns, n_partial, n_rows, factor, factor * complete_s)
        partial = _FEATURE * d + _PARTIAL_ROW + _FLOP * 2 * family.scatter_width(d)
        lift = (_PATTERN + _LIFT * k * float(d) ** 3) * (1.0 if by_row is None else _COMPILED_LIFT)
        if by_row is None or not family.takes_rows:
            lifts = _visits(patterns, n_partial, n_blocks) * lift
        else:
            powers = sum(c * by_row**i for i, c in enumerate(_OF_MISSING, 1))
            row = k * (_OF_ROW + _OF_PAIR * d * d + powers)
            lifts = _lifts_or_rows(patterns, n_partial, n_blocks, lift, row, by_row)
        factor = 1.0 + (share * partial + lifts / n_rows) / whole
        return cls(patterns.n_patterns, n_partial, n_rows, factor, factor * complete_s)

    @property
    def is_high(self) -> bool:
        """Whether it is above `MOST_COST`, and passes are not short all the same."""
        return is_high(self.factor, self.seconds)

    @property
    def counted(self) -> str:
        """The number of patterns in words."""
        return f"more than {MOST_PATTERNS:,}" if self.n_patterns is None else f"{self.n_patterns:,}"

    def record(self) -> Missing:
        """What run.json holds of it."""
        return {"patterns": self.n_patterns, "cost": self.factor, "seconds": self.seconds}

    def describe(self) -> str:
        """In words, for people."""
        return (
            f"{self.n_partial:,} of {self.n_rows:,} rows lack some values, in {self.counted} "
            f"patterns: {describe_factor(self.factor)}"
        )


def is_high(factor: float, seconds: float) -> bool:
    """Whether passes so much longer, of so many seconds, have to be accepted."""
    return factor > MOST_COST and seconds > LONG_PASS_S


def describe_factor(factor: float) -> str:
    """How much longer a pass takes, in words."""
    times = f"{factor:.2g}" if factor < 10 else f"{factor:,.0f}"
    return f"a pass takes about {times} times as long as one over complete rows"


class CostNotAcceptedError(JobFileError):
    """Passes take too long; `cost` is what they take."""

    def __init__(self, message: str, cost: MissingCost) -> None:
        super().__init__(message)
        self.cost = cost


def _visits(patterns: MissingPatterns, n_partial: int, n_blocks: int) -> float:
    """Patterns of a block, summed over blocks, where rows stand in no order."""
    if patterns.is_more:
        return float(n_partial)
    lacks = patterns.bits.any(axis=1)
    counts = patterns.counts[lacks].astype(np.float64)
    return float((n_blocks * -np.expm1(-counts / n_blocks)).sum())


def _lifts_or_rows(
    patterns: MissingPatterns, n_partial: int, n_blocks: int, lift: float, row: float, lacks: float
) -> float:
    """Nanoseconds of all patterns, where rows of those that few rows of a block have go alone."""
    if patterns.is_more:
        return n_partial * row
    counts = patterns.counts[patterns.bits.any(axis=1)].astype(np.float64)
    visits = n_blocks * -np.expm1(-counts / n_blocks)
    is_few = counts / visits < fewest_rows(np.array(lacks))
    return float(np.where(is_few, counts * row, visits * lift).sum())


def require_accepted(cost: MissingCost, *, is_accepted: bool) -> None:
    """Refuse passes that take too long.

    Raises
    ------
    CostNotAcceptedError
        If they take more than `MOST_COST` times as long as complete ones, and longer than
        `LONG_PASS_S`, unless that is accepted.
    """
    if is_accepted or not cost.is_high:
        return
    remedies = (
        "run the job with --accept-cost",
        "leave out the features that are missing most",
        "set model.covariance_type to diag, which needs no patterns",
        "set data.missing to drop",
    )
    text = f"{cost.describe()}, more than {MOST_COST:.0f}. Either {', or '.join(remedies)}"
    raise CostNotAcceptedError(text, cost)
