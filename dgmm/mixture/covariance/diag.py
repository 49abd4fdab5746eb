"""Diagonal covariances: features independent inside a component; Σ is (k, d)."""

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
class Diag(UncorrelatedFamily):
    """φ(y) = [y², y, 1]."""

    name = scikit_learn_type = "diag"
    form = "squares"
    moves_moments = True

    def quadratic_width(self, d: int) -> int:
        """The number of features, d."""
        return d

    def fill_quadratic(self, Y: Tile, part: QuadraticPart, out: Tile, backend: Backend) -> None:
        """y²."""
        np.multiply(Y, Y, out=out)

    def quadratic_parameters(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        """−½Λ."""
        return -0.5 * precisions_cholesky**2

    def linear_parameters(self, precisions_cholesky: Array, means: Array) -> Array:
        """Λ_k μ_k."""
        return precisions_cholesky**2 * means

    def second_moment(self, D: Array, r: Array) -> Array:
        """Σ r D²."""
        return np.asarray((D * D) @ r)

    def covariances(self, moments: Moments) -> Array:
        """σ² = M₂/n − δ²."""
        with np.errstate(divide="ignore", invalid="ignore"):
            shift = moments.first / moments.counts[:, None]
            return moments.second / moments.counts[:, None] - shift**2

    def regularised(self, covariances: Array, regularisation: Array) -> Array:
        """σ² + r."""
        return covariances + regularisation

    def half_log_det_precision(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        """Σ log 1/σ: a sum of logarithms, since the product under- and overflows."""
        return np.asarray(np.log(precisions_cholesky).sum(axis=1))

    def precision_bound(self, precisions_cholesky: Array, k: int) -> Array:
        """The largest 1/σ²."""
        return np.asarray((precisions_cholesky**2).max(axis=1))

    def variances(self, covariances: Array, k: int, d: int) -> Array:
        """σ²."""
        return covariances

    def rescaled(self, covariances: Array, scale: Array) -> Array:
        """σ² s², one factor at a time."""
        return covariances * scale * scale

    def rescaled_factors(self, precisions_cholesky: Array, scale: Array) -> Array:
        """Divided by the scale."""
        return np.asarray(precisions_cholesky / scale)

    def marginal(self, covariances: Array, features: Features) -> Array:
        """σ² of those features."""
        return covariances[:, features]

    def recentred(self, moments: Moments, observed: Array, points: Array) -> Moments:
        """M₂ − 2cM₁ + nc² with the n of each feature."""
        first = moments.first - observed * points
        second = moments.second - points * (moments.first + first)
        return Moments(moments.counts, first, second)

    def about(self, moments: Moments, points: Array) -> Moments:
        """`recentred`, of rows that have a value of each feature."""
        observed = np.repeat(moments.counts[:, None], moments.first.shape[1], axis=1)
        return self.recentred(moments, observed, points)

    def completed(
        self, moments: Moments, observed: Array, seen: NDArray[np.bool_], covariances: Array
    ) -> Moments:
        """Both moments over the n of each feature, times that of the component."""
        counts, share = moments.counts[:, None], np.where(seen, observed, 1.0)
        first = np.where(seen, moments.first / share, 0.0)
        second = np.where(seen, moments.second / share, covariances)
        return Moments(moments.counts, counts * first, counts * second)

    def scatter_about(self, covariances: Array, counts: Array, shift: Array) -> Array:
        """n_kj σ̂² + g²."""
        return np.where(counts > 0, counts * np.where(counts > 0, covariances, 0.0), 0.0) + shift**2

    def mode_divisor(self, counts: Array, degrees_of_freedom: float) -> Array:
        """ν + n_kj + 3."""
        return np.asarray(degrees_of_freedom + counts + 3)

    def mode_exponent(self, degrees_of_freedom: float, k: int, d: int) -> float:
        """ν + 3 for each variance."""
        return degrees_of_freedom + 3

    def n_pooled(self, k: int, d: int) -> int:
        """1: each variance has its own."""
        return 1

    def log_prior_norm(self, scale: Array, degrees_of_freedom: float, k: int, d: int) -> float:
        """Inverse gamma for each variance."""
        return k * log_gamma_norm(np.broadcast_to(scale, (1, d)), degrees_of_freedom)

    def even_scale(self, covariances: Array, units: Array) -> Array:
        """The features' mean variance in their own units, for all of them (as mclust has it)."""
        mean = self.rescaled(covariances, units).mean(axis=1, keepdims=True)
        return self.rescaled(np.repeat(mean, len(units), axis=1), 1.0 / units)

    def n_parameters(self, k: int, d: int) -> int:
        """k·d."""
        return k * d

    def covariance_shape(self, k: int, d: int) -> tuple[int, ...]:
        """(k, d)."""
        return (k, d)
