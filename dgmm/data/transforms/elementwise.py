"""Transformations of each value alone: increasing, undone exactly where nothing is cut off.

A value outside a transformation's domain becomes NaN, which stands for missing. NaN stays NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.weighted_statistics import known_quantiles

Floats = NDArray[np.float64]


class Elementwise(Protocol):
    """A transformation of columns (b, m), each value alone."""

    @property
    def has_inverse(self) -> bool:
        """Whether `inverse` gives every value back."""

    @property
    def is_affine(self) -> bool:
        """Whether it takes means to means."""

    def apply(self, columns: Floats) -> Floats:
        """Transformed columns; NaN outside the domain."""

    def inverse(self, columns: Floats) -> Floats:
        """The columns that these were made of."""


@dataclass(frozen=True, slots=True)
class Asinh:
    """asinh(x / scale): linear near 0, logarithmic far out, for signals with noise about 0.

    Examples
    --------
    >>> Asinh(5.0).apply(np.array([[0.0], [5.0 * np.sinh(2.0)]])).round(12).tolist()
    [[0.0], [2.0]]
    """

    scale: float

    @property
    def has_inverse(self) -> bool:
        """Every number is one's asinh."""
        return True

    @property
    def is_affine(self) -> bool:
        """No: it is curved."""
        return False

    def apply(self, columns: Floats) -> Floats:
        """asinh(x / scale)."""
        return np.arcsinh(columns / self.scale)

    def inverse(self, columns: Floats) -> Floats:
        """scale · sinh(y)."""
        with np.errstate(over="ignore"):
            found: Floats = self.scale * np.sinh(columns)
        return found


@dataclass(frozen=True, slots=True)
class Log:
    """log(x + offset); values of −offset or less are missing."""

    offset: float = 0.0

    @property
    def has_inverse(self) -> bool:
        """Every number is one's logarithm."""
        return True

    @property
    def is_affine(self) -> bool:
        """No: it is curved."""
        return False

    def apply(self, columns: Floats) -> Floats:
        """log(x + offset), NaN where that is no positive number."""
        shifted = columns + self.offset
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(shifted > 0, np.log(shifted), np.nan)

    def inverse(self, columns: Floats) -> Floats:
        """exp(y) − offset."""
        with np.errstate(over="ignore"):
            found: Floats = np.exp(columns) - self.offset
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Values below `low` and above `high` (m,) are set to them: NaN and infinity stay."""

    low: Floats
    high: Floats

    @classmethod
    def of_quantiles(
        cls, sample: Floats, quantiles: tuple[float, float], weights: Floats | None = None
    ) -> Self:
        """Bounds at two quantiles of each column of a sample (s, m).

        NaN and infinity are left out. With weights (s,) a quantile q is the smallest value up to
        which the weights have a share q; without them it is interpolated, as NumPy does.
        """
        columns = [_bounds(column, quantiles, weights) for column in sample.T]
        low, high = np.array(columns).reshape(-1, 2).T
        return cls(low, high)

    @property
    def has_inverse(self) -> bool:
        """Cut off is cut off."""
        return False

    @property
    def is_affine(self) -> bool:
        """No."""
        return False

    def apply(self, columns: Floats) -> Floats:
        """The nearest values within the bounds."""
        return np.where(np.isinf(columns), columns, np.clip(columns, self.low, self.high))

    def inverse(self, columns: Floats) -> Floats:
        """The same columns: inside the bounds nothing was changed."""
        return columns


@dataclass(frozen=True, slots=True, eq=False)
class Standardise:
    """(x − mean) / deviation, column by column (m,); a constant column is divided by 1."""

    mean: Floats
    deviation: Floats

    @classmethod
    def of_moments(cls, mean: Floats, variance: Floats) -> Self:
        """Of means and population variances (m,)."""
        deviation = np.sqrt(variance)
        return cls(mean, np.where(deviation > 0, deviation, 1.0))

    @property
    def has_inverse(self) -> bool:
        """No deviation is 0."""
        return True

    @property
    def is_affine(self) -> bool:
        """Yes."""
        return True

    def apply(self, columns: Floats) -> Floats:
        """(x − mean) / deviation."""
        return (columns - self.mean) / self.deviation

    def inverse(self, columns: Floats) -> Floats:
        """y · deviation + mean."""
        return columns * self.deviation + self.mean


def _bounds(column: Floats, quantiles: tuple[float, float], weights: Floats | None) -> Floats:
    """Two quantiles of finite values (s,); those that leave all as it is where there are none."""
    found = known_quantiles(column, quantiles, weights)
    most = float(np.finfo(np.float64).max)
    return np.where(np.isnan(found), [-most, most], found)


def n_outside(before: Floats, after: Floats) -> NDArray[np.int64]:
    """How many values of each column (m,) have become missing: those outside the domain."""
    counts: NDArray[np.int64] = (np.isnan(after) & ~np.isnan(before)).sum(axis=0, dtype=np.int64)
    return counts
