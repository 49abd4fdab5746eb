"""Rows by their nearest points, compiled: points that are added, and clusters that move."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgmm.fitting.initialisation.distance_rows import Array, Labels
from dgmm.fitting.initialisation.row_panels import Numbers, RowPanels
from dgmm.mixture.backends import numba_distances as compiled

#: Where more than this share of the points has moved, rows are taken with all of them.
_MOVED_SHARE = 0.5


class CompiledCells:
    """The nearest of the points so far by compiled products."""

    def __init__(self, rows: RowPanels) -> None:
        self._rows = rows
        self._best, self._labels = _of_none(rows)
        self._distances = np.empty(rows.n_rows)
        self._squares: list[Array] = []

    @property
    def labels(self) -> Labels:
        """Which point is the nearest, the lowest of equal ones, (m,)."""
        return self._labels[: self._rows.n_rows].astype(np.intp)

    def add(self, points: Array) -> None:
        """More points (t, d) about the centre, in one read of the rows."""
        rows, (own, half) = self._rows, _packed(points, self._rows)
        number = sum(map(len, self._squares))
        self._squares.append(2.0 * half[: len(points)].astype(np.float64))
        squares = np.concatenate(self._squares)
        one, b = rows.panels.dtype.type(1.0), rows.panels.shape[2]

        def some(first: int, stop: int) -> None:
            buffer = compiled.nearest_buffer(rows.panels.dtype)
            found = (self._best, self._labels)
            compiled.nearest(one, rows.panels, own, half, number, first, stop, buffer, *found)
            ends = first * b, min(stop * b, rows.n_rows)
            compiled.distances(rows.squares, *found, squares, rows.rounding, *ends, self._distances)

        rows.each(some, len(rows.panels))

    def distances(self) -> Array:
        """‖x − c‖² to the nearest, (m,), until points are added; 0 where it is mere rounding."""
        return self._distances

    def are_precise(self, worth: Array, weights: Array | None) -> bool:
        """Whether float64, or rounding is small beside the sum of what rows are worth."""
        return self._rows.is_precise(float(worth.sum()), weights)


class CompiledClusters:
    """Rows by the nearest of k points that move, multiplied with those that have moved.

    Labels are those of all points, to the bit.
    """

    def __init__(self, rows: RowPanels, points: Array) -> None:
        self._rows, self._every = rows, _packed(points, rows)
        self._take_all()

    @property
    def labels(self) -> Labels:
        """Which point is the nearest, the lowest of equal ones, (m,)."""
        return self._labels[: self._rows.n_rows].astype(np.intp)

    def move(self, points: Array) -> None:
        """Move the points, to (k, d) about the centre."""
        before, self._every = self._every[0], _packed(points, self._rows)
        has_moved = (self._every[0] != before).any(axis=1)
        if has_moved.sum() > _MOVED_SHARE * len(points):
            self._take_all()
        elif has_moved.any():  # of no points there are no numbers to read
            self._take(has_moved)

    def _take_all(self) -> None:
        panels = self._rows.panels
        self._best, self._labels = _of_none(self._rows)

        def some(first: int, stop: int) -> None:
            buffer = compiled.nearest_buffer(panels.dtype)
            own = (*self._every, 0, first, stop, buffer, self._best, self._labels)
            compiled.nearest(panels.dtype.type(1.0), panels, *own)

        self._rows.each(some, len(panels))

    def _take(self, has_moved: NDArray[np.bool_]) -> None:
        panels, moved = self._rows.panels, np.flatnonzero(has_moved).astype(np.int32)
        points, half = _in_groups(self._every[0][moved], self._every[1][moved])
        numbers = np.zeros(len(half), np.int32)
        numbers[: len(moved)] = moved

        def some(first: int, stop: int) -> None:
            buffers = compiled.buffers_again(panels.shape[1], panels.dtype)
            own = (self._every, (points, half), numbers, has_moved, first, stop, buffers)
            one = panels.dtype.type(1.0)
            compiled.nearest_again(one, panels, *own, self._best, self._labels)

        self._rows.each(some, len(panels))


def _of_none(rows: RowPanels) -> tuple[Numbers, NDArray[np.int32]]:
    """How near each row is to the nearest of no points, and which it is."""
    n = rows.squares.size
    return np.full(n, -np.inf, rows.panels.dtype), np.zeros(n, np.int32)


def _packed(points: Array, rows: RowPanels) -> tuple[Numbers, Numbers]:
    """Points as rows are multiplied with them, and ½ ‖c‖² of each."""
    own = points.astype(rows.panels.dtype)
    half = 0.5 * np.einsum("ij,ij->i", own, own, dtype=np.float64)
    return _in_groups(own, half.astype(own.dtype))


def _in_groups(points: Numbers, half: Numbers) -> tuple[Numbers, Numbers]:
    """The same in whole groups: further points are infinitely far."""
    t, n = len(points), compiled.in_whole_groups(len(points))
    own, far = np.zeros((n, points.shape[1]), points.dtype), np.full(n, np.inf, half.dtype)
    own[:t], far[:t] = points, half
    return own, far
