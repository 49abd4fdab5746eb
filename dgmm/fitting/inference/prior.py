"""A conjugate prior of the components' means and covariances, in standardised units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.mixture.covariance.family import Family
from dgmm.mixture.parameters import Estimate, Parameters, m_step
from dgmm.mixture.sufficient_statistics import Statistics

Array = NDArray[np.float64]

#: With a prior, means and variances are estimated from however few values; of fewer than so many
#: they are the prior's.
_FEWEST = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class ConjugatePrior:
    """Normal-inverse-Wishart (`dgmm.mixture.covariance.conjugate`); the same for all components.

    Attributes
    ----------
    family
        Of the covariances.
    mean : (d,)
        m₀.
    mean_precision
        κ: how many rows m₀ counts as.
    degrees_of_freedom
        ν.
    scale
        Λ₀, of the shape of one component's covariances.
    """

    family: Family
    mean: Array
    mean_precision: float
    degrees_of_freedom: float
    scale: Array

    def posterior(self, evidence: Evidence) -> tuple[Array, Array]:
        """Means (k, d), and W_k + κn/(κ + n)·δδᵀ: the posterior scale without Λ₀."""
        n, kappa = evidence.counts, self.mean_precision
        delta = np.where(n > 0, evidence.estimate.means, self.mean) - self.mean
        means = self.mean + n / (n + kappa) * delta
        shift = np.sqrt(kappa * n / (kappa + n)) * delta
        family, covariances = evidence.estimate.family, evidence.estimate.covariances
        return means, family.scatter_about(covariances, n, shift)

    def record(self, units: Standardisation) -> dict[str, Any]:
        """Its numbers in the user's units; the scale as the variances that it has."""
        d = len(self.mean)
        with np.errstate(over="ignore", under="ignore"):
            variances = self.family.variances(self.scale, 1, d)[0] * units.scale * units.scale
        return {
            "mean_prior": units.means_to_user(self.mean).tolist(),
            "mean_precision_prior": self.mean_precision,
            "degrees_of_freedom_prior": self.degrees_of_freedom,
            "covariance_prior_variances": variances.tolist(),
        }

    def quadratic_terms(self, p: Parameters) -> tuple[Array, Array]:
        """tr(Λ_k V₀) and κ(μ_k − m₀)ᵀΛ_k(μ_k − m₀), (k,) each."""
        family, k, d = p.family, p.n_components, p.n_features
        factors, deviations = p.precisions_cholesky, p.means - self.mean
        once = family.scale_trace(factors, 0, self.scale, d)
        traces = np.full(k, once)
        far = np.empty(k)
        for j in range(k):
            if j and not family.is_shared:
                traces[j] = family.scale_trace(factors, j, self.scale, d)
            far[j] = (family.whiten(factors, j, deviations[j][:, None]) ** 2).sum()
        return traces, self.mean_precision * far


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What the rows say: maximum likelihood, and effective rows with each feature (k, d)."""

    estimate: Estimate
    counts: Array

    @classmethod
    def of(
        cls,
        family: Family,
        statistics: Statistics,
        scatter: Array | None,
        before: Parameters | None,
        *,
        by_weight: bool,
    ) -> Evidence:
        """Of the statistics of a pass."""
        estimate = m_step(family, statistics, scatter, before, by_weight=by_weight, fewest=_FEWEST)
        counts = np.repeat(estimate.counts[:, None], estimate.means.shape[1], axis=1)
        if statistics.observed is not None:
            counts = statistics.observed * (1.0 if by_weight else statistics.rows_per_weight)
            counts = np.where(counts >= _FEWEST, counts, 0.0)
        return cls(estimate, counts)
