"""Sums over weights (n,) by power of two, as a monoid: no sum overflows, and none loses digits.

Weights are w = m·2^e with m in [½, 1). Σm, Σm² and the number of rows are kept for each e, so that
multiplying all weights by a power of two moves exponents and changes no other bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.weight_kind import WeightKind

Floats = NDArray[np.float64]
_Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class WeightSums:
    """Rows of positive weight, by the exponent of their weights.

    Attributes
    ----------
    exponents : (e,) int64
        Ascending, those that occur.
    counts : (e,) int64
        Rows.
    sums, squares : (e,) float64
        Σm and Σm².
    """

    exponents: _Numbers
    counts: _Numbers
    sums: Floats
    squares: Floats

    @classmethod
    def of(cls, weights: Floats) -> Self:
        """Measure weights (b,), positive and finite."""
        mantissas, exponents = np.frexp(weights)
        found, places = np.unique(exponents.astype(np.int64), return_inverse=True)
        return cls(
            found,
            np.bincount(places, minlength=len(found)).astype(np.int64),
            np.bincount(places, mantissas, len(found)).astype(np.float64),
            np.bincount(places, mantissas**2, len(found)).astype(np.float64),
        )

    @classmethod
    def of_equal(cls, weight: float, n_rows: int) -> Self:
        """Measure rows that all have one weight, positive and finite."""
        one = cls.of(np.array([weight]))
        return cls(one.exponents, one.counts * n_rows, one.sums * n_rows, one.squares * n_rows)

    def merge(self, other: Self) -> Self:
        """These weights followed by the others."""
        exponents = np.union1d(self.exponents, other.exponents)
        counts = np.zeros(len(exponents), np.int64)
        sums, squares = np.zeros(len(exponents)), np.zeros(len(exponents))
        for part in (self, other):
            places = np.searchsorted(exponents, part.exponents)
            counts[places] += part.counts
            sums[places] += part.sums
            squares[places] += part.squares
        return type(self)(exponents, counts, sums, squares)

    @property
    def n_rows(self) -> int:
        """Rows of positive weight."""
        return int(self.counts.sum())

    @property
    def top(self) -> int:
        """The largest exponent: what the sums below are in units of."""
        return int(self.exponents[-1])

    @property
    def scaled_sum(self) -> float:
        """Σw/2^top."""
        return math.fsum(np.ldexp(self.sums, self.exponents - self.top))

    @property
    def total(self) -> float:
        """Σw; infinite where float64 cannot hold it."""
        with np.errstate(over="ignore"):
            return float(np.ldexp(self.scaled_sum, self.top))

    def total_over(self, unit: float) -> float:
        """Σw/unit, exact also where float64 cannot hold Σw, or few digits of the unit's inverse."""
        mantissa, exponent = math.frexp(unit)
        return math.ldexp(self.scaled_sum / mantissa, self.top - exponent)

    @property
    def mean(self) -> float:
        """Σw over the rows of positive weight."""
        return float(np.ldexp(self.scaled_sum / self.n_rows, self.top))

    @property
    def effective_rows(self) -> float:
        """(Σw)²/Σw² (Kish, *Survey Sampling*, 1965, §11.7)."""
        squares = math.fsum(np.ldexp(self.squares, 2 * (self.exponents - self.top)))
        return self.scaled_sum**2 / squares

    def rows_represented(self, kind: WeightKind) -> float:
        """Rows that criteria count: Σw of counts, (Σw)²/Σw² of importance weights."""
        return self.total if kind == "counts" else self.effective_rows

    def expected_below(self, threshold: float) -> float:
        """A lower bound of Σ min(1, w·t): rows that priority sampling expects below a key t.

        All weights of one exponent beyond 1/t count as rows, which they are; below 1/t as Σw·t;
        between the two as if each were the smallest of its exponent.
        """
        with np.errstate(over="ignore"):
            highest = np.ldexp(threshold, self.exponents)
        beyond = self.counts * np.minimum(1.0, 0.5 * highest)
        return math.fsum(np.where(highest <= 1.0, self.sums * highest, beyond))
