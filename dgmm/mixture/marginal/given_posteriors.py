"""Statistics of rows whose posteriors are known: the M-step of a start, lifted like any other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.covariance import Moments
from dgmm.mixture.marginal.kernel_parts import conditional_of
from dgmm.mixture.marginal.patterns import Mask, rows_by_pattern
from dgmm.mixture.parameters import Parameters
from dgmm.mixture.sufficient_statistics import Statistics

Array = NDArray[np.float64]


def statistics_of_posteriors(
    parameters: Parameters, Y: NDArray[Any], R: Array, weights: Array | None = None
) -> Statistics:
    """Statistics of rows Y (d, n), NaN where a value is missing, for posteriors R (k, n).

    What is missing is expected under the parameters: those of the first M-step after labels of
    k-means may be one Gaussian, k times. `m_step(family, statistics, before=parameters)` takes the
    step. Their log-likelihood is 0. For samples: every row is held in memory.

    Parameters
    ----------
    parameters
        k components, whose conditional distributions give the missing values.
    Y : (d, n)
        Standardised; every row has at least one value.
    R : (k, n)
        One-hot for labels.
    weights : (n,)
        Of the rows; None where each weighs 1.
    """
    family, (k, d) = parameters.family, parameters.means.shape
    weighted = R if weights is None else R * weights
    if family.masks_features:
        moments, observed = _masked(parameters, Y, weighted)
        return _statistics(moments, parameters, Y.shape[1], weights).with_observed(observed)
    width = family.scatter_width(d)
    total = Statistics.zero(k, family.width(d), width or None, parameters.means)
    for pattern in rows_by_pattern(Y.T):
        rows = pattern.rows
        moments = _of_pattern(parameters, Y[:, rows], weighted[:, rows], pattern.observed)
        own = None if weights is None else weights[rows]
        total = total.merge(_statistics(moments, parameters, Y[:, rows].shape[1], own))
    return total


def _of_pattern(parameters: Parameters, Y: NDArray[Any], R: Array, observed: Mask) -> Moments:
    """Moments of the rows of one pattern about the means, lifted to all features."""
    family = parameters.family
    known, given = conditional_of(parameters, observed)
    own = np.ascontiguousarray(Y[observed], dtype=np.float64)
    scatter = family.empty_scatter(len(own))
    first, second = [], []
    for centre, r in zip(known.means, R, strict=True):
        D = own - centre[:, None]
        first.append(D @ r)
        second.append(family.second_moment(D, r))
        if scatter is not None:
            scatter += family.scatter(D, r)
    moments = Moments(R.sum(axis=1), np.stack(first), np.stack(second), scatter)
    return family.lifted(moments, given, None)


def _masked(parameters: Parameters, Y: NDArray[Any], R: Array) -> tuple[Moments, Array]:
    """Moments of observed values about the means, and Σ r of them."""
    mask = ~np.isnan(Y)
    first, second = [], []
    for centre, r in zip(parameters.means, R, strict=True):
        D = np.where(mask, Y - centre[:, None], 0.0)
        first.append(D @ r)
        second.append(parameters.family.second_moment(D, r))
    moments = Moments(R.sum(axis=1), np.stack(first), np.stack(second))
    return moments, R @ mask.T.astype(np.float64)


def _statistics(
    moments: Moments, parameters: Parameters, n_rows: int, weights: Array | None
) -> Statistics:
    """Of so many rows, about the means."""
    weight = None if weights is None else float(weights.sum())
    return Statistics(n_rows, 0.0, moments.sums, moments.scatter, parameters.means, weight)
