"""Means and squared deviations of columns as a monoid, each of the values that it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ColumnMoments:
    """Of the finite values of some rows; merged as `CentredScatter` is.

    Parameters
    ----------
    weight : (m,)
        Values of each column, or the sum of their rows' weights.
    mean, squares : (m,)
        Σ w x / Σ w, and Σ w (x − mean)².
    """

    weight: Floats
    mean: Floats
    squares: Floats

    @classmethod
    def of_rows(cls, rows: Floats, weights: Floats | None = None) -> Self:
        """Of rows (b, m), NaN and infinity left out."""
        known = np.isfinite(rows)
        w = known.astype(np.float64) if weights is None else known * weights[:, np.newaxis]
        values, total = np.where(known, rows, 0.0), w.sum(axis=0)
        divisor = np.where(total > 0, total, 1.0)
        mean = (w * values).sum(axis=0) / divisor
        deviations = values - mean
        error = (w * deviations).sum(axis=0) / divisor  # that of the rounded mean
        squares = (w * deviations**2).sum(axis=0) - total * error**2
        return cls(total, mean + error, np.maximum(squares, 0.0))

    def merge(self, other: Self) -> Self:
        """Of both."""
        weight, delta = self.weight + other.weight, other.mean - self.mean
        divisor = np.where(weight > 0, weight, 1.0)
        share = other.weight / divisor
        squares = self.squares + other.squares + self.weight * share * delta**2
        # Of no values the mean is 0, and counts for nothing.
        mean = np.where(self.weight > 0, self.mean + delta * share, other.mean)
        return type(self)(weight, mean, squares)

    @property
    def variance(self) -> Floats:
        """Of the population (m,); 0 of no values."""
        return self.squares / np.where(self.weight > 0, self.weight, 1.0)
