"""k-means++ seeding: rows drawn in proportion to their squared distance from the seeds so far.

Arthur & Vassilvitskii, *k-means++: the advantages of careful seeding* (SODA 2007), in its greedy
variant: of 2 + ⌊log k⌋ draws the one that lowers the sum of squared distances most is taken, as in
scikit-learn (the variant is the authors' own, §4 there).
"""

from __future__ import annotations

import numpy as np

from dgmm.fitting.initialisation.sample_rows import CentredRows, Labels
from dgmm.fitting.initialisation.start_request import StartRequest
from dgmm.mixture.covariance.family import Array
from dgmm.mixture.parameters import Parameters


def seeds(
    rows: CentredRows, k: int, rng: np.random.Generator, weights: Array | None = None
) -> Labels:
    """Indices of k seeds, all different; a row of weight w stands for w equal rows."""
    n_trials = 2 + int(np.log(k))
    chosen = np.empty(k, dtype=np.intp)
    chosen[:1] = (
        rng.integers(rows.n_rows) if weights is None else _draw(weights, chosen[:0], 1, rng)
    )
    closest = _weighted(rows.squared_distances(rows.take(chosen[:1])), weights)[0]
    for i in range(1, k):
        trials = _draw(closest, chosen[:i], n_trials, rng)
        distances = _weighted(rows.squared_distances(rows.take(trials)), weights)
        np.minimum(distances, closest, out=distances)
        best = int(distances.sum(axis=1).argmin())
        chosen[i] = trials[best]
        closest = distances[best].copy()
        closest[chosen[: i + 1]] = 0.0
    return chosen


def _weighted(distances: Array, weights: Array | None) -> Array:
    if weights is not None:
        distances *= weights
    return distances


def _draw(weights: Array, taken: Labels, n_trials: int, rng: np.random.Generator) -> Labels:
    """Rows drawn in proportion to weights; any row not yet taken where all weights are 0."""
    cumulative = weights.cumsum()
    total = cumulative[-1]
    if total > 0:
        # `right` steps over rows of weight 0, and a draw is always below the total.
        drawn: Labels = cumulative.searchsorted(rng.random(n_trials) * total, side="right")
        return drawn.clip(max=np.flatnonzero(weights)[-1])
    left: Labels = np.setdiff1d(np.arange(len(weights)), taken, assume_unique=True)
    anyone: Labels = left[rng.integers(len(left), size=1)]
    return anyone


def kmeans_plus_plus(request: StartRequest) -> Parameters:
    """Seeds, and every row given to its nearest."""
    rows = request.distance_rows()
    chosen = seeds(rows, request.n_components, request.rng, request.weights)
    return request.from_labels(rows.nearest(rows.take(chosen)))
