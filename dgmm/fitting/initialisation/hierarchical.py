"""Ward's clustering of at most 5,000 rows; then every row to the nearest cluster mean.

Ward, *Hierarchical grouping to optimize an objective function*, JASA 58 (1963). The distances of
5,000 rows take 100 MB, and time grows with the square. Rows that have weights are resampled to
equal ones first.
"""

from __future__ import annotations

import numpy as np

from dgmm.fitting.initialisation.distance_rows import Labels
from dgmm.fitting.initialisation.start_request import StartRequest
from dgmm.fitting.initialisation.weighted_draws import systematic_rows
from dgmm.mixture.covariance.family import Array
from dgmm.mixture.parameters import Parameters

MAX_ROWS = 5_000
#: Of rows that have weights so many for each of the sample's, at most.
_COPIES = 4


def ward_labels(rows: Array, k: int) -> Labels:
    """Labels 0 to k − 1 of the k clusters that Ward's tree has before its last k − 1 merges."""
    from scipy.cluster.hierarchy import linkage  # noqa: PLC0415 - slow to import, rarely needed

    m = len(rows)
    if m == 1:
        return np.zeros(1, dtype=np.intp)
    parent = np.arange(2 * m - 1)
    # A column of ones leaves distances as they are, and keeps SciPy from taking a square sample for
    # a matrix of distances (it warns where the diagonal is 0).
    tree = linkage(np.pad(rows, ((0, 0), (0, 1)), constant_values=1.0), "ward")
    for i, (left, right) in enumerate(tree[: m - k, :2].astype(np.intp)):
        parent[[left, right]] = m + i
    # A merge's number is above those of what it merges: from the top down every root is known.
    for node in range(2 * m - 2, -1, -1):
        parent[node] = parent[parent[node]]
    return np.unique(parent[:m], return_inverse=True)[1]


def hierarchical(request: StartRequest) -> Parameters:
    """Clusters of Ward's tree as components."""
    sample, k = request.sample, request.n_components
    n_rows = min(len(sample), max(MAX_ROWS, k))
    if request.weights is None:
        chosen = np.sort(request.rng.choice(len(sample), n_rows, replace=False))
    else:  # SciPy's linkage knows no weights
        wanted = min(max(MAX_ROWS, k), _COPIES * len(sample))
        chosen = systematic_rows(request.weights, wanted, request.rng)
    rows = request.distance_rows()
    few = rows.take(chosen)
    labels = ward_labels(few, k)
    counts = np.bincount(labels, minlength=k)
    sums = np.stack([np.bincount(labels, column, minlength=k) for column in few.T], axis=1)
    return request.from_labels(rows.nearest(sums / counts[:, None]))
