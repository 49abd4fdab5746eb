"""What a family answers where its means and covariances have conjugate priors.

The prior of a component is normal-inverse-Wishart (Fraley & Raftery, *Bayesian regularization for
normal mixture estimation and model-based clustering*, J. Classification 24, 2007): μ | Σ is normal
about m₀ with covariance Σ/κ, and Σ inverse Wishart with ν degrees of freedom and scale Λ₀. Diagonal
and spherical variances have inverse gamma priors of shape ν/2 and scale s₀/2 in its place. Scales
have the shape of one component's covariances, so that they add to those of all.
"""

from __future__ import annotations

from typing import ClassVar, NoReturn

import numpy as np

from dgmm.errors import DataError
from dgmm.mixture.covariance.moments import Array


class Conjugate:
    """Posterior scales and modes; a family without them has no priors."""

    name: ClassVar[str] = ""

    def scatter_about(self, covariances: Array, counts: Array, shift: Array) -> Array:
        """n_k Σ̂_k + g_k g_kᵀ, summed over whatever shares a covariance.

        Parameters
        ----------
        covariances
            Σ̂, of maximum likelihood; anything where a component has no rows.
        counts : (k, d)
            Effective rows of each component that have each feature.
        shift : (k, d)
            g.
        """
        del covariances, counts, shift
        self._refuse_prior()

    def mode_divisor(self, counts: Array, degrees_of_freedom: float) -> Array:
        """What the posterior scale is divided by at the mode, for counts (k, d)."""
        del counts, degrees_of_freedom
        self._refuse_prior()

    def mode_exponent(self, degrees_of_freedom: float, k: int, d: int) -> float:
        """e, where the prior density of a component goes with |Σ_k|^(−e/2)."""
        del degrees_of_freedom, k, d
        self._refuse_prior()

    def n_pooled(self, k: int, d: int) -> int:
        """How many sums of squares `scatter_about` adds up in one number."""
        del k, d
        self._refuse_prior()

    def scale_trace(self, precisions_cholesky: Array, k: int, scale: Array, d: int) -> float:
        """tr(Λ_k V) for the matrix V that a scale stands for."""
        del precisions_cholesky, k, scale, d
        self._refuse_prior()

    def log_prior_norm(self, scale: Array, degrees_of_freedom: float, k: int, d: int) -> float:
        """Logarithm of the constant of the k covariances' prior density, at a scale."""
        del scale, degrees_of_freedom, k, d
        self._refuse_prior()

    def least_degrees_of_freedom(self, d: int) -> float:
        """Degrees of freedom of a prior are above that."""
        del d
        return 0.0

    def even_scale(self, covariances: Array, units: Array) -> Array:
        """One component's covariances as the scale of a prior, for units (d,) of the features."""
        del units
        return covariances

    def _refuse_prior(self) -> NoReturn:
        raise DataError(
            f"covariances of the family {self.name!r} have no prior: set inference to "
            "maximum_likelihood, or choose another covariance_type"
        )


def log_wishart_norm(scale_log_det: float, degrees_of_freedom: float, d: int) -> float:
    """½ν log|Λ₀| − ½νd log 2 − log Γ_d(½ν): the constant of an inverse Wishart density."""
    from scipy.special import multigammaln  # noqa: PLC0415 - slow to import, rarely needed

    half = 0.5 * degrees_of_freedom
    return float(half * scale_log_det - half * d * np.log(2.0) - multigammaln(half, d))


def log_gamma_norm(scale: Array, degrees_of_freedom: float) -> float:
    """Σ ½ν log(½s₀) − log Γ(½ν): the constant of inverse gamma densities."""
    from scipy.special import gammaln  # noqa: PLC0415 - slow to import, rarely needed

    half = 0.5 * degrees_of_freedom
    return float((half * np.log(0.5 * scale) - gammaln(half)).sum())
