"""What families without correlations have in common: no (d, d) matrix is ever needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.covariance.family import Array, Family
from dgmm.mixture.covariance.marginals import Conditional, Features


@dataclass(frozen=True)
class UncorrelatedFamily(Family):
    """A family of diagonal Σ_k: time and memory are linear in d.

    `of_component` gives a component's variances, or precision factors, as (d,) or as one number.
    """

    masks_features = True

    def of_component(self, values: Array, k: int) -> Array:
        """Those of component k."""
        return np.asarray(values[k])

    def whiten(self, precisions_cholesky: Array, k: int, D: Array) -> Array:
        """D/σ_k."""
        return np.asarray(self.of_component(precisions_cholesky, k).reshape(-1, 1) * D)

    def precisions_cholesky(self, covariances: Array) -> Array:
        """1/σ; NaN where a variance is not above 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(covariances > 0.0, 1.0 / np.sqrt(covariances), np.nan)

    def full_covariance(self, covariances: Array, k: int, d: int) -> Array:
        """diag(σ_k²)."""
        return np.diag(np.broadcast_to(self.of_component(covariances, k), (d,)))

    def covariance_among(self, covariances: Array, k: int, features: NDArray[Any], d: int) -> Array:
        """diag(σ_k²) of those features."""
        return np.diag(np.broadcast_to(self.of_component(covariances, k), (d,))[features])

    def conditional(
        self, covariances: Array, factors: Array, k: int, observed: Features, missing: Features
    ) -> Conditional:
        """The missing features are independent of the observed ones."""
        d = len(observed) + len(missing)
        return Conditional(observed, missing, self.variances(covariances, k, d)[:, missing])

    def smallest_eigenvalue(self, covariances: Array, k: int, d: int) -> float:
        """The smallest variance."""
        return float(self.of_component(covariances, k).min())

    def correlated(self, covariances: Array, k: int, noise: Array) -> Array:
        """σ_k · noise."""
        return np.asarray(noise * np.sqrt(self.of_component(covariances, k)))

    def trace_with(self, precisions_cholesky: Array, k: int, variances: Array) -> float:
        """Σ v/σ²."""
        return float(self._scaled(precisions_cholesky, k, variances).sum())

    def scale_trace(self, precisions_cholesky: Array, k: int, scale: Array, d: int) -> float:
        """Σ s₀/σ²."""
        return self.trace_with(precisions_cholesky, k, np.broadcast_to(scale, (1, d))[0])

    def largest_with(self, precisions_cholesky: Array, k: int, variances: Array) -> float:
        """The largest v/σ²."""
        return float(self._scaled(precisions_cholesky, k, variances).max())

    def _scaled(self, precisions_cholesky: Array, k: int, variances: Array) -> Array:
        return np.asarray((self.of_component(precisions_cholesky, k) * np.sqrt(variances)) ** 2)

    def difference_from_first(
        self, precisions_cholesky: Array, covariances: Array, k: int, d: int
    ) -> float:
        """The largest |σ_k²/σ_0² − 1|."""
        factors = self.of_component(precisions_cholesky, 0)
        ratio = factors * self.of_component(covariances, k) * factors
        return float(np.abs(ratio - 1.0).max())
