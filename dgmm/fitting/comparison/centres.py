"""k-means on the sample, pass by pass, and its labels of any rows."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.fitting.initialisation.distance_rows import Labels
from dgmm.fitting.initialisation.kmeans_plus_plus import seeds
from dgmm.fitting.initialisation.sample_rows import CentredRows
from dgmm.random_streams import Stage, stream

Array = NDArray[np.float64]

#: Starts, of which the one of least squares stays, and passes of each at most.
N_STARTS, MOST_PASSES = 4, 200


@dataclass(frozen=True, slots=True, eq=False)
class Centres:
    """Clusters of k-means.

    Attributes
    ----------
    points : (k, d)
        In standardised units of one common scale: distances are those of the user's units.
    standardisation
        Shift, and that scale.
    passes
        Of Lloyd's iterations, the last of which changed no label.
    seconds_per_row
        Of the fastest of them; not part of any result's bits.
    """

    points: Array
    standardisation: Standardisation
    passes: int
    seconds_per_row: float

    def labels(self, values: NDArray[np.generic]) -> Labels:
        """The nearest centre of each row (b, d), user units."""
        columns = self.standardisation.apply(values, np.float64)
        return CentredRows.about_origin(columns).nearest(self.points)


def k_means(values: Array, k: int, standardisation: Standardisation, seed: int) -> Centres:
    """k-means++ seeds and Lloyd's iterations until no label changes; the best of four starts.

    Parameters
    ----------
    values : (m, d)
        Rows, user units.
    k, standardisation, seed
        Clusters; units of one common scale; the job's seed.
    """
    columns = standardisation.apply(values, np.float64)
    rows = CentredRows.about_origin(np.ascontiguousarray(columns))
    best: Centres | None = None
    least = np.inf
    for start in range(N_STARTS):
        rng = stream(Stage.COMPARISON, seed, k, start)
        points, labels, passes, seconds = _lloyd(rows, rows.take(seeds(rows, k, rng, None)))
        squares = float(rows.deviations(points, labels).sum())
        if best is None or squares < least:
            least = squares
            best = Centres(points, standardisation, passes, seconds / max(rows.n_rows, 1))
    if best is None:
        raise RuntimeError("there is at least one start by construction")
    return best


def _lloyd(rows: CentredRows, points: Array) -> tuple[Array, Labels, int, float]:
    """Points, labels, passes, and the seconds of the fastest pass."""
    labels, fastest = np.full(rows.n_rows, -1), np.inf
    passes = 0
    while passes < MOST_PASSES:
        passes += 1
        begun = time.perf_counter()
        before, labels = labels, rows.nearest(points)
        if np.array_equal(before, labels):
            break
        counts = np.bincount(labels, minlength=len(points))
        points = rows.means(labels, counts, otherwise=points)
        fastest = min(fastest, time.perf_counter() - begun)
    return points, labels, passes, fastest
