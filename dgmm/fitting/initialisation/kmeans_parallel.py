"""k-means‖: candidates drawn from all rows in a few rounds, weighted, and clustered.

Bahmani, Moseley, Vattani, Kumar & Vassilvitskii, *Scalable K-Means++*, PVLDB 5 (2012), algorithm 2:

1. C is one row, drawn uniformly.
2. In each round every row x joins C, independently, with probability min(1, ℓ·d²(x, C)/φ(C)).
3. Each candidate's weight is the number of rows nearest to it.
   (Rows of weight w count as w rows in all of these.)
4. The weighted candidates are clustered into k (here by k-means++ and Lloyd's iterations).

With ℓ = 2k and the paper's five rounds about 10k candidates result. Rounds go on, up to twenty,
while there are fewer than k: a single far row can take a round's whole probability. The weights
carry the guarantee; without step 3 the candidates are a sample that outliers dominate.

Components then start with the moments of all rows nearest to each centre, because a cluster that
this method finds may have no row in the sample. So a start reads all rows seven times: five rounds,
the weights, the moments; every restart shares these reads. Where values are missing, one read more
takes the variances of those that are there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dgmm.fitting.initialisation.all_rows import AllRows
from dgmm.fitting.initialisation.distance_rows import Array
from dgmm.fitting.initialisation.first_parameters import repaired
from dgmm.fitting.initialisation.kmeans import lloyd
from dgmm.fitting.initialisation.kmeans_plus_plus import seeds
from dgmm.fitting.initialisation.oversampling import (
    ClusterMeasure,
    CountMeasure,
    ObservedMeasure,
    RoundMeasure,
)
from dgmm.fitting.initialisation.random_from_data import distinct_rows
from dgmm.fitting.initialisation.sample_rows import CentredRows
from dgmm.fitting.initialisation.start_request import StartRequest
from dgmm.fitting.initialisation.weighted_draws import one_row
from dgmm.mixture.parameters import Parameters, m_step

ROUNDS, MOST_ROUNDS = 5, 20
#: ℓ of k.
OVERSAMPLING = 2.0
#: Clusterings of the candidates, the best of which is taken: they are few and in memory.
CLUSTERINGS = 5
#: Candidates to expect, of k; their number is random.
EXPECTED_CANDIDATES = int(ROUNDS * OVERSAMPLING)
#: Reads of all rows: the rounds (more where they gave fewer than k), the weights, the moments.
N_READS = ROUNDS + 2


def kmeans_parallel(
    rows: AllRows,
    requests: Sequence[StartRequest],
    seed: int,
    keys: Sequence[tuple[int, ...]],
) -> list[Parameters]:
    """One start for each request, all from the same reads.

    Parameters
    ----------
    rows
        All rows.
    requests
        One a start: its sample gives the first row, its stream all draws on the driver.
    seed
        The job's: rows draw from streams of it, k, key, round and block.
    keys
        What names each start.
    """
    first, scales = requests[0], tuple(request.scale for request in requests)
    candidates = draw_candidates(rows, requests, seed, keys)
    weights = rows.reduce(CountMeasure(tuple(candidates), scales), "weights").values
    centres = tuple(
        cluster(C, w.values.astype(np.float64), request)
        for C, w, request in zip(candidates, weights, requests, strict=True)
    )
    statistics = rows.reduce(ClusterMeasure(first.family, centres, scales), "moments").values
    found = [
        repaired(m_step(first.family, s), first.sample, first.regularisation, first.weights)
        for s in statistics
    ]
    if rows.fill is None:
        return found
    observed = rows.reduce(ObservedMeasure(centres, scales), "observed-moments").values
    pairs = zip(found, observed, strict=True)
    return [moments.widened(begun, first.regularisation) for begun, moments in pairs]


def draw_candidates(
    rows: AllRows,
    requests: Sequence[StartRequest],
    seed: int,
    starts: Sequence[tuple[int, ...]],
) -> list[Array]:
    """Steps 1 and 2: the candidates (c, d) of each start, rows of the data in its metric."""
    k = requests[0].n_components
    candidates = [
        r.in_metric(r.sample[[one_row(len(r.sample), r.rng, r.weights)]]) for r in requests
    ]
    going = list(range(len(requests)))  # a start ends as it would alone
    for n in range(1, MOST_ROUNDS + 1):
        keys = tuple((k, *starts[i], n) for i in going)
        own, scales = tuple(candidates[i] for i in going), tuple(requests[i].scale for i in going)
        measure = RoundMeasure(seed, keys, own, scales, OVERSAMPLING * k)
        drawn = dict(zip(going, rows.reduce(measure, f"round-{n}").values, strict=True))
        for i, found in drawn.items():
            candidates[i] = np.concatenate([candidates[i], found.rows])
        if n >= ROUNDS:
            going = [i for i in going if len(candidates[i]) < k and drawn[i].cost > 0.0]
        if not going:
            break
    return candidates


def cluster(candidates: Array, weights: Array, request: StartRequest) -> Array:
    """Step 4: k centres (k, d) of weighted candidates.

    Where the data have fewer than k different rows, or nearly so, rows of the sample fill up.
    """
    k, rng = request.n_components, request.rng
    points, weights = candidates[weights > 0], weights[weights > 0]
    if len(points) <= k:
        others = distinct_rows(request.sample, k - len(points), rng, request.weights)
        return np.concatenate([points, request.in_metric(request.sample[others])])
    rows = CentredRows.of(points)
    tries = [_clustered(rows, weights, k, rng) for _ in range(CLUSTERINGS)]
    return min(tries, key=lambda found: found[0])[1] + rows.centre


def _clustered(
    points: CentredRows, weights: Array, k: int, rng: np.random.Generator
) -> tuple[float, Array]:
    """Weighted k-means once: the weighted sum of squares, and centres about the points' own."""
    first = points.take(seeds(points, k, rng, weights))
    labels = lloyd(points, first, weights)
    counts = np.bincount(labels, minlength=k)
    centres = points.means(labels, counts, otherwise=first, weights=weights)
    return float(weights @ points.deviations(centres, labels)), centres
