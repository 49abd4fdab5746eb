"""Random responsibilities: uniform numbers, normalised per row, as scikit-learn's `random`.

All means start near the sample's mean, the nearer the more rows there are (their spread falls with
1/√m), until EM takes the start for its end: hence at most 20,000 rows.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from dgmm.fitting.initialisation.first_parameters import (
    parameters_from_responsibilities,
    responsibility_tiles,
)
from dgmm.fitting.initialisation.observed_variances import ObservedMoments
from dgmm.fitting.initialisation.start_request import StartRequest
from dgmm.fitting.initialisation.weighted_draws import few_rows
from dgmm.mixture.covariance.family import Array
from dgmm.mixture.parameters import Parameters

MAX_ROWS = 20_000


def random_responsibilities(request: StartRequest) -> Parameters:
    """One M-step from random responsibilities on some rows of the sample."""
    sample, k, rng = request.sample, request.n_components, request.rng
    chosen, weights = few_rows(len(sample), MAX_ROWS, rng, request.weights)
    sample = sample[chosen]
    key = rng.integers(2**63)

    def of_tile(rows: slice) -> Array:
        """Draw a tile's responsibilities, the same whenever they are asked for."""
        R = np.random.default_rng([int(key), rows.start]).random((k, rows.stop - rows.start))
        R /= R.sum(axis=0)
        return R

    begun = parameters_from_responsibilities(
        request.family, sample, of_tile, k, request.regularisation, weights
    )
    if request.observed is None:
        return begun
    known, parts = ~np.isnan(request.observed[chosen]), list[ObservedMoments]()
    for rows in responsibility_tiles(len(sample), sample.shape[1], k):
        R = of_tile(rows) if weights is None else of_tile(rows) * weights[rows]
        parts.append(
            ObservedMoments.of_posteriors(sample[rows].T, known[rows].T, R, begun.means[0])
        )
    return reduce(ObservedMoments.merge, parts).widened(begun, request.regularisation)
