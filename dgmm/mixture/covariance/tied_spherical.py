"""Tied spherical covariance (EII): one variance for all features of all components.

With equal weights and rows assigned whole, EM of this family is k-means (Celeux & Govaert, *A
classification EM algorithm for clustering and two stochastic versions*, Computational Statistics &
Data Analysis 14, 1992).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dgmm.mixture.covariance.conjugate import log_gamma_norm
from dgmm.mixture.covariance.family import Array, Moments
from dgmm.mixture.covariance.marginals import Conditional, Features
from dgmm.mixture.covariance.tied_uncorrelated import TiedUncorrelated


@dataclass(frozen=True)
class TiedSpherical(TiedUncorrelated):
    """Σ is (1,)."""

    name = "tied_spherical"
    common_scale = True

    def squares_of(self, by_feature: Array) -> Array:
        """Their sum."""
        return np.asarray(by_feature.sum(keepdims=True))

    def scatter_width(self, d: int) -> int:
        """One."""
        return 1

    def covariances(self, moments: Moments) -> Array:
        """σ² = (T − Σ_k n_k ‖δ_k‖²)/(N d)."""
        total = self.within_squares(moments) / moments.counts.sum()
        return np.asarray(total / moments.first.shape[1])

    def regularised(self, covariances: Array, regularisation: Array) -> Array:
        """σ² + the mean of r."""
        return np.asarray(covariances + regularisation.mean())

    def half_log_det_precision(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        """The sum over features of log 1/σ: d log 1/σ."""
        return np.full(k, d * np.log(precisions_cholesky[0]))

    def rescaled(self, covariances: Array, scale: Array) -> Array:
        """σ² s² for the scale common to all features."""
        return np.asarray(covariances * scale[0] * scale[0])

    def rescaled_factors(self, precisions_cholesky: Array, scale: Array) -> Array:
        """Divided by the scale."""
        return np.asarray(precisions_cholesky / scale[0])

    def marginal(self, covariances: Array, features: Features) -> Array:
        """σ² again."""
        return covariances

    def completed_squares(self, observed: Array, lacked: Array, conditional: Conditional) -> Array:
        """Their sum."""
        return np.asarray(observed + lacked.sum())

    def scatter_about(self, covariances: Array, counts: Array, shift: Array) -> Array:
        """Σ_kj n_kj σ̂² + Σ_k ‖g_k‖²."""
        return np.asarray(counts.sum() * covariances + (shift**2).sum())

    def mode_divisor(self, counts: Array, degrees_of_freedom: float) -> Array:
        """ν + Σ_kj n_kj + kd + 2: one variance, k means of d features."""
        return np.asarray(degrees_of_freedom + counts.sum() + counts.size + 2)

    def mode_exponent(self, degrees_of_freedom: float, k: int, d: int) -> float:
        """(ν + kd + 2)/(kd), for each of kd equal variances."""
        return (degrees_of_freedom + k * d + 2) / (k * d)

    def n_pooled(self, k: int, d: int) -> int:
        """All components' and features'."""
        return k * d

    def log_prior_norm(self, scale: Array, degrees_of_freedom: float, k: int, d: int) -> float:
        """Inverse gamma, once."""
        return log_gamma_norm(scale, degrees_of_freedom)

    def n_parameters(self, k: int, d: int) -> int:
        """One."""
        return 1

    def least_rows(self, k: int, d: int) -> int:
        """k + 1: some row has to differ from its component's mean."""
        return k + 1

    def covariance_shape(self, k: int, d: int) -> tuple[int, ...]:
        """(1,)."""
        return (1,)
