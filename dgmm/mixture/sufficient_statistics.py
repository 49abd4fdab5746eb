"""Sufficient statistics: a commutative monoid under addition; all that a pass returns of its rows.

Laws (tests/laws): merging is associative and commutative up to rounding, `zero` is neutral, and the
statistics of rows cut anywhere merge to those of the whole. Bits are fixed by the tree that merges
them, not by this class.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.covariance.family import Family, Moments

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """Σ w r φ(y − c_k) of some rows of weights w, for every component k.

    Attributes
    ----------
    n_rows : int
        Rows seen, exactly.
    log_likelihood : float
        Σ w log p(y) over rows; without the quadratic term that is common to all components
        where the kernel is not `is_complete` (see `dgmm.fitting.em.e_step`).
    sums : (k, p)
        Columns as in φ: quadratic, linear, count.
    scatter : (s,) or None
        Scatter of the rows about the reference, for families with a `scatter_width`.
    reference : (k, d) or None
        The points c_k; None is the origin of the standardised data.
    sum_of_weights : float or None
        None where each row weighs 1.
    observed : (k, d) or None
        Σ w r of the rows that have a value of each feature, where features are masked; the sums are
        then of observed values alone. None where they are of all features.
    noise : float or None
        Σ w r of the noise component; None without one. The scatter is then Σ w (1 − r) y yᵀ.
    """

    n_rows: int
    log_likelihood: float
    sums: Array
    scatter: Array | None = None
    reference: Array | None = None
    sum_of_weights: float | None = None
    observed: Array | None = None
    noise: float | None = None

    @property
    def weight(self) -> float:
        """Sum of the rows' weights: what means over rows are divided by."""
        return self.n_rows if self.sum_of_weights is None else self.sum_of_weights

    @property
    def rows_per_weight(self) -> float:
        """1 over the mean weight: what makes Σ w r a number of rows, in whatever unit w is."""
        return 1.0 if self.sum_of_weights is None else self.n_rows / self.sum_of_weights

    @classmethod
    def zero(
        cls, k: int, p: int, scatter_width: int | None, reference: Array | None = None
    ) -> Self:
        """Return the neutral element."""
        scatter = None if scatter_width is None else np.zeros(scatter_width)
        return cls(0, 0.0, np.zeros((k, p)), scatter, reference)

    def merge(self, other: Self) -> Self:
        """Return the statistics of these rows and the others."""
        scatter = None
        if self.scatter is not None and other.scatter is not None:
            scatter = self.scatter + other.scatter
        observed = None
        if self.observed is not None and other.observed is not None:
            observed = self.observed + other.observed
        return type(self)(
            self.n_rows + other.n_rows,
            self.log_likelihood + other.log_likelihood,
            self.sums + other.sums,
            scatter,
            self.reference,
            merged_weight(self, other),
            observed,
            None if self.noise is None or other.noise is None else self.noise + other.noise,
        )

    def with_scatter(self, scatter: Array) -> Self:
        """The same with a scatter that was summed apart."""
        return replace(self, scatter=scatter)

    def with_observed(self, observed: Array) -> Self:
        """The same of masked features."""
        return replace(self, observed=observed)

    def moments(
        self, family: Family, scatter: Array | None = None, d: int | None = None
    ) -> Moments:
        """Split the columns of φ into counts, first and second moments about the reference.

        Parameters
        ----------
        family
            The family whose φ was summed.
        scatter
            Total scatter about the origin, known from an earlier pass, where these statistics
            carry none of their own.
        d
            The number of features, where it is known.
        """
        d = linear_width(family, self.sums.shape[1]) if d is None else d
        q = family.quadratic_width(d)
        return Moments(
            counts=self.sums[:, -1],
            first=self.sums[:, q : q + d],
            second=self.sums[:, :q],
            scatter=self.scatter if self.scatter is not None else scatter,
        )


class Weighted(Protocol):
    """Sums over rows that may have weights."""

    @property
    def sum_of_weights(self) -> float | None:
        """None where each row weighs 1."""

    @property
    def weight(self) -> float:
        """Sum of the weights, in any case."""


def merged_weight(one: Weighted, other: Weighted) -> float | None:
    """The sum of weights of both; None where neither has weights."""
    if one.sum_of_weights is None and other.sum_of_weights is None:
        return None
    return one.weight + other.weight


def linear_width(family: Family, p: int) -> int:
    """Number of features d for which φ has p entries."""
    d = 0
    while family.width(d) < p:
        d += 1
    return d
