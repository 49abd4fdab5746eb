"""Maximum a posteriori: the mode of the parameters' posterior under conjugate priors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.fitting.inference.prior import ConjugatePrior, Evidence
from dgmm.mixture.covariance.family import LOG_2PI, Family
from dgmm.mixture.parameters import Estimate, Parameters
from dgmm.mixture.sufficient_statistics import Statistics

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MaximumAPosteriori:
    """The objective is (log-likelihood + log prior density)/n, both in the user's units.

    Attributes
    ----------
    prior
        Of means and covariances.
    weight_concentration
        α of a symmetric Dirichlet prior of the weights, at least 1, which has no influence.
    n_rows
        Rows that counts are shares of.
    log_volume
        Σ log scale, of the standardisation.
    """

    prior: ConjugatePrior
    n_rows: float
    weight_concentration: float = 1.0
    log_volume: float = 0.0

    name: ClassVar[str] = "map"
    is_bounded: ClassVar[bool] = True
    regularises: ClassVar[bool] = False
    prunes: ClassVar[bool] = False

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
        """The mode given the responsibilities (Fraley & Raftery 2007, section 3).

        With W_k the scatter of a component's rows about their mean x̄_k, δ = x̄_k − m₀ and
        f = κn_k/(κ + n_k): μ_k = (n_k x̄_k + κm₀)/(n_k + κ), and Σ_k = (Λ₀ + W_k + fδδᵀ)/(ν + n_k +
        d + 2) for `full`; the other families' divisors are their `mode_divisor`.
        """
        found = Evidence.of(family, statistics, scatter, before, by_weight=by_weight)
        means, scale = self.prior.posterior(found)
        divisor = family.mode_divisor(found.counts, self.prior.degrees_of_freedom)
        covariances = (self.prior.scale + scale) / divisor
        return replace(found.estimate, means=means, covariances=covariances)

    def parameters(self, estimate: Estimate, regularisation: Array) -> Parameters:
        """Weights (n_k + α − 1)/(n + k(α − 1)); the prior is in place of regularisation.

        Noise is one more of the k that the Dirichlet prior is of.
        """
        del regularisation
        return estimate.parameters(estimate.covariances, self.weight_concentration - 1.0)

    def scored(self, parameters: Parameters) -> Parameters:
        """The parameters themselves."""
        return parameters

    def objective(self, mean_log_likelihood: float, parameters: Parameters) -> float:
        """(log-likelihood + log prior)/n."""
        return mean_log_likelihood + self.log_prior(parameters) / self.n_rows

    def log_prior(self, p: Parameters) -> float:
        """Logarithm of the prior density of weights, means and covariances, user units."""
        prior, family, k, d = self.prior, p.family, p.n_components, p.n_features
        nu, kappa = prior.degrees_of_freedom, prior.mean_precision
        half_log_det = family.half_log_det_precision(p.precisions_cholesky, k, d) - self.log_volume
        traces, far = prior.quadratic_terms(p)
        total = family.mode_exponent(nu, k, d) * half_log_det.sum()
        total -= 0.5 * (traces.sum() / family.n_pooled(k, d) + far.sum())
        total += 0.5 * k * d * (np.log(kappa) - LOG_2PI)
        total += self._log_norm(family, k, d)
        return float(total + self._log_dirichlet(p))

    def _log_norm(self, family: Family, k: int, d: int) -> float:
        """The covariances' constant; `log_volume` takes its scale to the user's units."""
        nu = self.prior.degrees_of_freedom
        units = np.full(d, np.exp(self.log_volume / d))
        return family.log_prior_norm(family.rescaled(self.prior.scale, units), nu, k, d)

    def _log_dirichlet(self, p: Parameters) -> float:
        """Of the weights; log Γ(k) of the flat prior is left out."""
        alpha, k = self.weight_concentration, p.n_labels
        if alpha == 1.0:
            return 0.0
        from scipy.special import gammaln  # noqa: PLC0415 - slow to import, rarely needed

        constant = float(gammaln(k * alpha) - k * gammaln(alpha))
        logs = float(p.log_weights.sum())
        if p.noise is not None:
            logs += float(np.log(p.noise.weight))
        return constant + (alpha - 1.0) * logs

    def explained_fall(
        self, estimate: Estimate, parameters: Parameters, regularisation: Array
    ) -> float:
        """0: nothing is added after the M-step."""
        del estimate, parameters, regularisation
        return 0.0

    def prior_record(self, units: Standardisation) -> dict[str, Any]:
        """Names of the job file's keys."""
        own = self.prior.record(units)
        return own | {"weight_concentration_prior": self.weight_concentration}

    def model(self, parameters: Parameters) -> Parameters:
        """The parameters themselves."""
        return parameters
