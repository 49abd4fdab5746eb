"""How far changes of shares and rates exceed chance, in standard errors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: What a probability too small for float64 stands for: that of 38 standard errors is 3e-316.
MOST_ERRORS = 38.0


def shares_differ(new: Array, old: Array, n: float, n_before: float | None) -> Array:
    """Differences of shares (k,) in standard errors, that of labelled rows, which is the largest.

    √(π(1 − π)(1/n + 1/n_old)) with π of all rows together is the binomial standard error where each
    row is known to be of a component or not. Posteriors, whose variance is smaller, have a smaller
    one; and one step of EM makes a smaller step still, where components overlap. The same rate of
    false alarms is therefore an upper bound.
    """
    both = 1.0 / n + (0.0 if n_before is None else 1.0 / n_before)
    pooled = old if n_before is None else (n * new + n_before * old) / (n + n_before)
    spread = np.sqrt(np.maximum(pooled * (1.0 - pooled), 0.0) * both)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = (new - old) / spread
    # A share of 0 or 1 before and now: no difference, and no error.
    errors = np.where(spread > 0, errors, np.where(new == old, 0.0, np.copysign(np.inf, new - old)))
    return np.clip(errors, -MOST_ERRORS, MOST_ERRORS)


def rate_exceeds(rate: float, expected: float, n: float, n_before: float | None) -> float:
    """How far a rate of rare rows exceeds the expected one, as a normal deviate.

    Exact, as counts may be small: of all rare rows, old and new, each is new with probability
    n/(n + n_old) (binomial test of the ratio of two rates; Przyborowski & Wilenski 1940). Where the
    old rows are not known the expected rate is taken as exact.
    """
    from scipy.special import betainc, ndtri  # noqa: PLC0415 - slow to import, and one is needed

    if rate <= 0.0:
        return -MOST_ERRORS if expected > 0 else 0.0
    rare = rate * n
    if n_before is None:
        others, share = n - rare + 1.0, expected
    else:
        others, share = expected * n_before + 1.0, n / (n + n_before)
    # P(at least so many): a binomial's upper tail is an incomplete beta function.
    tail = float(betainc(rare, max(others, math.ulp(1.0)), share))
    if tail <= 0.0:
        return MOST_ERRORS
    return float(np.clip(-ndtri(tail), -MOST_ERRORS, MOST_ERRORS))


def tail_of(standard_errors: float) -> float:
    """The probability that a normal deviate exceeds so many standard errors."""
    return 0.5 * math.erfc(standard_errors / math.sqrt(2.0))


def chi_square_quantile(n: Array, tail: float) -> Array:
    """What χ² of n degrees of freedom (k,) exceeds with that probability."""
    from scipy.special import chdtri  # noqa: PLC0415 - slow to import

    return np.asarray(chdtri(n, tail))
