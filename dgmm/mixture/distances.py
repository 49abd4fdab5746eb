"""Distances from components, and levels of density that a part of all mass lies above."""

from __future__ import annotations

import math

import numpy as np

from dgmm.mixture.covariance.family import LOG_2PI, Array
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.parameters import Parameters

#: Standardised rows that are taken together.
_ROWS = 4096


def mahalanobis_distances(parameters: Parameters, Y: Array) -> Array:
    """√((y − μ_k)ᵀ Λ_k (y − μ_k)) (k, b) for rows Y (d, b).

    Rows are scaled first, so that no square overflows where the distance itself does not.
    """
    found = np.empty((parameters.n_components, Y.shape[1]))
    for k in range(parameters.n_components):
        D = Y - parameters.means[k][:, None]
        exponents = np.frexp(np.abs(D).max(axis=0))[1]
        Z = parameters.family.whiten(parameters.precisions_cholesky, k, np.ldexp(D, -exponents))
        with np.errstate(over="ignore"):
            found[k] = np.ldexp(np.sqrt(np.einsum("ij,ij->j", Z, Z)), exponents)
    return found


def level_of_gaussian(parameters: Parameters, mass: float) -> float:
    """The log density of one Gaussian at D² = q, the quantile `mass` of χ² with d degrees."""
    from scipy.special import gammaincinv  # noqa: PLC0415 - slow to import, rarely needed

    p, d = parameters, parameters.n_features
    log_det = float(p.family.half_log_det_precision(p.precisions_cholesky, 1, d)[0])
    quantile = 2.0 * float(gammaincinv(d / 2.0, mass))
    return log_det - 0.5 * (d * LOG_2PI + quantile)


def level_of_draws(
    parameters: Parameters, mass: float, n: int, rng: np.random.Generator
) -> tuple[float, float]:
    """The quantile 1 − mass of the log densities of n rows drawn from the mixture, and its error.

    The error is half the distance between the order statistics one standard deviation of the
    binomial count on either side (Hyndman, *Computing and graphing highest density regions*,
    The American Statistician 50, 1996, has the quantile).
    """
    X, _ = parameters.sample(n, rng)
    scorer = Scorer(parameters)
    density = np.concatenate([scorer.log_density(X[i : i + _ROWS].T) for i in range(0, n, _ROWS)])
    density.sort()
    place, spread = (1.0 - mass) * n, math.sqrt(n * mass * (1.0 - mass))
    low, at, high = (
        float(density[min(max(math.floor(i), 0), n - 1)])
        for i in (place - spread, place, place + spread)
    )
    return at, 0.5 * (high - low)
