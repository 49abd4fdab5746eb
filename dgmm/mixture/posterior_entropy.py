"""Entropy of the posteriors, from the sums that an E-step leaves: no row is read again for it."""

from __future__ import annotations

import numpy as np

from dgmm.mixture.parameters import Parameters
from dgmm.mixture.sufficient_statistics import Statistics


def posterior_entropy(
    parameters: Parameters, statistics: Statistics, *, is_complete: bool
) -> float | None:
    """−Σ w r log r ≥ 0 over all rows of an E-step; None where features are masked.

    log r_k = η_k · φ − log Σ exp, so that −Σ w r log r = Σ w log Σ exp − Σ_k ⟨η_k, S_k⟩ with
    S_k = Σ w r_k φ. The difference loses digits: its absolute error is some roundings of Σ w log p.

    Parameters
    ----------
    parameters
        Those of the E-step, standardised units.
    statistics
        What it found, about the origin or any reference points.
    is_complete
        Whether the log-likelihood has the quadratic term that is common to all components, which
        families with a scatter leave out of φ.

    Notes
    -----
    Of marginal densities the statistics are completed by expected values, and say nothing of it.
    """
    if statistics.observed is not None:
        return None
    family, d = parameters.family, parameters.n_features
    means, factors = parameters.means, parameters.precisions_cholesky
    if statistics.reference is not None:
        means = means - statistics.reference
    eta = family.natural_parameters(parameters.log_weights, means, factors)  # of the Gaussians
    sums = statistics.sums
    with np.errstate(invalid="ignore"):  # a weight of 0 has the logarithm −inf, and no row
        total = float(np.where(sums == 0.0, 0.0, eta * sums).sum())
    if statistics.noise and parameters.noise is not None:
        total += statistics.noise * parameters.noise.weighted_log_density
    if is_complete and statistics.scatter is not None:
        total += family.pooled_log_prob(factors, statistics.scatter, d)
    return max(0.0, statistics.log_likelihood - total)
