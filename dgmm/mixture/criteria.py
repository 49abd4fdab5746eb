"""Information criteria: how many components do the data pay for? Smaller is better."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dgmm.mixture.covariance.family import Family


def n_parameters(family: Family, k: int, d: int, *, noise: bool = False) -> int:
    """Free numbers of a mixture: k − 1 weights, k·d means, and the family's covariances.

    Noise has a weight more; its box is not estimated by likelihood, and counts as given.
    """
    return (k - 1) + k * d + family.n_parameters(k, d) + noise


@dataclass(frozen=True, slots=True)
class Criteria:
    """AIC, BIC and ICL, in units of −2 log-likelihood."""

    aic: float
    bic: float
    icl: float


def criteria(log_likelihood: float, entropy: float, n_free: int, n_rows: float) -> Criteria:
    """AIC (Akaike 1974), BIC (Schwarz 1978), ICL (Biernacki, Celeux & Govaert 2000).

    Parameters
    ----------
    log_likelihood
        Σ log p(x), over all rows, in the user's units.
    entropy
        −Σ_i Σ_k r_ik log r_ik ≥ 0, over all rows: ICL = BIC + 2·entropy.
    n_free
        Free parameters of the mixture.
    n_rows
        Rows the likelihood was summed over, or the sum of their weights.
    """
    bic = n_free * math.log(n_rows) - 2.0 * log_likelihood
    return Criteria(2.0 * n_free - 2.0 * log_likelihood, bic, bic + 2.0 * entropy)
