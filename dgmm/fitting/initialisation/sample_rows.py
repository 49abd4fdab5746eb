"""Rows of the sample laid out for distances: features first, about a robust centre, in tiles.

‖x − c‖² = ‖x‖² − 2 x·c + ‖c‖² turns distances into matrix products. It loses digits far from the
origin, hence the centre; a median, because a mean follows a single fill value of 9.97e36.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from dgmm.fitting.initialisation.distance_rows import Array, Cells, Clusters, Labels, Seeding

_TILE_BYTES = 1024 * 1024
_MIN_TILE, _MAX_TILE = 256, 8192
_CENTRE_ROWS = 1001
_POINTS = 8
#: Standardised values beyond this are cut off: their squares, summed, must fit float64.
LARGEST_VALUE = 1e100


def tiles(n_rows: int, numbers_per_row: int) -> Iterator[slice]:
    """Cut rows into tiles near 1 MiB; a pure function of its arguments, since bits follow it."""
    width = min(max(_TILE_BYTES // (8 * numbers_per_row), _MIN_TILE), _MAX_TILE)
    for start in range(0, n_rows, width):
        yield slice(start, min(start + width, n_rows))


def clipped(rows: Array) -> Array:
    """Rows whose squares, summed, fit float64."""
    if np.abs(rows).max(initial=0.0) <= LARGEST_VALUE:
        return rows
    return np.clip(rows, -LARGEST_VALUE, LARGEST_VALUE)


@dataclass(frozen=True, slots=True, eq=False)
class CentredRows:
    """A sample about its centre.

    Attributes
    ----------
    values : (d, m)
        Rows minus the centre, features first.
    squares : (m,)
        ‖x‖².
    centre : (d,)
        Median of at most 1,001 evenly spaced rows.
    """

    values: Array
    squares: Array
    centre: Array

    @property
    def is_single(self) -> bool:
        """Distances are of float64."""
        return False

    @classmethod
    def of(cls, sample: Array) -> Self:
        """Copy a sample (m, d)."""
        step = -(-len(sample) // _CENTRE_ROWS)
        centre = np.median(sample[::step], axis=0)
        values = np.empty(sample.shape[::-1])
        np.subtract(sample.T, centre[:, None], out=values)
        return cls(values, np.einsum("ij,ij->j", values, values), centre)

    @classmethod
    def about_origin(cls, columns: Array) -> Self:
        """Take rows (d, m), features first, that lie about the origin as they are; not copied."""
        return cls(columns, np.einsum("ij,ij->j", columns, columns), np.zeros(len(columns)))

    def only(self, rows: Labels) -> Self:
        """Some of the rows, about the same centre."""
        values = np.ascontiguousarray(self.values[:, rows])
        return type(self)(values, self.squares[rows], self.centre)

    def scaled(self, scale: Array) -> CentredRows:
        """The same rows, every feature multiplied by its scale (d,)."""
        values = self.values * scale[:, None]
        return CentredRows(values, np.einsum("ij,ij->j", values, values), self.centre * scale)

    @property
    def n_rows(self) -> int:
        """m."""
        return int(self.values.shape[1])

    @property
    def n_features(self) -> int:
        """d."""
        return int(self.values.shape[0])

    def take(self, rows: Labels) -> Array:
        """Some rows as points about the centre, (len(rows), d)."""
        return np.ascontiguousarray(self.values[:, rows].T)

    def seeding(self, n_trials: int, weights: Array | None = None) -> Seeding:
        """No seed yet; each later one is the best of so many."""
        del n_trials
        return PlainSeeding(self, weights)

    def nearest(self, points: Array) -> Labels:
        """Index of the nearest of points (k, d), given about the centre, for every row, (m,).

        The lowest index where several are equally near. argmin ‖x − c‖² = argmax (x·c − ½‖c‖²).
        """
        transposed, half_squares = points.T, 0.5 * np.einsum("ij,ij->i", points, points)
        labels: Labels = np.empty(self.n_rows, dtype=np.intp)
        for tile in tiles(self.n_rows, len(points)):
            closeness = self.values[:, tile].T @ transposed
            np.subtract(closeness, half_squares, out=closeness)
            np.argmax(closeness, axis=1, out=labels[tile])
        return labels

    def clusters(self, points: Array) -> Clusters:
        """Rows by the nearest of points (k, d) about the centre, which may move."""
        return PlainClusters(self, points)

    def cells(self) -> Cells:
        """Nearest points of rows, of none so far."""
        return PlainCells(self)

    def squared_distances(self, points: Array) -> Array:
        """‖x − c‖² for few points (t, d) about the centre, (t, m); 0 where it is mere rounding.

        Duplicates of a far point would otherwise seem farther from it than all others from theirs:
        the rounding of 9.97e36² is larger than any honest distance.
        """
        own = np.einsum("ij,ij->i", points, points)
        rounding = 2.0 * (self.n_features + 2) * np.finfo(np.float64).eps
        distances = np.empty((len(points), self.n_rows))
        for tile in tiles(self.n_rows, self.n_features + 3 * len(points)):
            size = own[:, None] + self.squares[tile]
            part = np.matmul(points, self.values[:, tile], out=distances[:, tile])
            np.multiply(part, -2.0, out=part)
            np.add(part, size, out=part)
            np.multiply(part, part > rounding * size, out=part)
        return distances

    def deviations(self, points: Array, labels: Labels) -> Array:
        """‖x − c‖² from each row to its own point, (m,), by differences: no digit is lost."""
        result = np.empty(self.n_rows)
        for tile in tiles(self.n_rows, 2 * self.n_features):
            difference = self.values[:, tile] - points[labels[tile]].T
            result[tile] = np.einsum("ij,ij->j", difference, difference)
        return result

    def means(
        self, labels: Labels, counts: Labels, otherwise: Array, weights: Array | None = None
    ) -> Array:
        """Mean of each label's rows about the centre, (k, d); `otherwise` where it has none."""
        k, has_rows = len(counts), counts > 0
        values, sizes = self.values, counts.astype(np.float64)
        if weights is not None:
            values, sizes = values * weights, np.bincount(labels, weights, k).astype(np.float64)
        sums = np.stack([np.bincount(labels, row, minlength=k) for row in values], axis=1)
        means = sums / np.where(has_rows, sizes, 1.0)[:, None]
        return np.where(has_rows[:, None], means, otherwise)


