"""An M-step with hard labels on rows that lack values: it adds what is uncertain of these."""

from __future__ import annotations

from functools import reduce

import numpy as np

from dgmm.fitting.initialisation.distance_rows import Labels
from dgmm.fitting.initialisation.first_parameters import repaired
from dgmm.mixture.covariance.family import Array
from dgmm.mixture.marginal import statistics_of_posteriors
from dgmm.mixture.parameters import Parameters, m_step
from dgmm.mixture.sufficient_statistics import Statistics

#: Numbers of one-hot posteriors that are held at a time: 64 MiB.
_MOST_NUMBERS = 8 * 1024 * 1024


def lifted(
    begun: Parameters,
    observed: Array,
    labels: Labels,
    filled: Array,
    regularisation: Array,
    weights: Array | None = None,
) -> Parameters:
    """Parameters of hard labels, missing values as they are expected under others.

    Parameters
    ----------
    begun
        Whose conditional distributions give the missing values.
    observed, filled : (m, d)
        Standardised rows, with NaN where a value is missing and with expected values there.
    labels : (m,)
        Component of each row.
    regularisation : (d,)
        Added to the variances.
    weights : (m,), optional
        What each row stands for.
    """
    step = max(_MOST_NUMBERS // begun.n_components, 1)
    tiles = (slice(start, start + step) for start in range(0, len(observed), step))
    parts = (
        _of_rows(begun, observed[own], labels[own], None if weights is None else weights[own])
        for own in tiles
    )
    estimate = m_step(begun.family, reduce(Statistics.merge, parts), before=begun)
    return repaired(estimate, filled, regularisation, weights)


def _of_rows(begun: Parameters, rows: Array, labels: Labels, weights: Array | None) -> Statistics:
    R = (labels == np.arange(begun.n_components)[:, None]).astype(np.float64)
    return statistics_of_posteriors(begun, np.ascontiguousarray(rows.T), R, weights)
