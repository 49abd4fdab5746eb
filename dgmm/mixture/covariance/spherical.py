"""Spherical covariances: one variance for all features of a component; Σ is (k,)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends import Backend
from dgmm.mixture.covariance.conjugate import log_gamma_norm
from dgmm.mixture.covariance.family import Array, Moments, QuadraticPart, Tile
from dgmm.mixture.covariance.marginals import Features
from dgmm.mixture.covariance.uncorrelated import UncorrelatedFamily


@dataclass(frozen=True)
class Spherical(UncorrelatedFamily):
    """φ(y) = [‖y‖², y, 1]."""

    name = scikit_learn_type = "spherical"
    form = "norm"
    common_scale = moves_moments = True

    def quadratic_width(self, d: int) -> int:
        """One."""
        return 1

    def fill_quadratic(self, Y: Tile, part: QuadraticPart, out: Tile, backend: Backend) -> None:
        """‖y‖²."""
        np.multiply(Y[0], Y[0], out=out[0])
        for row in Y[1:]:  # not einsum, whose fused operations compiled code does not have
            out[0] += row * row

    def quadratic_parameters(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        """−½Λ."""
        return -0.5 * precisions_cholesky[:, None] ** 2

    def linear_parameters(self, precisions_cholesky: Array, means: Array) -> Array:
        """Λ_k μ_k."""
        return precisions_cholesky[:, None] ** 2 * means

    def second_moment(self, D: Array, r: Array) -> Array:
        """Σ r ‖D‖²."""
        return np.array([np.einsum("ij,ij->j", D, D) @ r])

    def covariances(self, moments: Moments) -> Array:
        """σ² = (M₂/n − ‖δ‖²)/d."""
        with np.errstate(divide="ignore", invalid="ignore"):
            shift = moments.first / moments.counts[:, None]
            total = moments.second[:, 0] / moments.counts - (shift**2).sum(axis=1)
        return np.asarray(total / shift.shape[1])

    def regularised(self, covariances: Array, regularisation: Array) -> Array:
        """σ² + the mean of r."""
        return np.asarray(covariances + regularisation.mean())

    def half_log_det_precision(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        """The sum over features of log 1/σ: d log 1/σ."""
        return d * np.log(precisions_cholesky)

    def precision_bound(self, precisions_cholesky: Array, k: int) -> Array:
        """1/σ²."""
        return precisions_cholesky**2

    def variances(self, covariances: Array, k: int, d: int) -> Array:
        """σ², d times."""
        return np.repeat(covariances[:, None], d, axis=1)

    def rescaled(self, covariances: Array, scale: Array) -> Array:
        """σ² s² for the scale common to all features."""
        return np.asarray(covariances * scale[0] * scale[0])

    def rescaled_factors(self, precisions_cholesky: Array, scale: Array) -> Array:
        """Divided by the scale."""
        return np.asarray(precisions_cholesky / scale[0])

    def marginal(self, covariances: Array, features: Features) -> Array:
        """σ² again."""
        return covariances

    def recentred(self, moments: Moments, observed: Array, points: Array) -> Moments:
        """M₂ − Σ (2cM₁ − nc²) with the n of each feature."""
        first = moments.first - observed * points
        moved = (points * (moments.first + first)).sum(axis=1, keepdims=True)
        return Moments(moments.counts, first, moments.second - moved)

    def about(self, moments: Moments, points: Array) -> Moments:
        """`recentred`, of rows that have a value of each feature."""
        observed = np.repeat(moments.counts[:, None], moments.first.shape[1], axis=1)
        return self.recentred(moments, observed, points)

    def completed(
        self, moments: Moments, observed: Array, seen: NDArray[np.bool_], covariances: Array
    ) -> Moments:
        """One variance of all observed values about their own means: n(dσ² + ‖δ‖²)."""
        counts, share = moments.counts[:, None], np.where(seen, observed, 1.0)
        shift = np.where(seen, moments.first / share, 0.0)
        total = observed.sum(axis=1)
        squares = moments.second[:, 0] - (observed * shift**2).sum(axis=1)
        has_any = seen.any(axis=1)
        variance = np.where(has_any, squares / np.where(has_any, total, 1.0), covariances)
        second = observed.shape[1] * variance + (shift**2).sum(axis=1)
        return Moments(moments.counts, counts * shift, counts * second[:, None])

    def scatter_about(self, covariances: Array, counts: Array, shift: Array) -> Array:
        """Σ_j n_kj σ̂² + ‖g‖²."""
        n = counts.sum(axis=1)
        own = np.where(n > 0, n * np.where(n > 0, covariances, 0.0), 0.0)
        return np.asarray(own + (shift**2).sum(axis=1))

    def mode_divisor(self, counts: Array, degrees_of_freedom: float) -> Array:
        """ν + Σ_j n_kj + d + 2."""
        return np.asarray(degrees_of_freedom + counts.sum(axis=1) + counts.shape[1] + 2)

    def mode_exponent(self, degrees_of_freedom: float, k: int, d: int) -> float:
        """(ν + d + 2)/d for each of d equal variances."""
        return (degrees_of_freedom + d + 2) / d

    def n_pooled(self, k: int, d: int) -> int:
        """All features'."""
        return d

    def log_prior_norm(self, scale: Array, degrees_of_freedom: float, k: int, d: int) -> float:
        """Inverse gamma, k times."""
        return k * log_gamma_norm(scale, degrees_of_freedom)

    def n_parameters(self, k: int, d: int) -> int:
        """One a component."""
        return k

    def covariance_shape(self, k: int, d: int) -> tuple[int, ...]:
        """(k,)."""
        return (k,)
