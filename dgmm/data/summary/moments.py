"""Means and variances of columns as a monoid, right from denormals to 1e308 and at any offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.sufficient_statistics import merged_weight

Floats = NDArray[np.float64]
#: Exponent of a column of zeros: below every other, so that merging takes the other's.
_ZERO_EXPONENT = -1100
#: Columns whose largest values lie between 2^-300 and 2^300 are measured as they are: neither their
#: squares nor sums of those overflow, and what underflows is negligible beside the largest.
_MODEST = 300


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean and summed squared deviations of d columns, each in units of a power of two.

    The unit 2^exponent is 1 for columns of modest values and bounds all others, so that neither
    squares nor sums overflow.
    Deviations are taken about each part's own mean, and parts are merged as in Chan, Golub and
    LeVeque (1983), "Algorithms for computing the sample variance", equation 2.1b.

    Parameters
    ----------
    count : int
        Rows.
    exponent : (d,) int64
    scaled_mean : (d,) float64
        mean/2^exponent.
    scaled_squares : (d,) float64
        Σ w (x - mean)²/4^exponent, for rows of weights w.
    sum_of_weights : float or None
        None where each row weighs 1.
    observed : (d,) float64 or None
        Sum of the weights of the rows in which each column has a value; None where that is all.
    """

    count: int
    exponent: NDArray[np.int64]
    scaled_mean: Floats
    scaled_squares: Floats
    sum_of_weights: float | None = None
    observed: Floats | None = None

    @property
    def weight(self) -> float:
        """Sum of the rows' weights."""
        return self.count if self.sum_of_weights is None else self.sum_of_weights

    @property
    def observed_weight(self) -> Floats:
        """Sum of the weights of the rows in which each column has a value, (d,)."""
        if self.observed is not None:
            return self.observed
        return np.full(len(self.exponent), float(self.weight))

    @classmethod
    def zero(cls, n_features: int) -> Self:
        """The moments of no rows."""
        empty = np.zeros(n_features)
        return cls(0, np.full(n_features, _ZERO_EXPONENT, dtype=np.int64), empty, empty)

    @classmethod
    def of_columns(
        cls, columns: Floats, largest: Floats | None = None, weights: Floats | None = None
    ) -> Self:
        """Measure finite columns (d, b), whose largest magnitudes (d,) may be known already.

        `weights` (b,) are positive; None where each row weighs 1.
        """
        n_features, count = columns.shape
        if count == 0:
            return cls.zero(n_features)
        if largest is None:
            largest = np.maximum(columns.max(axis=1), -columns.min(axis=1))
        exponent = _units(largest)
        scaled = _scaled(columns, exponent)
        weight = None if weights is None else float(weights.sum())
        mean = _mean(scaled, weights)
        deviations = scaled - mean[:, np.newaxis]
        if weights is None:
            squares = np.einsum("ij,ij->i", deviations, deviations)
        else:
            squares = np.einsum("ij,ij,j->i", deviations, deviations, weights)
        # The rounded mean is off by the deviations' own mean; the identity
        # Σ(x - m)² = Σ(x - c)² - n(m - c)² takes that out.
        error = _mean(deviations, weights)
        squares = np.maximum(squares - (weight or count) * error**2, 0.0)
        return cls(count, exponent, mean + error, squares, weight)

    @classmethod
    def of_observed(
        cls,
        columns: Floats,
        missing: NDArray[np.bool_],
        largest: Floats,
        weights: Floats | None = None,
    ) -> Self:
        """Measure the values of columns (d, b) that are not missing; of none the mean is 0.

        `largest` (d,) are their largest magnitudes, `weights` (b,) as for `of_columns`.
        """
        exponent = _units(np.where(missing.all(axis=1), 0.0, largest))
        scaled = _scaled(np.where(missing, 0.0, columns), exponent)
        shares = ~missing if weights is None else np.where(missing, 0.0, weights)
        total = shares.sum(axis=1, dtype=np.float64)
        least = np.maximum(total, np.finfo(np.float64).tiny)
        mean = np.einsum("ij,ij->i", scaled, shares) / least
        deviations = np.where(missing, 0.0, scaled - mean[:, np.newaxis])
        error = np.einsum("ij,ij->i", deviations, shares) / least
        squares = np.einsum("ij,ij,ij->i", deviations, deviations, shares) - total * error**2
        weight = None if weights is None else float(weights.sum())
        count = columns.shape[1]
        return cls(count, exponent, mean + error, np.maximum(squares, 0.0), weight, total)

    def merge(self, other: Self) -> Self:
        """Return the moments of these rows followed by the other's."""
        if other.count == 0:
            return self
        if self.count == 0:
            return other
        weight = merged_weight(self, other)
        exponent = np.maximum(self.exponent, other.exponent)
        left_mean, left_squares = self._in_units(exponent)
        right_mean, right_squares = other._in_units(exponent)
        delta = right_mean - left_mean
        count = self.count + other.count
        if self.observed is None and other.observed is None:
            share = other.weight / (self.weight + other.weight)
            squares = left_squares + right_squares + delta**2 * (self.weight * share)
            return type(self)(count, exponent, left_mean + delta * share, squares, weight)
        left, right = self.observed_weight, other.observed_weight
        total = left + right
        shares = right / np.where(total > 0, total, 1.0)
        squares = left_squares + right_squares + delta**2 * (left * shares)
        return type(self)(count, exponent, left_mean + delta * shares, squares, weight, total)

    def _in_units(self, exponent: NDArray[np.int64]) -> tuple[Floats, Floats]:
        shift = self.exponent - exponent
        return np.ldexp(self.scaled_mean, shift), np.ldexp(self.scaled_squares, 2 * shift)

    @property
    def mean(self) -> Floats:
        """Means (d,); NaN of no rows."""
        if self.count == 0:
            return np.full(len(self.exponent), np.nan)
        result: Floats = np.ldexp(self.scaled_mean, self.exponent)
        return result

    @property
    def variance(self) -> Floats:
        """Population variances (d,); NaN of no rows, infinite or 0 where float64 cannot hold it."""
        if self.count == 0:
            return np.full(len(self.exponent), np.nan)
        weight = self.weight if self.observed is None else np.maximum(self.observed, 1e-300)
        with np.errstate(over="ignore", under="ignore"):
            result: Floats = np.ldexp(self.scaled_squares / weight, 2 * self.exponent)
        return result


def _mean(columns: Floats, weights: Floats | None) -> Floats:
    """Means (d,) of columns (d, b)."""
    if weights is None:
        return np.asarray(columns.mean(axis=1))
    return np.asarray(columns @ weights / weights.sum())


def _units(largest: Floats) -> NDArray[np.int64]:
    """Exponents (d,) of the units in which columns of these largest magnitudes are measured."""
    exponent = np.frexp(largest)[1].astype(np.int64)
    modest = np.abs(exponent) <= _MODEST
    return np.where(largest == 0, _ZERO_EXPONENT, np.where(modest, 0, exponent))


def _scaled(columns: Floats, exponent: NDArray[np.int64]) -> Floats:
    """Columns over 2^exponent; modest ones as they are (ldexp takes 8 ns a value)."""
    if ((exponent == 0) | (exponent == _ZERO_EXPONENT)).all():
        return columns
    result: Floats = np.ldexp(columns, -exponent[:, np.newaxis])
    return result
