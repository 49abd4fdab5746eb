"""k-means++ seeding: rows drawn in proportion to their squared distance from the seeds so far.

Arthur & Vassilvitskii, *k-means++: the advantages of careful seeding* (SODA 2007), in its greedy
variant: of 2 + ⌊log k⌋ draws the one that lowers the sum of squared distances most is taken, as in
scikit-learn (the variant is the authors' own, §4 there).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from dgmm.fitting.initialisation.distance_rows import Array, DistanceRows, Labels, Seeding
from dgmm.fitting.initialisation.sample_rows import CentredRows, drawn
from dgmm.fitting.initialisation.start_compute import StartCompute
from dgmm.fitting.initialisation.start_request import StartRequest
from dgmm.mixture.parameters import Parameters

Found = TypeVar("Found")


def seeds(
    rows: DistanceRows, k: int, rng: np.random.Generator, weights: Array | None = None
) -> Labels:
    """Indices of k seeds, all different; a row of weight w stands for w equal rows."""
    return grown(rows.seeding(n_trials(k), weights), k, rng, weights)


def n_trials(k: int) -> int:
    """Rows that a seed is the best of."""
    return 2 + int(np.log(k))


def grown(
    seeding: Seeding, k: int, rng: np.random.Generator, weights: Array | None = None
) -> Labels:
    """The k seeds that a seeding without any grows to; `weights` draw the first."""
    chosen = np.empty(k, dtype=np.intp)
    first = rng.integers(seeding.n_rows) if weights is None else drawn(weights, 1, rng)[0]
    for i in range(k):
        trials = np.array([first]) if i == 0 else seeding.draw(n_trials(k), rng)
        if len(trials) == 0:
            trials = _anyone(seeding.n_rows, chosen[:i], rng)
        chosen[i] = trials[seeding.add(trials)]
    return chosen


def _anyone(n_rows: int, taken: Labels, rng: np.random.Generator) -> Labels:
    """Any row that is none of the taken ones."""
    left: Labels = np.setdiff1d(np.arange(n_rows), taken, assume_unique=True)
    found: Labels = left[rng.integers(len(left), size=1)]
    return found


def seeded(
    request: StartRequest, rows: CentredRows, weights: Array | None, compute: StartCompute
) -> tuple[DistanceRows, Labels]:
    """Seeds, and the rows as they were found with: in float32 where that tells distances apart."""

    def find(own: DistanceRows) -> Labels | None:
        seeding = own.seeding(n_trials(request.n_components), weights)
        chosen = grown(seeding, request.n_components, request.rng, weights)
        return chosen if seeding.is_precise else None

    found = in_least_precision(request.rng, rows, compute, find)
    if found is None:
        raise ValueError("float64 is precise by definition")
    return found


def in_least_precision(
    rng: np.random.Generator,
    rows: CentredRows,
    compute: StartCompute,
    find: Callable[[DistanceRows], Found | None],
) -> tuple[DistanceRows, Found] | None:
    """What is found with distances of float32, or else, from the same random numbers, of float64.

    None where neither finds anything.
    """
    state = rng.bit_generator.state
    for is_single in (True, False):
        rng.bit_generator.state = state
        own = compute.over(rows, is_single=is_single)
        if (found := find(own)) is not None:
            return own, found
    rng.bit_generator.state = state
    return None


def kmeans_plus_plus(request: StartRequest) -> Parameters:
    """Seeds, and every row given to its nearest."""
    rows = request.distance_rows()
    found, chosen = seeded(request, rows, request.weights, request.compute_for(rows))
    return request.from_labels(found.nearest(found.take(chosen)))
