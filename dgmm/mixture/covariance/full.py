"""Full covariances: every component its own ellipsoid; Σ is (k, d, d)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dgmm.mixture.backends import Backend
from dgmm.mixture.covariance import cholesky, symmetry
from dgmm.mixture.covariance.conjugate import log_wishart_norm
from dgmm.mixture.covariance.family import Array, Family, Moments, QuadraticPart, Tile
from dgmm.mixture.covariance.marginals import (
    Conditional,
    Features,
    correlated,
    lifted_first,
    lifted_second,
)
from dgmm.mixture.covariance.triangles import pack, triangle, unpack


@dataclass(frozen=True)
class Full(Family):
    """φ(y) = [y_i y_j for i ≤ j, y, 1]."""

    name = scikit_learn_type = "full"
    form = "pairs"
    takes_rows = lifts_pairs = moves_moments = True

    def quadratic_width(self, d: int) -> int:
        """d(d + 1)/2."""
        return d * (d + 1) // 2

    def quadratic_parts(self, d: int, most_rows: int) -> tuple[QuadraticPart, ...]:
        """Whole features together: feature i gives d − i products."""
        parts, first, start, row = [], 0, 0, 0
        for i in range(d):
            if row > start and row + d - i - start > most_rows:
                parts.append(QuadraticPart(first, i, start, row))
                first, start = i, row
            row += d - i
        return (*parts, QuadraticPart(first, d, start, row))

    def fill_quadratic(self, Y: Tile, part: QuadraticPart, out: Tile, backend: Backend) -> None:
        """y_i y_j for i ≤ j."""
        backend.pairs(Y, part.first, part.last, out)

    def quadratic_parameters(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        """−½Λ, off-diagonals counted twice since φ holds each product once."""
        precisions = self.precisions(precisions_cholesky)
        i, j = triangle(d)
        return precisions[:, i, j] * _shares(d)

    def linear_parameters(self, precisions_cholesky: Array, means: Array) -> Array:
        """Λ_k μ_k = U (Uᵀ μ)."""
        whitened = np.swapaxes(precisions_cholesky, 1, 2) @ means[:, :, None]
        return np.asarray((precisions_cholesky @ whitened)[:, :, 0])

    def whiten(self, precisions_cholesky: Array, k: int, D: Array) -> Array:
        """U_kᵀ D."""
        return np.asarray(precisions_cholesky[k].T @ D)

    def second_moment(self, D: Array, r: Array) -> Array:
        """Σ r D Dᵀ, packed."""
        return pack((D * r) @ D.T)

    def covariances(self, moments: Moments) -> Array:
        """Σ_k = M₂/n − δ δᵀ with δ = M₁/n."""
        with np.errstate(divide="ignore", invalid="ignore"):
            shift = moments.first / moments.counts[:, None]
            second = unpack(moments.second / moments.counts[:, None], shift.shape[1])
            second -= shift[:, :, None] * shift[:, None, :]  # it is ours: new memory is slow
        return second

    def regularised(self, covariances: Array, regularisation: Array) -> Array:
        """Σ_k + diag(r)."""
        return covariances + np.diag(regularisation)

    def precisions_cholesky(self, covariances: Array) -> Array:
        """Upper triangular U_k."""
        return cholesky.precisions_cholesky(covariances)

    def precisions(self, precisions_cholesky: Array) -> Array:
        """U Uᵀ."""
        return np.asarray(precisions_cholesky @ np.swapaxes(precisions_cholesky, -1, -2))

    def half_log_det_precision(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        """Σ log diag U_k."""
        return np.asarray(np.log(np.diagonal(precisions_cholesky, axis1=1, axis2=2)).sum(axis=1))

    def precision_bound(self, precisions_cholesky: Array, k: int) -> Array:
        """λ_max(Λ) ≤ ‖Λ‖_∞, at most √d too large and far cheaper than eigenvalues."""
        precisions = self.precisions(precisions_cholesky)
        return np.asarray(np.abs(precisions).sum(axis=2).max(axis=1))

    def full_covariance(self, covariances: Array, k: int, d: int) -> Array:
        """Σ_k."""
        return np.asarray(covariances[k])

    def variances(self, covariances: Array, k: int, d: int) -> Array:
        """Diagonals."""
        return np.ascontiguousarray(np.diagonal(covariances, axis1=1, axis2=2))

    def rescaled(self, covariances: Array, scale: Array) -> Array:
        """S Σ S; one factor at a time, since the product of two scales may overflow alone."""
        return covariances * scale[:, None] * scale[None, :]

    def asymmetric_entry(self, matrices: Array, eps: float) -> tuple[int, ...] | None:
        """The worst entry of any matrix."""
        return symmetry.asymmetric_entry(matrices, eps)

    def upper_factors(self, factors: Array) -> Array | None:
        """U_k, of lower triangular factors too."""
        return cholesky.upper_factors(factors)

    def inverse(self, covariances: Array) -> Array:
        """Matrix inverses, made symmetric."""
        inverses = np.linalg.inv(covariances)
        return np.asarray((inverses + np.swapaxes(inverses, -1, -2)) / 2.0)

    def log_factors(self, covariances: Array) -> Array:
        """L_k with log diagonals, Σ_k = L_k L_kᵀ."""
        return cholesky.log_factors(covariances)

    def covariances_of_log_factors(self, log_factors: Array) -> Array:
        """L_k L_kᵀ."""
        return cholesky.covariances_of_log_factors(log_factors)

    def rescaled_factors(self, precisions_cholesky: Array, scale: Array) -> Array:
        """Divided by the scale."""
        return np.asarray(precisions_cholesky / scale[:, None])

    def marginal(self, covariances: Array, features: Features) -> Array:
        """Σ_oo of each component."""
        return np.ascontiguousarray(covariances[:, features[:, None], features])

    def conditional(
        self, covariances: Array, factors: Array, k: int, observed: Features, missing: Features
    ) -> Conditional:
        """A regression and a residual covariance for each component."""
        cross = covariances[:, missing[:, None], observed]
        within = self.marginal(covariances, missing)
        return correlated(observed, missing, cross, within, factors, k)

    def lifted(self, moments: Moments, conditional: Conditional, points: Array | None) -> Moments:
        """All components at once; M₂ᵒ − c M₁ᵀ − M₁ cᵀ + n c cᵀ is m₂ about c."""
        n, first = moments.counts, moments.first
        second = unpack(moments.second, first.shape[1])
        if points is not None:
            first = _move(second, first, n, points)
        lifted = lifted_second(second, n, conditional)
        return Moments(n, lifted_first(first, conditional), lifted)

    def about(self, moments: Moments, points: Array) -> Moments:
        """M₂ − c M₁ᵀ − M₁ cᵀ + n c cᵀ."""
        second = unpack(moments.second, moments.first.shape[1])
        first = _move(second, moments.first, moments.counts, points)
        return Moments(moments.counts, first, pack(second))

    def scatter_about(self, covariances: Array, counts: Array, shift: Array) -> Array:
        """n_k Σ̂_k + g_k g_kᵀ."""
        n = counts[:, :1, None]
        own = np.where(n > 0, n * np.where(n > 0, covariances, 0.0), 0.0)
        return np.asarray(own + shift[:, :, None] * shift[:, None, :])

    def mode_divisor(self, counts: Array, degrees_of_freedom: float) -> Array:
        """ν + n_k + d + 2."""
        return np.asarray(degrees_of_freedom + counts[:, :1, None] + counts.shape[1] + 2)

    def mode_exponent(self, degrees_of_freedom: float, k: int, d: int) -> float:
        """ν + d + 2."""
        return degrees_of_freedom + d + 2

    def n_pooled(self, k: int, d: int) -> int:
        """1: each entry has its own."""
        return 1

    def scale_trace(self, precisions_cholesky: Array, k: int, scale: Array, d: int) -> float:
        """‖U_kᵀ L‖² with Λ₀ = L Lᵀ."""
        root = np.asarray(np.linalg.cholesky(scale[0]), dtype=np.float64)
        return float((self.whiten(precisions_cholesky, k, root) ** 2).sum())

    def log_prior_norm(self, scale: Array, degrees_of_freedom: float, k: int, d: int) -> float:
        """Inverse Wishart, k times."""
        return k * log_wishart_norm(np.linalg.slogdet(scale[0])[1], degrees_of_freedom, d)

    def least_degrees_of_freedom(self, d: int) -> float:
        """d − 1."""
        return d - 1.0

    def n_parameters(self, k: int, d: int) -> int:
        """k·d(d + 1)/2."""
        return k * d * (d + 1) // 2

    def least_rows(self, k: int, d: int) -> int:
        """k·(d + 1): a component's rows have to span all d directions from its mean."""
        return k * (d + 1)

    def covariance_shape(self, k: int, d: int) -> tuple[int, ...]:
        """(k, d, d)."""
        return (k, d, d)


@lru_cache(maxsize=16)
def _shares(d: int) -> Array:
    """−½ for each entry of a packed triangle that stands once in a matrix, −1 for one twice."""
    i, j = triangle(d)
    return np.where(i == j, -0.5, -1.0)


def _move(second: Array, first: Array, n: Array, points: Array) -> Array:
    """Second moments (k, d, d) about the origin, in place, to those about points; the first."""
    half = first - 0.5 * n[:, None] * points
    across = points[:, :, None] * half[:, None, :]
    second -= across
    second -= np.swapaxes(across, 1, 2)
    return np.asarray(first - n[:, None] * points)
