"""What the two families with one diagonal covariance for all components have in common.

Their names in the literature are EEI (`tied_diag`) and EII (`tied_spherical`): Celeux & Govaert,
*Gaussian parsimonious clustering models*, Pattern Recognition 28, 1995. As with `tied`, yᵀΛy is
common to all components, φ(y) = [y, 1], and the scatter T about a reference replaces the
components' second moments: N Σ = T − Σ_k n_k δ_k², with the squares of each feature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dgmm.mixture.backends import Backend
from dgmm.mixture.covariance.family import Array, Moments, QuadraticPart, SharedFamily, Tile
from dgmm.mixture.covariance.marginals import Conditional, lifted_first
from dgmm.mixture.covariance.uncorrelated import UncorrelatedFamily


@dataclass(frozen=True)
class TiedUncorrelated(SharedFamily, UncorrelatedFamily):
    """φ(y) = [y, 1]; squares are summed as one scatter, (d,) or their sum (1,).

    `squares_of` is what a member says of itself: which sums of a feature's squares it keeps.
    """

    # What a row lacks is lacked by the term that all components share, too: rows are taken pattern
    # by pattern, and moments lifted.
    masks_features = False
    moves_moments = True

    def squares_of(self, by_feature: Array) -> Array:
        """Sums of squares (d,) to those that the covariance is made of."""
        raise NotImplementedError

    def of_component(self, values: Array, k: int) -> Array:
        """The same for all."""
        return values

    def quadratic_width(self, d: int) -> int:
        """None."""
        return 0

    def scatter(self, D: Array, r: Array | None = None) -> Array:
        """Σ r D²."""
        squares = D * D
        return self.squares_of(squares.sum(axis=1) if r is None else squares @ r)

    def fill_quadratic(self, Y: Tile, part: QuadraticPart, out: Tile, backend: Backend) -> None:
        """Nothing to fill."""

    def quadratic_parameters(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        """Empty."""
        return np.empty((k, 0))

    def linear_parameters(self, precisions_cholesky: Array, means: Array) -> Array:
        """Λ μ_k."""
        return precisions_cholesky**2 * means

    def second_moment(self, D: Array, r: Array) -> Array:
        """Empty: all is in `scatter`."""
        return np.empty(0)

    def pooled_log_prob(self, precisions_cholesky: Array, scatter: Array, d: int) -> float:
        """−½ Σ T/σ²."""
        return -0.5 * float(precisions_cholesky**2 @ scatter)

    def within_squares(self, moments: Moments) -> Array:
        """T − Σ_k n_k δ_k²."""
        if moments.scatter is None:
            raise ValueError(f"{self.name} covariances need the scatter")
        roots = np.sqrt(moments.counts)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            shift = np.where(roots > 0, moments.first / roots, 0.0)
        return np.asarray(moments.scatter - self.squares_of((shift**2).sum(axis=0)))

    def precision_bound(self, precisions_cholesky: Array, k: int) -> Array:
        """The largest 1/σ²."""
        return np.full(k, (precisions_cholesky**2).max())

    def variances(self, covariances: Array, k: int, d: int) -> Array:
        """σ², k times."""
        return np.tile(np.broadcast_to(covariances, (d,)), (k, 1))

    def lifted(self, moments: Moments, conditional: Conditional, points: Array | None) -> Moments:
        """Squares about the means as they are, N σ² for the features that rows lack."""
        if points is not None:
            moments = self.about(moments, points)
        n, first, scatter = moments.counts, moments.first, moments.scatter
        if scatter is None:
            raise ValueError(f"{self.name} covariances need the scatter")
        lacked = n.sum() * conditional.variances[0]
        lifted = self.completed_squares(scatter, lacked, conditional)
        return Moments(n, lifted_first(first, conditional), moments.second, lifted)

    def about(self, moments: Moments, points: Array) -> Moments:
        """T − Σ_k (2cM₁ − nc²)."""
        if moments.scatter is None:
            raise ValueError(f"{self.name} covariances need the scatter")
        n, first = moments.counts[:, None], moments.first
        moved = (points * (2.0 * first - n * points)).sum(axis=0)
        scatter = moments.scatter - self.squares_of(moved)
        return Moments(moments.counts, first - n * points, moments.second, scatter)

    def completed_squares(self, observed: Array, lacked: Array, conditional: Conditional) -> Array:
        """Squares of the observed features, and of those that are missing (m,), as one scatter."""
        raise NotImplementedError
