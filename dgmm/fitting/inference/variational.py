"""Variational inference: a distribution of the parameters in place of a point.

q(θ) is Dirichlet or stick-breaking for the weights and normal-Wishart for means and precisions, as
in scikit-learn's BayesianGaussianMixture (Bishop, PRML, §10.2; Blei & Jordan, *Variational
inference for Dirichlet process mixtures*, Bayesian Analysis 1, 2006). Counts, means and covariances
determine it, so that a state of EM is `Parameters` as ever: weights n_k/n, means m_k, covariances
C_k/ν_k with ν_k = ν₀ + n_k. The E-step is that of a Gaussian mixture with another constant in η.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.fitting.inference.prior import ConjugatePrior, Evidence
from dgmm.fitting.inference.weight_posterior import WeightPosterior
from dgmm.mixture.covariance.family import Family
from dgmm.mixture.parameters import Estimate, Parameters
from dgmm.mixture.sufficient_statistics import Statistics

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Variational:
    """The objective is (Σ log-sum-exp − KL(q(θ)‖prior))/n, a lower bound of log p(X)/n at any q.

    Attributes
    ----------
    prior
        Of means and precisions; its scale is that of the Wishart distribution.
    weights
        The weights' prior.
    n_rows
        Rows that counts are shares of.
    """

    prior: ConjugatePrior
    weights: WeightPosterior
    n_rows: float

    name: ClassVar[str] = "variational"
    is_bounded: ClassVar[bool] = True
    regularises: ClassVar[bool] = True
    prunes: ClassVar[bool] = True

    def with_rows(self, n_rows: float) -> Self:
        """The same prior for other rows."""
        return replace(self, n_rows=n_rows)

    def maximise(
        self,
        family: Family,
        statistics: Statistics,
        scatter: Array | None = None,
        before: Parameters | None = None,
        *,
        by_weight: bool = False,
    ) -> Estimate:
        """The best q given the responsibilities (Bishop, eq. 10.58-10.63), C_k divided by ν_k."""
        found = Evidence.of(family, statistics, scatter, before, by_weight=by_weight)
        means, scale = self.prior.posterior(found)
        k, d = means.shape
        counts = found.estimate.counts
        scale = self.prior.scale + scale / family.n_pooled(k, d)
        return Estimate(family, counts, means, scale / self._divisor(family, counts, scale))

    def parameters(self, estimate: Estimate, regularisation: Array) -> Parameters:
        """Weights are shares of the rows; regularisation is added to what the rows say (as there).

        C_k gains n_k · reg: scikit-learn's `reg_covar`.
        """
        family, counts = estimate.family, estimate.counts
        covariances = estimate.covariances
        if regularisation.any():
            k, d = estimate.means.shape
            alone = family.regularised(np.zeros_like(covariances), regularisation)
            each = np.repeat(counts[:, None], d, axis=1)
            added = family.scatter_about(alone, each, np.zeros((k, d))) / family.n_pooled(k, d)
            covariances = covariances + added / self._divisor(family, counts, covariances)
        return Parameters.of(family, counts / counts.sum(), estimate.means, covariances)

    def scored(self, parameters: Parameters) -> Parameters:
        """With E log π_k + ½(E log|Λ_k| − log|Λ̄_k| − d/β_k) for the logarithms of the weights."""
        return replace(parameters, expected_log_weights=self._log_weights(parameters))

    def objective(self, mean_log_likelihood: float, parameters: Parameters) -> float:
        """(Σ lse − KL)/n."""
        return mean_log_likelihood - self.divergence(parameters) / self.n_rows

    def divergence(self, p: Parameters) -> float:
        """KL(q(θ)‖prior): of the weights, the precisions, and the means given these."""
        k, d = p.n_components, p.n_features
        prior, nu = self.prior, self._degrees(p)
        kappa, beta = prior.mean_precision, prior.mean_precision + self._counts(p)
        traces, far = prior.quadratic_terms(p)
        log_det = _log_det(p.family, p.precisions_cholesky, k, d) + d * np.log(nu)
        own = p.family.precisions_cholesky(prior.scale)
        log_det_0 = _log_det(p.family, own, 1, d)[0]
        nu_0 = prior.degrees_of_freedom
        precisions = 0.5 * (nu - nu_0) * (_expected(nu, d) - log_det) - 0.5 * (nu * d - traces)
        precisions += _log_normaliser(np.full(k, nu_0), np.full(k, log_det_0), d)
        precisions -= _log_normaliser(nu, log_det, d)
        means = 0.5 * (d * (np.log(beta / kappa) - 1.0 + kappa / beta) + far)
        return float((precisions + means).sum()) + self.weights.divergence(self._counts(p))

    def explained_fall(
        self, estimate: Estimate, parameters: Parameters, regularisation: Array
    ) -> float:
        """KL between q with and without regularisation, of the precisions, over n.

        ½ν_k [tr(C* C⁻¹) − d + log|C| − log|C*|] with C = C* + n_k · reg, so that the trace is
        d − n_k tr(C⁻¹ reg).
        """
        if not regularisation.any():
            return 0.0
        family, k, d = estimate.family, parameters.n_components, parameters.n_features
        held, bare = (
            parameters.precisions_cholesky,
            family.precisions_cholesky(estimate.covariances),
        )
        if family.is_singular(bare, k).any():
            return float("inf")
        mean = regularisation.mean() if family.common_scale else regularisation
        added = np.broadcast_to(mean, (d,))
        nu = self._nu(family, estimate.counts)
        share = (nu - self.prior.degrees_of_freedom) / nu
        traces = share * np.array([family.trace_with(held, j, added) for j in range(k)])
        log_ratio = _log_det(family, held, k, d) - _log_det(family, bare, k, d)
        fall = 0.5 * float((nu * (log_ratio - traces)).sum())
        return max(0.0, fall) / float(estimate.counts.sum())

    def model(self, parameters: Parameters) -> Parameters:
        """Weights are posterior means, and rows are scored as the E-step scores them."""
        return replace(
            self.scored(parameters), weights=self.weights.means(self._counts(parameters))
        )

    def prior_record(self, units: Standardisation) -> dict[str, Any]:
        """Names of the job file's keys."""
        return self.prior.record(units) | {
            "weight_concentration_prior": self.weights.concentration,
            "weight_concentration_prior_type": self.weights.kind,
        }

    def _counts(self, p: Parameters) -> Array:
        return self.n_rows * p.weights

    def _degrees(self, p: Parameters) -> Array:
        return self._nu(p.family, self._counts(p))

    def _nu(self, family: Family, counts: Array) -> Array:
        """ν₀ + n_k, or ν₀ + n/k where all components share a covariance, (k,)."""
        own = np.full_like(counts, counts.sum() / len(counts)) if family.is_shared else counts
        return np.asarray(self.prior.degrees_of_freedom + own)

    def _divisor(self, family: Family, counts: Array, covariances: Array) -> Array:
        """ν_k, to be divided by."""
        nu = self._nu(family, counts)
        if family.is_shared:
            return nu[:1].reshape(())
        return nu.reshape(-1, *[1] * (covariances.ndim - 1))

    def _log_weights(self, p: Parameters) -> Array:
        d, counts, nu = p.n_features, self._counts(p), self._degrees(p)
        beta = self.prior.mean_precision + counts
        half = 0.5 * (_expected(nu, d) - d * np.log(nu) - d / beta)
        return np.asarray(self.weights.expected_logs(counts) + half)


def _log_det(family: Family, factors: Array, k: int, d: int) -> Array:
    """log|Σ_k| from precision factors."""
    return -2.0 * family.half_log_det_precision(factors, k, d)


def _expected(nu: Array, d: int) -> Array:
    """E log|Λ| + log|C| of a Wishart distribution: Σ_i ψ(½(ν + 1 − i)) + d log 2, (k,)."""
    from scipy.special import digamma  # noqa: PLC0415 - slow to import, rarely needed

    places = np.arange(d)[:, None]
    return np.asarray(digamma(0.5 * (nu - places)).sum(axis=0) + d * np.log(2.0))


def _log_normaliser(nu: Array, log_det: Array, d: int) -> Array:
    """−½ν log|C| + ½νd log 2 + log Γ_d(½ν), (k,)."""
    from scipy.special import multigammaln  # noqa: PLC0415 - slow to import, rarely needed

    gammas = np.array([multigammaln(0.5 * one, d) for one in nu])
    return np.asarray(0.5 * nu * (d * np.log(2.0) - log_det) + gammas)
