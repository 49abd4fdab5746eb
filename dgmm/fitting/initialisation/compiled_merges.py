"""Ward's merges by compiled code: neighbours are listed on threads, and merged on one."""

from __future__ import annotations

import numpy as np

from dgmm.fitting.initialisation.distance_rows import Array
from dgmm.fitting.initialisation.row_panels import RowPanels
from dgmm.fitting.initialisation.sample_rows import CentredRows
from dgmm.mixture.backends import numba_distances as distances
from dgmm.mixture.backends import numba_merges as compiled
from dgmm.reduction.executor import Executor


def merged(
    means: Array, sizes: Array, k: int, executor: Executor | None, *, is_single: bool
) -> Array:
    """Means (k, d) of the clusters that Ward's merges leave; see `ward_merges.merged`.

    Neighbours are listed by distances less what rounding may add to them, in float32 where
    `is_single`; what a listed pair costs is taken from differences, in float64.
    """
    n = len(means)
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
        rows.each(look, n_wanted)
    found: Array = left[~gone]
    return found
