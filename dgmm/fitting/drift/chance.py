"""How far changes of shares and rates exceed chance, in standard errors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: The normal deviate of probabilities too small for float64: that of 38 standard errors is 3e-316.
MOST_ERRORS = 38.0


def shares_differ(new: Array, old: Array, n: float, n_before: float | None) -> Array:
    """Differences of shares (k,) in standard errors, that of labelled rows, which is the largest.

    √(π(1 − π)(1/n + 1/n_old)) with π of all rows together is the binomial standard error where each
    row is known to be of a component or not. Posteriors have a smaller variance, and where
    components overlap one step of EM changes shares by less. False alarms are therefore rarer than
    the normal distribution says.
    """
    both = 1.0 / n + (0.0 if n_before is None else 1.0 / n_before)
    pooled = old if n_before is None else (n * new + n_before * old) / (n + n_before)
    spread = np.sqrt(np.maximum(pooled * (1.0 - pooled), 0.0) * both)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = (new - old) / spread
    # A share of 0 or 1 before and now: no difference, and no error.
    impossible = np.where(new == old, 0.0, np.copysign(MOST_ERRORS, new - old))
    return np.where(spread > 0, errors, impossible)


def rate_exceeds(rate: float, expected: float, n: float, n_before: float | None) -> float:
    """How far a rate of rare rows exceeds the expected one, as a normal deviate.

    Exact, as counts may be small: of all rare rows, old and new, each is new with probability
    n/(n + n_old) (binomial test of the ratio of two rates; Przyborowski & Wilenski 1940). Where the
    old rows are not known the expected rate is taken as exact. Beyond float64's probabilities it is
    the signed root of the deviance, which grows with the root of the counts as the deviate does.
    """
    from scipy.special import betainc, ndtri  # noqa: PLC0415 - slow to import, and one is needed

    if rate <= 0.0:
        return -MOST_ERRORS if expected > 0 else 0.0
    rare = rate * n
    if n_before is None:
        others, share = n - rare, expected
    else:
        others, share = expected * n_before, n / (n + n_before)
    # P(at least so many): a binomial's upper tail is an incomplete beta function.
    tail = float(betainc(rare, max(others + 1.0, math.ulp(1.0)), share))
    if tail < np.finfo(np.float64).tiny:
        return max(_root_of_deviance(rare, others, share), MOST_ERRORS - 1.0)
    return float(max(-ndtri(tail), -MOST_ERRORS))


def _root_of_deviance(rare: float, others: float, share: float) -> float:
    """√(2 Σ n ln(n/expected)) of two counts of which the first is expected to be that share."""
    if share <= 0.0:
        return MOST_ERRORS
    total = rare + others
    terms = ((rare, share), (others, 1.0 - share))
    half = sum(n * math.log(n / (total * part)) for n, part in terms if n > 0)
    return math.sqrt(2.0 * max(half, 0.0))


def tail_of(standard_errors: float) -> float:
    """The probability that a normal deviate exceeds so many standard errors."""
    return 0.5 * math.erfc(standard_errors / math.sqrt(2.0))


def chi_square_quantile(n: Array, tail: float) -> Array:
    """What χ² of n degrees of freedom (k,) exceeds with that probability."""
    from scipy.special import chdtri  # noqa: PLC0415 - slow to import

    return np.asarray(chdtri(n, tail))
