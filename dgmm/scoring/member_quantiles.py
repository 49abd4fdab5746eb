"""Quantiles of the members of components, on a sample: where no inverse gives back their means."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgmm.data.weighted_statistics import known_quantiles
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.marginal import MarginalScorer
from dgmm.mixture.parameters import Parameters

Array = NDArray[np.float64]
#: Shares of a component's members.
SHARES = (0.05, 0.5, 0.95)
#: Rows that are labelled at a time.
_TILE_ROWS = 4096


def labels_of(parameters: Parameters, sample: Array) -> NDArray[np.intp]:
    """The most probable component (m,) of standardised rows (m, d), by the values that they have.

    Every row has at least one value.
    """
    labels = np.empty(len(sample), dtype=np.intp)
    scorer: Scorer | MarginalScorer = MarginalScorer(parameters)
    if parameters.noise is not None:  # which rows that lack values are not scored with
        scorer = Scorer(parameters)
    for start in range(0, len(sample), _TILE_ROWS):
        own = slice(start, start + _TILE_ROWS)
        labels[own] = scorer.responsibilities(sample[own].T).argmax(axis=0)
    return labels


def member_quantiles(
    labels: NDArray[np.intp], n_components: int, values: Array, weights: Array | None
) -> Array:
    """Quantiles (k, f, 3) of values (m, f) of the rows with each label; NaN where there are none.

    Of weights (m,) where the rows have any.
    """
    found = np.full((n_components, values.shape[1], len(SHARES)), np.nan)
    for k in range(n_components):
        own = labels == k
        some = None if weights is None else weights[own]
        for f in range(values.shape[1]):
            found[k, f] = known_quantiles(values[own, f], SHARES, some)
    return found
