"""Points for k-means of many clusters: twice as many seeds, of which Ward's merges leave k.

Greedy k-means++ takes the distances of 2 + ⌊log k⌋ rows for a seed, one seed after the other. Twice
as many seeds without that choice cost a quarter of the products, and their clusters, merged where
that adds least to the sum of squares, leave points that are closer to the end of Lloyd's iterations
(docs/design/0016-many-components.md).

Seeds are drawn in blocks and have the distribution of k-means++ (Arthur & Vassilvitskii, SODA
2007): rows are drawn by their distances D from the seeds before the block, and one is accepted with
probability D'/D, where D' is its distance from those of the block as well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dgmm.fitting.initialisation.distance_rows import Array, Cells, DistanceRows, Labels
from dgmm.fitting.initialisation.sample_rows import CentredRows, at_shares
from dgmm.fitting.initialisation.start_compute import StartCompute
from dgmm.fitting.initialisation.weighted_draws import one_row

#: Seeds over clusters.
SURPLUS: Final = 2
#: Clusters from which it pays.
LEAST_CLUSTERS: Final = 256
#: Rows a seed, at least.
_LEAST_ROWS = 2
#: Rows drawn at a time, at most: this share of the seeds so far, of more the others of a block are
#: near too often; and no more than have 8 MB of distances between them.
_BLOCK_SHARE, _LEAST_BLOCK, _MOST_BLOCK = 0.25, 128, 1024
#: Numbers of eight bytes that are kept for each feature, and in all, of a cluster that is merged.
_COPIES, _NUMBERS = 6, 64


def are_worth_merging(n_rows: int, k: int) -> bool:
    """Whether there are enough clusters, and rows for more seeds; a function of sizes alone."""
    return k >= LEAST_CLUSTERS and n_rows >= _LEAST_ROWS * SURPLUS * k


def merging_bytes(k: int, n_features: int) -> int:
    """What merging seeds into k points holds at most: it grows with k, not with its square."""
    return 8 * SURPLUS * k * (_COPIES * n_features + _NUMBERS)


def merged_seeds(
    rows: DistanceRows,
    k: int,
    rng: np.random.Generator,
    weights: Array | None,
    compute: StartCompute,
) -> Array | None:
    """k points (k, d) about the centre; None where rounding decides, or fewer than k rows differ.

    A row of weight w stands for w equal rows. `compute` takes distances between points.
    """
    cells = rows.cells()
    between = partial(_between, compute, is_single=rows.is_single)
    n = draw_seeds(rows, cells, SURPLUS * k, rng, weights, between)
    if n == 0:
        return None
    labels = cells.labels
    counts = np.bincount(labels, minlength=n)
    has_rows = np.flatnonzero(counts)
    if len(has_rows) < k:
        return None
    means = rows.means(labels, counts, np.zeros((n, 1)), weights)[has_rows]
    sizes = counts if weights is None else np.bincount(labels, weights, n)
    own = sizes[has_rows].astype(np.float64)
    return compute.merged(means, own, k, is_single=rows.is_single)


def _between(compute: StartCompute, points: Array, *, is_single: bool) -> NDArray[Any]:
    """‖a − b‖² of all pairs of some points (t, d)."""
    columns = CentredRows.about_origin(np.ascontiguousarray(points.T))
    return compute.over(columns, is_single=is_single).squared_distances(points)


def draw_seeds(
    rows: DistanceRows,
    cells: Cells,
    wanted: int,
    rng: np.random.Generator,
    weights: Array | None,
    between: Callable[[Array], NDArray[Any]],
) -> int:
    """Add seeds, as many as are wanted or rows differ; how many, and 0 where rounding decides.

    `between` takes the squared distances of all pairs of points.
    """
    new = rows.take(np.array([one_row(rows.n_rows, rng, weights)]))
    own = None if weights is None else weights / weights.max()
    found, size = 0, 1
    while True:
        cells.add(new)
        found += len(new)
        distances = cells.distances()
        worth = distances if own is None else distances * own
        if not cells.are_precise(worth, own):
            return 0
        size = min(size, wanted - found)
        if size == 0 or not worth.sum() > 0:
            return found
        drawn = at_shares(worth, rng.random(size))
        points = rows.take(drawn)
        new = points[accepted(between(points), distances[drawn], rng.random(size))]
        size = min(2 * len(new), _most_drawn(found))


def _most_drawn(n_seeds: int) -> int:
    """Rows of a block, at most, after so many seeds."""
    return min(max(_LEAST_BLOCK, int(_BLOCK_SHARE * n_seeds)), _MOST_BLOCK)


def accepted(apart: NDArray[Any], before: Array, shares: Array) -> Labels:
    """Which of points, one after the other, have their share of their distance before left.

    `apart` (t, t) are squared distances between the points, `before` (t,) from the seeds before any
    of them, `shares` (t,) uniform numbers from 0 to 1. The first is always accepted.
    """
    now, chosen = before.copy(), []
    for i in range(len(before)):
        if shares[i] * before[i] < now[i]:
            chosen.append(i)
            np.minimum(now, apart[i], out=now)
    return np.array(chosen, dtype=np.intp)
