"""In which units starts measure distance: no single metric is right, so each has its starts.

Clusters of k-means follow the units. Where two clusters are about equal, the interquartile range of
the feature that separates them is the distance between them, and dividing by it hides them; where
one feature has large units and nothing to say, the data's own units hide the others. Starts are
therefore drawn in several metrics and compared by likelihood, which does not depend on units.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from dgmm.covariance.family import Array
from dgmm.data.standardisation import Standardisation

Metric = Literal["units", "sd", "iqr"]

#: `units`: the data's own, one common scale for all features; `sd`: standard deviations of the
#: sample; `iqr`: its interquartile ranges (standard deviations where those are 0).
METRICS: tuple[Metric, ...] = get_args(Metric)
#: A feature that varies less, of one that shares its scale, has no part in any distance.
LEAST_SPREAD = 1e-50


def distance_scale(metric: Metric, standardisation: Standardisation, sample: Array) -> Array:
    """What standardised features are multiplied by before distances are taken, (d,).

    Parameters
    ----------
    metric
        One of `METRICS`.
    standardisation
        That of the sample.
    sample : (m, d)
        Standardised rows, finite, cut off where their squares would overflow.
    """
    if metric == "units":
        exponents = np.frexp(standardisation.scale)[1]
        largest = exponents[~standardisation.is_constant].max(initial=-1100)
        # A feature with 2^-400 of another's scale has no part in any distance, and its square is 0.
        units: Array = np.ldexp(1.0, np.clip(exponents - largest, -400, 0))
        return units
    if metric == "iqr":
        spread = np.sqrt(standardisation.standardised_variance)
    else:
        spread = sample.std(axis=0)
    return 1.0 / np.maximum(np.where(spread > 0, spread, 1.0), LEAST_SPREAD)
