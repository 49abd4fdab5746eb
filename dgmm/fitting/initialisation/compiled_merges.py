"""Ward's merges by compiled code: neighbours are listed on threads, and merged on one."""

from __future__ import annotations

import numpy as np

from dgmm.fitting.initialisation.distance_rows import Array
from dgmm.fitting.initialisation.row_panels import RowPanels
from dgmm.fitting.initialisation.sample_rows import CentredRows
from dgmm.fitting.initialisation.ward_merges import merged as merged_by_numpy
from dgmm.mixture.backends import numba_distances as distances
from dgmm.mixture.backends import numba_merges as compiled
from dgmm.reduction.executor import Executor

#: Clusters compared with all others for each of them, from which NumPy does the rest: where sizes
#: are very unequal lists hold the smallest clusters, which are merged first.
_MOST_COMPARED = 4


def merged(
    means: Array, sizes: Array, k: int, executor: Executor | None, *, is_single: bool
) -> Array:
    """Means (k, d) of the clusters that Ward's merges leave; see `ward_merges.merged`.

    Neighbours are listed by distances less what rounding may add to them, in float32 where
    `is_single`; what a listed pair costs is taken from differences, in float64. Where lists have to
    be made too often, as of very unequal sizes, NumPy merges the rest.
    """
    left, own = _by_lists(means, sizes, k, executor, is_single=is_single)
    return left if len(left) == k else merged_by_numpy(left, own, k)


def _by_lists(
    means: Array, sizes: Array, k: int, executor: Executor | None, *, is_single: bool
) -> tuple[Array, Array]:
    """Means and sizes of what is left: more than k where lists have to be made too often."""
    n, n_compared = len(means), 0
    columns, own, gone = means.T.copy(), sizes / sizes.sum(), np.zeros(n, np.bool_)
    lists = (
        np.empty((n, compiled.LISTED), np.int32),
        np.empty((n, compiled.LISTED)),
        *(np.empty(n), np.empty(n), np.empty(n, np.int64)),
    )
    rows = RowPanels.of(CentredRows.about_origin(columns), executor, is_single=is_single)
    dtype = rows.panels.dtype
    points = np.zeros((distances.in_whole_groups(n), columns.shape[0]), dtype)
    np.multiply(means, -2.0, out=points[:n], casting="same_kind")
    squares = (rows.squares * (1.0 - rows.rounding)).astype(dtype)

    def some(first: int, stop: int) -> None:
        buffer = distances.nearest_buffer(dtype)
        given = (dtype.type(1.0), rows.panels, squares, points, own)
        compiled.list_first(*given, first, stop, buffer, lists, gone)

    rows.each(some, len(points) // distances.POINTS)
    left = means.copy()
    numbers, none = np.arange(n), np.zeros(n, np.int64)
    progress = (numbers, none, none - 1, gone, np.zeros(1, np.int64))
    wanted = np.empty(compiled.AT_A_TIME, np.int64)

    def look(first: int, stop: int) -> None:
        compiled.look(wanted, first, stop, columns, own, lists, progress)

    while n_wanted := compiled.merge(left, columns, own, k, lists, progress, wanted):
        n_compared += int(n_wanted)
        if n_compared > _MOST_COMPARED * n:
            break
        rows.each(look, n_wanted)
    return left[~gone], own[~gone]
