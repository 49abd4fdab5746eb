"""Rows of the sample for compiled distances: in panels, in tiles on threads.

Every number is computed by one thread, and sums are taken tile by tile: their bits do not follow
the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.fitting.initialisation.sample_rows import Array, CentredRows, Labels, Seeding
from dgmm.mixture.backends import numba_distances as compiled
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import split_ranges

Numbers = NDArray[Any]

#: Squares of float32 rows stay below this, so that nothing overflows.
_LARGEST_SQUARE = 1e30
#: Distances are precise where their sum is this many times what rounding may change it by.
_PRECISE = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class CompiledRows:
    """Centred rows, and a copy of them in panels.

    Attributes
    ----------
    rows
        As they were, float64: means and deviations are taken of these.
    panels : (n_panels, d, b)
        float32 or float64; rows beyond the last are 0.
    squares : (n_panels · b,)
        ‖x‖² of what is in the panels.
    executor
        Runs tasks on threads of this process; None where other starts have them.
    """

    rows: CentredRows
    panels: Numbers
    squares: Numbers
    executor: Executor | None

    @classmethod
    def of(cls, rows: CentredRows, executor: Executor | None, *, is_single: bool) -> Self:
        """Copy rows into panels."""
        fits = float(rows.squares.max(initial=0.0)) <= _LARGEST_SQUARE
        dtype = np.dtype(np.float32 if is_single and fits else np.float64)
        d, m = rows.values.shape
        b = compiled.panel_rows(dtype.itemsize)
        whole = m // b
        panels = np.zeros((-(-m // b), d, b), dtype)
        stretch = rows.values[:, : whole * b].reshape(d, whole, b)
        panels[:whole] = stretch.transpose(1, 0, 2)
        if whole < len(panels):
            panels[whole, :, : m - whole * b] = rows.values[:, whole * b :]
        squares = np.einsum("pdb,pdb->pb", panels, panels).ravel()
        return cls(rows, panels, squares, executor)

    @property
    def n_rows(self) -> int:
        """m."""
        return self.rows.n_rows

    @property
    def is_single(self) -> bool:
        """Whether panels are float32."""
        return bool(self.panels.dtype == np.float32)

    @property
    def rounding(self) -> float:
        """The largest error of a distance, over ‖x‖² + ‖c‖²."""
        return float(2.0 * (self.rows.n_features + 2) * np.finfo(self.panels.dtype).eps)

    def is_precise(self, worth: float, weights: Numbers | None) -> bool:
        """Whether float64, or a sum of weighted distances is large beside its rounding."""
        if not self.is_single:
            return True
        squares = self.squares[: self.n_rows]
        own = np.ones_like(squares) if weights is None else weights
        size = 2.0 * float(np.einsum("i,i", own, squares, dtype=np.float64))
        return worth >= _PRECISE * self.rounding * size

    def take(self, rows: Labels) -> Array:
        """Some rows as points about the centre, (len(rows), d), float64."""
        return self.rows.take(rows)

    def packed(self, rows: Labels) -> Numbers:
        """The same as they are in the panels."""
        b = self.panels.shape[2]
        found: Numbers = self.panels[rows // b, :, rows % b]
        return found

    def each(self, task: Callable[[int, int], None], n: int) -> None:
        """Do a task on all of [0, n), in as many parts as there are threads."""
        if self.executor is None or self.executor.n_threads == 1:
            task(0, n)
            return

        def part(own: BlockRange) -> None:
            task(own.start, own.stop)

        for _ in self.executor.run(part, split_ranges(n, self.executor.n_threads)):
            pass

    def seeding(self, n_trials: int, weights: Array | None = None) -> Seeding:
        """No seed yet; each later one is the best of so many."""
        return CompiledSeeding(self, n_trials, weights)

    def nearest(self, points: Array) -> Labels:
        """Index of the nearest of points (k, d), the lowest of equal ones, (m,)."""
        cells = self.cells()
        cells.add(points)
        return cells.labels

    def cells(self) -> CompiledCells:
        """Nearest points of rows, of none so far."""
        return CompiledCells(self)

    def squared_distances(self, points: Array) -> Numbers:
        """‖x − c‖² for points (t, d) about the centre, (t, m); 0 where it is mere rounding."""
        seeding = CompiledSeeding(self, len(points), None)
        return seeding.lowered(points.astype(self.panels.dtype))[:, : self.n_rows]

    def deviations(self, points: Array, labels: Labels) -> Array:
        """‖x − c‖² from each row to its own point, (m,), by differences."""
        return self.rows.deviations(points, labels)

    def means(
        self, labels: Labels, counts: Labels, otherwise: Array, weights: Array | None = None
    ) -> Array:
        """Mean of each label's rows about the centre, (k, d), to the bits of `CentredRows`."""
        values, k = self.rows.values, len(counts)
        own = np.empty(0) if weights is None else weights
        sums = np.zeros((len(values), k))

        def some(first: int, stop: int) -> None:
            compiled.add_by_label(values, labels, own, first, stop, sums)

        self.each(some, len(values))
        sizes = counts if weights is None else np.bincount(labels, weights, k)
        has_rows = counts > 0
        means = sums.T / np.where(has_rows, sizes.astype(np.float64), 1.0)[:, None]
        return np.where(has_rows[:, None], means, otherwise)


