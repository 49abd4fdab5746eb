"""Random rows: k distinct rows of the sample, and every row given to its nearest."""

from __future__ import annotations

import numpy as np

from dgmm.fitting.initialisation.distance_rows import Labels
from dgmm.fitting.initialisation.start_request import StartRequest
from dgmm.fitting.initialisation.weighted_draws import drawn_order
from dgmm.mixture.covariance.family import Array
from dgmm.mixture.parameters import Parameters


def distinct_rows(
    sample: Array, k: int, rng: np.random.Generator, weights: Array | None = None
) -> Labels:
    """Indices of k rows in random order, no two of equal values while there are enough such.

    Each is drawn in proportion to its weight (m,) among those that are left.
    """
    order = drawn_order(len(sample), rng, weights)
    if len(np.unique(sample[order[:k]], axis=0)) == k:
        return order[:k]
    firsts = np.unique(sample[order], axis=0, return_index=True)[1]
    repeats = np.setdiff1d(np.arange(len(order)), firsts, assume_unique=True)
    chosen: Labels = order[np.concatenate([np.sort(firsts), repeats])[:k]]
    return chosen


def random_from_data(request: StartRequest) -> Parameters:
    """Random rows as the first means, all rows assigned."""
    rows = request.distance_rows()
    k, rng = request.n_components, request.rng
    chosen = distinct_rows(request.sample, k, rng, request.weights)
    return request.from_labels(rows.nearest(rows.take(chosen)))
