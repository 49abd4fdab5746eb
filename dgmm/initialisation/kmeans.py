"""k-means: greedy k-means++ seeds, then Lloyd's iterations.

Lloyd, *Least squares quantization in PCM*, IEEE Trans. Inf. Theory 28 (1982).
"""

from __future__ import annotations

import numpy as np

from dgmm.covariance.family import Array
from dgmm.initialisation.kmeans_plus_plus import seeds
from dgmm.initialisation.request import StartRequest
from dgmm.initialisation.rows import CentredRows, Labels
from dgmm.parameters import Parameters

MAX_ITERATIONS = 100
#: Lloyd stops when at most this share of the rows changes its cluster (below 1,000 rows: none). It
#: walks on for dozens of iterations over the last few, which EM shares out anew in its first: on
#: 100,000 rows of photographs and 16 clusters 50 more lowered the sum of squares by 0.05 %.
SETTLED_SHARE = 1e-3


def lloyd(rows: CentredRows, points: Array) -> Labels:
    """Labels (m,) of Lloyd's iterations from points (k, d) about the centre of the rows.

    A cluster that runs empty moves to the row farthest from its own point.
    """
    labels = rows.nearest(points)
    for _ in range(MAX_ITERATIONS):
        counts = np.bincount(labels, minlength=len(points))
        points = rows.means(labels, counts, otherwise=points)
        moved = _revive(rows, points, labels, np.flatnonzero(counts == 0))
        before, labels = labels, rows.nearest(points)
        if not moved and np.count_nonzero(labels != before) <= SETTLED_SHARE * len(labels):
            break
    return labels


def _revive(rows: CentredRows, points: Array, labels: Labels, empty: Labels) -> bool:
    """Move points of empty clusters to the farthest rows, in place; False where none was moved.

    Rows at distance 0 are left alone: there are fewer distinct rows than clusters.
    """
    if len(empty) == 0:
        return False
    distances = rows.deviations(points, labels)
    farthest = np.argsort(-distances, kind="stable")[: len(empty)]
    farthest = farthest[distances[farthest] > 0]
    points[empty[: len(farthest)]] = rows.take(farthest)
    return len(farthest) > 0


def kmeans(request: StartRequest) -> Parameters:
    """Clusters of k-means as components."""
    rows = CentredRows.of(request.sample)
    chosen = seeds(rows, request.n_components, request.rng)
    return request.from_labels(lloyd(rows, rows.take(chosen)))
