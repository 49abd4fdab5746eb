"""Tied diagonal covariance (EEI): one variance for each feature, the same for all components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dgmm.mixture.covariance.conjugate import log_gamma_norm
from dgmm.mixture.covariance.family import Array, Moments
from dgmm.mixture.covariance.marginals import Conditional, Features
from dgmm.mixture.covariance.tied_uncorrelated import TiedUncorrelated


@dataclass(frozen=True)
class TiedDiag(TiedUncorrelated):
    """Σ is (d,)."""

    name = "tied_diag"

    def squares_of(self, by_feature: Array) -> Array:
        """Each feature's."""
        return by_feature

    def scatter_width(self, d: int) -> int:
        """The number of features, d."""
        return d

    def covariances(self, moments: Moments) -> Array:
        """σ² = (T − Σ_k n_k δ_k²)/N."""
        return np.asarray(self.within_squares(moments) / moments.counts.sum())

    def regularised(self, covariances: Array, regularisation: Array) -> Array:
        """σ² + r."""
        return covariances + regularisation

    def half_log_det_precision(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        """Σ log 1/σ, the same for all."""
        return np.full(k, np.log(precisions_cholesky).sum())

    def rescaled(self, covariances: Array, scale: Array) -> Array:
        """σ² s², one factor at a time."""
        return covariances * scale * scale

    def rescaled_factors(self, precisions_cholesky: Array, scale: Array) -> Array:
        """Divided by the scale."""
        return np.asarray(precisions_cholesky / scale)

    def marginal(self, covariances: Array, features: Features) -> Array:
        """σ² of those features."""
        return covariances[features]

    def completed_squares(self, observed: Array, lacked: Array, conditional: Conditional) -> Array:
        """Each in its feature's place."""
        whole = np.empty(len(observed) + len(lacked))
        whole[conditional.observed] = observed
        whole[conditional.missing] = lacked
        return whole

    def scatter_about(self, covariances: Array, counts: Array, shift: Array) -> Array:
        """N_j σ̂² + Σ_k g_k²."""
        return np.asarray(counts.sum(axis=0) * covariances + (shift**2).sum(axis=0))

    def mode_divisor(self, counts: Array, degrees_of_freedom: float) -> Array:
        """ν + N_j + k + 2: one variance, k means."""
        return np.asarray(degrees_of_freedom + counts.sum(axis=0) + len(counts) + 2)

    def mode_exponent(self, degrees_of_freedom: float, k: int, d: int) -> float:
        """(ν + k + 2)/k, k times."""
        return (degrees_of_freedom + k + 2) / k

    def n_pooled(self, k: int, d: int) -> int:
        """All components'."""
        return k

    def log_prior_norm(self, scale: Array, degrees_of_freedom: float, k: int, d: int) -> float:
        """Inverse gamma for each variance."""
        return log_gamma_norm(scale, degrees_of_freedom)

    def even_scale(self, covariances: Array, units: Array) -> Array:
        """The features' mean variance in their own units, for all of them (as mclust has it)."""
        mean = self.rescaled(covariances, units).mean()
        return self.rescaled(np.full(len(units), mean), 1.0 / units)

    def n_parameters(self, k: int, d: int) -> int:
        """The number of features, d."""
        return d

    def least_rows(self, k: int, d: int) -> int:
        """k + 1: some row has to differ from its component's mean."""
        return k + 1

    def covariance_shape(self, k: int, d: int) -> tuple[int, ...]:
        """(d,)."""
        return (d,)
