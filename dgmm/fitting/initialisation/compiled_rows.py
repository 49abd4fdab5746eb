"""Rows of the sample for compiled distances: in panels, in tiles on threads."""

from __future__ import annotations

import numpy as np

from dgmm.fitting.initialisation.compiled_cells import CompiledCells, CompiledClusters
from dgmm.fitting.initialisation.distance_rows import Array, Labels, Seeding
from dgmm.fitting.initialisation.row_panels import Numbers, RowPanels
from dgmm.mixture.backends import numba_distances as compiled


class CompiledRows(RowPanels):
    """What k-means asks of rows, by compiled code."""

    __slots__ = ()

    def take(self, rows: Labels) -> Array:
        """Some rows as points about the centre, (len(rows), d), float64."""
        return self.rows.take(rows)

    def seeding(self, n_trials: int, weights: Array | None = None) -> Seeding:
        """No seed yet; each later one is the best of so many."""
        return CompiledSeeding(self, n_trials, weights)

    def nearest(self, points: Array) -> Labels:
        """Index of the nearest of points (k, d), the lowest of equal ones, (m,)."""
        return self.clusters(points).labels

    def clusters(self, points: Array) -> CompiledClusters:
        """Rows by the nearest of points (k, d) about the centre, which may move."""
        return CompiledClusters(self, points)

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
