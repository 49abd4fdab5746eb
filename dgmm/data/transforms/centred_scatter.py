"""Means of columns, and the scatter about them, as a monoid: what components are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CentredScatter:
    """Complete rows of some blocks; merged in the order of the blocks.

    Merging follows Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance",
    equation 2.1b, for matrices.

    Parameters
    ----------
    weight : float
        Rows, or the sum of their weights.
    mean : (d,)
    scatter : (d, d)
        Σ w (x − mean)(x − mean)ᵀ.
    """

    weight: float
    mean: Floats
    scatter: Floats

    @classmethod
    def zero(cls, n_features: int) -> Self:
        """Of no rows."""
        return cls(0.0, np.zeros(n_features), np.zeros((n_features, n_features)))

    @classmethod
    def of_rows(cls, rows: Floats, weights: Floats | None = None) -> Self:
        """Of rows (b, d), those with a missing value left out."""
        complete = np.isfinite(rows).all(axis=1)
        rows = rows[complete]
        if not len(rows):
            return cls.zero(rows.shape[1])
        w = np.ones(len(rows)) if weights is None else weights[complete]
        total = float(w.sum())
        if total == 0.0:
            return cls.zero(rows.shape[1])
        mean = w @ rows / total
        deviations = rows - mean
        # The rounded mean is off by the deviations' own mean.
        error = w @ deviations / total
        scatter = (deviations * w[:, np.newaxis]).T @ deviations - total * np.outer(error, error)
        return cls(total, mean + error, scatter)

    def merge(self, other: Self) -> Self:
        """Of both."""
        if not other.weight:
            return self
        if not self.weight:
            return other
        weight, delta = self.weight + other.weight, other.mean - self.mean
        share = other.weight / weight
        scatter = self.scatter + other.scatter + self.weight * share * np.outer(delta, delta)
        return type(self)(weight, self.mean + delta * share, scatter)