class PlainClusters:
    """Rows by the nearest of k points, all of which are multiplied again when some move."""

    def __init__(self, rows: CentredRows, points: Array) -> None:
        self._rows = rows
        self.move(points)

    def move(self, points: Array) -> None:
        """Move the points, to (k, d) about the centre."""
        self.labels = self._rows.nearest(points)


class PlainCells:
    """The nearest of the points so far by NumPy's products."""

    def __init__(self, rows: CentredRows) -> None:
        self._rows, self._n_points = rows, 0
        self._closest = np.full(rows.n_rows, np.inf)
        self.labels: Labels = np.zeros(rows.n_rows, dtype=np.intp)

    def add(self, points: Array) -> None:
        """A few points at a time: their distances to all rows are in memory at once."""
        for first in range(0, len(points), _POINTS):
            distances = self._rows.squared_distances(points[first : first + _POINTS])
            nearest = distances.argmin(axis=0)
            least = distances[nearest, np.arange(self._rows.n_rows)]
            is_nearer = least < self._closest
            self._closest[is_nearer] = least[is_nearer]
            self.labels[is_nearer] = nearest[is_nearer] + self._n_points + first
        self._n_points += len(points)

    def distances(self) -> Array:
        """As they were taken."""
        return self._closest.copy()

    def are_precise(self, worth: Array, weights: Array | None) -> bool:
        """Of float64 always."""
        del worth, weights
        return True


class PlainSeeding:
    """Seeds by NumPy's products."""

    is_precise = True

    def __init__(self, rows: CentredRows, weights: Array | None) -> None:
        self._rows, self._weights = rows, weights
        self._closest = np.full(rows.n_rows, np.inf)

    @property
    def n_rows(self) -> int:
        """m."""
        return self._rows.n_rows

    def add(self, trials: Labels) -> int:
        """Take all distances of the trials at once."""
        distances = self._rows.squared_distances(self._rows.take(trials))
        if self._weights is not None:
            distances *= self._weights
        np.minimum(distances, self._closest, out=distances)
        best = int(distances.sum(axis=1).argmin())
        self._closest = distances[best].copy()
        self._closest[trials[best]] = 0.0
        return best

    def draw(self, n_trials: int, rng: np.random.Generator) -> Labels:
        """By the cumulative sum."""
        return drawn(self._closest, n_trials, rng)


def drawn(worth: Array, n_trials: int, rng: np.random.Generator) -> Labels:
    """Rows in proportion to what they are worth; none where that is 0 of all."""
    if not worth.sum() > 0:
        return np.empty(0, dtype=np.intp)
    return at_shares(worth, rng.random(n_trials))


def at_shares(worth: Array, shares: Array) -> Labels:
    """The rows at shares, from 0 to 1, of the cumulative sum of what rows are worth."""
    cumulative = worth.cumsum()
    # `right` steps over rows worth 0.
    found: Labels = cumulative.searchsorted(shares * cumulative[-1], side="right")
    return found.clip(max=np.flatnonzero(worth)[-1])
