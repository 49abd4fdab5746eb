"""Tied covariance: all components share one ellipsoid; Σ is (d, d).

yᵀΛy is common to all components and cancels from the responsibilities, so φ(y) = [y, 1] and a pass
costs no more than a spherical one. The scatter T about a reference replaces the components' second
moments: Σ = (T − Σ_k n_k δ_k δ_kᵀ)/N.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dgmm.mixture.backends import Backend
from dgmm.mixture.covariance import cholesky, symmetry
from dgmm.mixture.covariance.conjugate import log_wishart_norm
from dgmm.mixture.covariance.family import Array, Moments, QuadraticPart, SharedFamily, Tile
from dgmm.mixture.covariance.marginals import (
    Conditional,
    Features,
    correlated,
    lifted_first,
    lifted_second,
)
from dgmm.mixture.covariance.triangles import pack, unpack


@dataclass(frozen=True)
class Tied(SharedFamily):
    """φ(y) = [y, 1]; the quadratic term is summed as one scatter."""

    name = scikit_learn_type = "tied"
    lifts_pairs = moves_moments = True

    def quadratic_width(self, d: int) -> int:
        """None."""
        return 0

    def scatter_width(self, d: int) -> int:
        """d(d + 1)/2."""
        return d * (d + 1) // 2

    def scatter(self, D: Array, r: Array | None = None) -> Array:
        """Σ r D Dᵀ, packed."""
        return pack(D @ D.T if r is None else (D * r) @ D.T)

    def pooled_log_prob(self, precisions_cholesky: Array, scatter: Array, d: int) -> float:
        """−½ Σ U ∘ TU."""
        T = unpack(scatter, d)
        return -0.5 * float(np.einsum("ij,ij->", precisions_cholesky, T @ precisions_cholesky))

    def fill_quadratic(self, Y: Tile, part: QuadraticPart, out: Tile, backend: Backend) -> None:
        """Nothing to fill."""

    def quadratic_parameters(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        """Empty."""
        return np.empty((k, 0))

    def linear_parameters(self, precisions_cholesky: Array, means: Array) -> Array:
        """Λ μ_k = U (Uᵀ μ_k)."""
        return np.asarray((means @ precisions_cholesky) @ precisions_cholesky.T)

    def whiten(self, precisions_cholesky: Array, k: int, D: Array) -> Array:
        """Uᵀ D."""
        return np.asarray(precisions_cholesky.T @ D)

    def second_moment(self, D: Array, r: Array) -> Array:
        """Empty: all is in `scatter`."""
        return np.empty(0)

    def covariances(self, moments: Moments) -> Array:
        """Σ = (T − Σ_k n_k δ_k δ_kᵀ)/N."""
        if moments.scatter is None:
            raise ValueError("tied covariance needs the scatter")
        counts = moments.counts
        roots = np.sqrt(counts)
        with np.errstate(divide="ignore", invalid="ignore"):
            shift = np.where(counts[:, None] > 0, moments.first / roots[:, None], 0.0)
        T = unpack(moments.scatter, shift.shape[1])
        return np.asarray((T - shift.T @ shift) / counts.sum())

    def regularised(self, covariances: Array, regularisation: Array) -> Array:
        """Σ + diag(r)."""
        return covariances + np.diag(regularisation)

    def precisions_cholesky(self, covariances: Array) -> Array:
        """Upper triangular U."""
        return np.asarray(cholesky.precisions_cholesky(covariances[None])[0])

    def precisions(self, precisions_cholesky: Array) -> Array:
        """U Uᵀ."""
        return np.asarray(precisions_cholesky @ np.swapaxes(precisions_cholesky, -1, -2))

    def half_log_det_precision(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        """Σ log diag U, the same for all."""
        return np.full(k, np.log(np.diagonal(precisions_cholesky)).sum())

    def precision_bound(self, precisions_cholesky: Array, k: int) -> Array:
        """λ_max(Λ) ≤ ‖Λ‖_∞."""
        return np.full(k, np.abs(self.precisions(precisions_cholesky)).sum(axis=1).max())

    def full_covariance(self, covariances: Array, k: int, d: int) -> Array:
        """Σ."""
        return covariances

    def variances(self, covariances: Array, k: int, d: int) -> Array:
        """The diagonal, k times."""
        return np.tile(np.diagonal(covariances), (k, 1))

    def rescaled(self, covariances: Array, scale: Array) -> Array:
        """S Σ S."""
        return covariances * scale[:, None] * scale[None, :]

    def asymmetric_entry(self, matrices: Array, eps: float) -> tuple[int, ...] | None:
        """The worst entry of any matrix."""
        return symmetry.asymmetric_entry(matrices, eps)

    def upper_factors(self, factors: Array) -> Array | None:
        """U, of a lower triangular factor too."""
        upper = cholesky.upper_factors(factors[None])
        return None if upper is None else upper[0]

    def inverse(self, covariances: Array) -> Array:
        """Matrix inverses, made symmetric."""
        inverses = np.linalg.inv(covariances)
        return np.asarray((inverses + np.swapaxes(inverses, -1, -2)) / 2.0)

    def log_factors(self, covariances: Array) -> Array:
        """L with log diagonal, Σ = L Lᵀ."""
        return np.asarray(cholesky.log_factors(covariances[None])[0])

    def covariances_of_log_factors(self, log_factors: Array) -> Array:
        """L Lᵀ."""
        return np.asarray(cholesky.covariances_of_log_factors(log_factors[None])[0])

    def rescaled_factors(self, precisions_cholesky: Array, scale: Array) -> Array:
        """Divided by the scale."""
        return np.asarray(precisions_cholesky / scale[:, None])

    def marginal(self, covariances: Array, features: Features) -> Array:
        """Σ_oo."""
        return np.ascontiguousarray(covariances[features[:, None], features])

    def conditional(
        self, covariances: Array, factors: Array, k: int, observed: Features, missing: Features
    ) -> Conditional:
        """One regression and one residual covariance for all components."""
        cross = covariances[missing[:, None], observed]
        within = self.marginal(covariances, missing)
        return correlated(observed, missing, cross, within, factors, k)

    def lifted(self, moments: Moments, conditional: Conditional, points: Array | None) -> Moments:
        """The whole scatter at once: about the means it is T − Σ_k (c M₁ᵀ + M₁ cᵀ − n c cᵀ)."""
        if moments.scatter is None:
            raise ValueError("tied covariance needs the scatter")
        n, first = moments.counts, moments.first
        scatter = unpack(moments.scatter, first.shape[1])
        if points is not None:
            first = _move(scatter, first, n, points)
        lifted = lifted_second(scatter, n.sum(), conditional)
        return Moments(n, lifted_first(first, conditional), moments.second, lifted)

    def about(self, moments: Moments, points: Array) -> Moments:
        """T − Σ_k (c M₁ᵀ + M₁ cᵀ − n c cᵀ)."""
        if moments.scatter is None:
            raise ValueError("tied covariance needs the scatter")
        scatter = unpack(moments.scatter, moments.first.shape[1])
        first = _move(scatter, moments.first, moments.counts, points)
        return Moments(moments.counts, first, moments.second, pack(scatter))

    def scatter_about(self, covariances: Array, counts: Array, shift: Array) -> Array:
        """N Σ̂ + Σ_k g_k g_kᵀ."""
        return np.asarray(counts[:, 0].sum() * covariances + shift.T @ shift)

    def mode_divisor(self, counts: Array, degrees_of_freedom: float) -> Array:
        """ν + N + k + d + 1: one covariance, k means."""
        k, d = counts.shape
        return np.asarray(degrees_of_freedom + counts[:, 0].sum() + k + d + 1)

    def mode_exponent(self, degrees_of_freedom: float, k: int, d: int) -> float:
        """(ν + k + d + 1)/k, k times."""
        return (degrees_of_freedom + k + d + 1) / k

    def n_pooled(self, k: int, d: int) -> int:
        """All components'."""
        return k

    def scale_trace(self, precisions_cholesky: Array, k: int, scale: Array, d: int) -> float:
        """‖Uᵀ L‖² with Λ₀ = L Lᵀ."""
        root = np.asarray(np.linalg.cholesky(scale), dtype=np.float64)
        return float((self.whiten(precisions_cholesky, k, root) ** 2).sum())

    def log_prior_norm(self, scale: Array, degrees_of_freedom: float, k: int, d: int) -> float:
        """Inverse Wishart, once."""
        return log_wishart_norm(np.linalg.slogdet(scale)[1], degrees_of_freedom, d)

    def least_degrees_of_freedom(self, d: int) -> float:
        """d − 1."""
        return d - 1.0

    def n_parameters(self, k: int, d: int) -> int:
        """d(d + 1)/2."""
        return d * (d + 1) // 2

    def least_rows(self, k: int, d: int) -> int:
        """k + d: deviations from k means have to span all d directions."""
        return k + d

    def covariance_shape(self, k: int, d: int) -> tuple[int, ...]:
        """(d, d)."""
        return (d, d)


def _move(scatter: Array, first: Array, n: Array, points: Array) -> Array:
    """A scatter (d, d) about the origin, in place, to that about points; the first moments."""
    across = points.T @ (first - 0.5 * n[:, None] * points)
    scatter -= across + across.T
    return np.asarray(first - n[:, None] * points)