class CompiledCells:
    """The nearest of the points so far by compiled products."""

    def __init__(self, rows: CompiledRows) -> None:
        self._rows, dtype = rows, rows.panels.dtype
        self._best = np.full(rows.squares.size, -np.inf, dtype)
        self._labels = np.zeros(rows.squares.size, np.int32)
        self._squares: list[Array] = []

    @property
    def labels(self) -> Labels:
        """Which point is the nearest, the lowest of equal ones, (m,)."""
        return self._labels[: self._rows.n_rows].astype(np.intp)

    def add(self, points: Array) -> None:
        """More points (t, d) about the centre, in one read of the rows."""
        dtype, (t, d) = self._rows.panels.dtype, points.shape
        own = np.zeros((compiled.in_whole_groups(t), d), dtype)
        own[:t] = points
        half = np.full(len(own), np.inf, dtype)
        half[:t] = 0.5 * np.einsum("ij,ij->i", own[:t], own[:t], dtype=np.float64)
        number = sum(map(len, self._squares))
        self._squares.append(2.0 * half[:t].astype(np.float64))

        def some(first: int, stop: int) -> None:
            buffer = compiled.nearest_buffer(dtype)
            rows = (dtype.type(1.0), self._rows.panels, own, half, number, first, stop)
            compiled.nearest(*rows, buffer, self._best, self._labels)

        self._rows.each(some, len(self._rows.panels))

    def distances(self) -> Array:
        """‖x − c‖² to the nearest, (m,); 0 where it is mere rounding."""
        n = self._rows.n_rows
        squares = self._rows.squares[:n].astype(np.float64)
        size = squares + np.concatenate(self._squares)[self._labels[:n]]
        found: Array = squares - 2.0 * self._best[:n]
        return np.where(found > self._rows.rounding * size, found, 0.0)

    def are_precise(self, worth: Array, weights: Array | None) -> bool:
        """Whether float64, or rounding is small beside the sum of what rows are worth."""
        return self._rows.is_precise(float(worth.sum()), weights)


class CompiledSeeding:
    """Seeds by compiled products: the rows are read once for all trials of a seed."""

    def __init__(self, rows: CompiledRows, n_trials: int, weights: Array | None) -> None:
        self._rows, dtype = rows, rows.panels.dtype
        m, t = rows.n_rows, compiled.in_whole_groups(n_trials)
        n_tiles = -(-m // compiled.TILE_ROWS)
        padded = n_tiles * compiled.TILE_ROWS
        self._weights = np.zeros(padded, dtype)
        self._weights[:m] = 1.0 if weights is None else weights / weights.max()
        self._closest = np.zeros(padded, dtype)
        self._closest[:m] = np.inf
        # Two of each: what is worth now is a row of the one, and the next is written to the other.
        self._found = [np.zeros((t, padded), dtype) for _ in range(2)]
        self._sums = [np.empty((n_tiles, t)) for _ in range(2)]
        self.worth = np.full(n_tiles, np.inf)
        self._points, self._own = np.zeros((t, rows.rows.n_features), dtype), np.zeros(t, dtype)

    @property
    def n_rows(self) -> int:
        """m."""
        return self._rows.n_rows

    @property
    def is_precise(self) -> bool:
        """Whether float64, or rounding is small beside the sum of what rows are worth."""
        return self._rows.is_precise(float(self.worth.sum()), self._weights[: self.n_rows])

    def add(self, trials: Labels) -> int:
        """Take all distances of the trials in one read of the rows."""
        n = len(trials)
        self.lowered(self._rows.packed(trials))
        best = int(self._sums[0][:, :n].sum(axis=0).argmin())
        self._closest = self._found[0][best]
        self.worth = self._sums[0][:, best].copy()
        self._closest[trials[best]] = 0.0
        tile = int(trials[best]) // compiled.TILE_ROWS
        own = slice(tile * compiled.TILE_ROWS, (tile + 1) * compiled.TILE_ROWS)
        self.worth[tile] = self._closest[own].sum(dtype=np.float64)
        return best

    def lowered(self, points: Numbers) -> Numbers:
        """What rows, and some padding, would be worth with each of points (t, d) besides."""
        n = len(points)
        self._points[:n] = -2.0 * points
        self._own[:n] = np.einsum("ij,ij->i", points, points)
        self._found.reverse()
        self._sums.reverse()
        self._rows.each(self._some_tiles, len(self.worth))
        return self._found[0][:n]

    def _some_tiles(self, first: int, stop: int) -> None:
        dtype = self._rows.panels.dtype
        compiled.closer(
            *(dtype.type(1.0), self._rows.panels, self._rows.squares, self._weights),
            *(self._closest, self._points, self._own, dtype.type(self._rows.rounding)),
            *(first, stop, compiled.closer_buffers(len(self._own), dtype)),
            *(self._found[0], self._sums[0]),
        )

    def draw(self, n_trials: int, rng: np.random.Generator) -> Labels:
        """Rows in proportion to what they are worth; none where all rows are seeds."""
        total = self.worth.cumsum()[-1]
        if not total > 0:
            return np.empty(0, dtype=np.intp)
        rows = np.empty(n_trials, dtype=np.intp)
        compiled.draw(self._closest, self.worth, rng.random(n_trials) * total, rows)
        return rows
