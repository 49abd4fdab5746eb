"""What k-means asks of rows, whatever computes their distances."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.intp]


class Seeding(Protocol):
    """Seeds so far, by what each row is worth: w·‖x − c‖² to the nearest of them."""

    @property
    def n_rows(self) -> int:
        """m."""

    @property
    def is_precise(self) -> bool:
        """Whether rounding is small beside the distances that are left."""

    def add(self, trials: Labels) -> int:
        """Add the one of some rows that lowers the sum most; which of them that is."""

    def draw(self, n_trials: int, rng: np.random.Generator) -> Labels:
        """Rows in proportion to what they are worth; none where all rows are seeds."""


class Cells(Protocol):
    """Rows by the nearest of the points so far: Voronoi's cells."""

    @property
    def labels(self) -> Labels:
        """Which point is the nearest, the lowest of equal ones, (m,)."""

    def add(self, points: Array) -> None:
        """More points (t, d) about the centre."""

    def distances(self) -> Array:
        """‖x − c‖² to the nearest, (m,), float64; 0 where it is mere rounding."""

    def are_precise(self, worth: Array, weights: Array | None) -> bool:
        """Whether rounding is small beside the sum of weighted distances."""


class Clusters(Protocol):
    """Rows by the nearest of k points that move."""

    @property
    def labels(self) -> Labels:
        """Which point is the nearest, the lowest of equal ones, (m,)."""

    def move(self, points: Array) -> None:
        """Move the points, to (k, d) about the centre."""


class DistanceRows(Protocol):
    """What k-means asks of rows."""

    @property
    def n_rows(self) -> int:
        """m."""

    @property
    def is_single(self) -> bool:
        """Whether distances are of float32."""

    def take(self, rows: Labels) -> Array:
        """Some rows as points about the centre, (len(rows), d)."""

    def seeding(self, n_trials: int, weights: Array | None = None) -> Seeding:
        """No seed yet; each later one is the best of so many."""

    def nearest(self, points: Array) -> Labels:
        """Index of the nearest of points (k, d) for every row, (m,), the lowest of equal ones."""

    def clusters(self, points: Array) -> Clusters:
        """Rows by the nearest of points (k, d) about the centre, which may move."""

    def cells(self) -> Cells:
        """Nearest points of rows, of none so far."""

    def squared_distances(self, points: Array) -> NDArray[np.floating[Any]]:
        """‖x − c‖² for points (t, d) about the centre, (t, m); 0 where it is mere rounding."""

    def deviations(self, points: Array, labels: Labels) -> Array:
        """‖x − c‖² from each row to its own point, (m,), by differences."""

    def means(
        self, labels: Labels, counts: Labels, otherwise: Array, weights: Array | None = None
    ) -> Array:
        """Mean of each label's rows about the centre, (k, d); `otherwise` where it has none."""
