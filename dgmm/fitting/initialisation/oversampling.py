"""What k-means‖ measures of every block: rows drawn, rows a candidate, moments a cluster.

A round wants every row x, independently, with probability min(1, ℓ·d²(x, C)/φ(C)), where φ(C), the
sum of d² over all rows, is known only when all have been read. So each row draws u in [0, 1) and is
taken if u/d² < ℓ/φ. The φ of some blocks is at most that of all: rows that fail with it can be left
out at once. Every partial result holds about ℓ rows, one read does for a round, and the rows taken
are exactly those that two reads would take.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dgmm.fitting.initialisation.all_rows import Block, PerRestart
from dgmm.fitting.initialisation.distance_rows import Array
from dgmm.fitting.initialisation.first_parameters import add_moments
from dgmm.fitting.initialisation.observed_variances import ObservedMoments
from dgmm.fitting.initialisation.sample_rows import CentredRows, tiles
from dgmm.mixture.covariance.family import Family
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.random_streams import Stage, stream


@dataclass(frozen=True, slots=True, eq=False)
class SampledStarts:
    """What a round takes from some blocks; a monoid.

    Attributes
    ----------
    oversampling : float
        ℓ.
    cost : float
        φ: sum of w·d², of weights w and squared distances d² to the nearest candidate so far.
    keys : (c,)
        u/(w·d²) of the rows taken, each below ℓ/φ.
    rows : (c, d)
        The rows themselves, in the order of the data.
    """

    oversampling: float
    cost: float
    keys: Array
    rows: Array

    @classmethod
    def of_block(
        cls, oversampling: float, block: Block, candidates: Array, rng: np.random.Generator
    ) -> Self:
        """Draw from one block."""
        distances = squared_distances(block.rows, candidates)
        if block.weights is not None:
            distances *= block.weights
        numbers = block.uniform(rng)
        keys = np.full(len(numbers), np.inf)
        with np.errstate(over="ignore"):  # a distance near 0 is as good as none
            np.divide(numbers, distances, out=keys, where=distances > 0)
        cost = float(distances.sum())
        taken = np.flatnonzero(_is_taken(keys, oversampling, cost))
        return cls(oversampling, cost, keys[taken], block.rows.take(taken))

    def merge(self, other: Self) -> Self:
        """These blocks followed by the others."""
        cost = self.cost + other.cost
        mine = _is_taken(self.keys, self.oversampling, cost)
        theirs = _is_taken(other.keys, self.oversampling, cost)
        keys = np.concatenate([self.keys[mine], other.keys[theirs]])
        rows = np.concatenate([self.rows[mine], other.rows[theirs]])
        return type(self)(self.oversampling, cost, keys, rows)


def _is_taken(keys: Array, oversampling: float, cost: float) -> NDArray[np.bool_]:
    """u/d² < ℓ/φ; no row where each is a candidate already (φ = 0)."""
    with np.errstate(over="ignore"):
        threshold = np.divide(oversampling, cost) if cost > 0.0 else 0.0
    taken: NDArray[np.bool_] = keys < threshold
    return taken


def squared_distances(rows: CentredRows, points: Array) -> Array:
    """d² of each row to the nearest of the points, (b,); exactly 0 at the points themselves."""
    return rows.deviations(points, rows.nearest(points))


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Rows nearest to each candidate, or the sum of their weights, (c,); a monoid."""

    values: NDArray[np.int64] | NDArray[np.float64]

    def merge(self, other: Self) -> Self:
        """These blocks followed by the others."""
        return type(self)(self.values + other.values)


@dataclass(frozen=True, slots=True, eq=False)
class RoundMeasure:
    """One round of all restarts; picklable.

    Attributes
    ----------
    seed, keys
        The job's seed, and what names each start's stream: components, start, round.
    candidates
        (c, d) for each start.
    scales
        What each start multiplies rows by before distances are taken; None for nothing.
    """

    seed: int
    keys: tuple[tuple[int, ...], ...]
    candidates: tuple[Array, ...]
    scales: tuple[Array | None, ...]
    oversampling: float

    def __call__(self, block: Block) -> PerRestart[SampledStarts]:
        """Draw from one block for each start."""
        return PerRestart(
            tuple(
                SampledStarts.of_block(
                    self.oversampling, block.scaled(scale), C, self._stream(key, block.number)
                )
                for key, C, scale in zip(self.keys, self.candidates, self.scales, strict=True)
            )
        )

    def _stream(self, key: tuple[int, ...], block: int) -> np.random.Generator:
        return stream(Stage.INITIALISATION, self.seed, *key, block)


@dataclass(frozen=True, slots=True, eq=False)
class CountMeasure:
    """Rows nearest to each of each start's candidates; picklable."""

    candidates: tuple[Array, ...]
    scales: tuple[Array | None, ...]

    def __call__(self, block: Block) -> PerRestart[Counts]:
        """Count one block."""
        return PerRestart(
            tuple(
                _counts(block, C, scale)
                for C, scale in zip(self.candidates, self.scales, strict=True)
            )
        )


@dataclass(frozen=True, slots=True, eq=False)
class ClusterMeasure:
    """Moments of the rows nearest to each of each start's centres, about them; picklable.

    Centres are in the start's metric, moments in standardised units.
    """

    family: Family
    centres: tuple[Array, ...]
    scales: tuple[Array | None, ...]

    def __call__(self, block: Block) -> PerRestart[Statistics]:
        """Measure one block."""
        return PerRestart(
            tuple(
                _moments(self.family, block, C, scale)
                for C, scale in zip(self.centres, self.scales, strict=True)
            )
        )


@dataclass(frozen=True, slots=True, eq=False)
class ObservedMeasure:
    """Moments of the observed values nearest to each of each start's centres; picklable.

    Centres are in the start's metric, moments in standardised units, about the centres.
    """

    centres: tuple[Array, ...]
    scales: tuple[Array | None, ...]

    def __call__(self, block: Block) -> PerRestart[ObservedMoments]:
        """Measure one block."""
        return PerRestart(
            tuple(
                _observed(block, C, scale)
                for C, scale in zip(self.centres, self.scales, strict=True)
            )
        )


def _observed(block: Block, centres: Array, scale: Array | None) -> ObservedMoments:
    labels, values = block.scaled(scale).rows.nearest(centres), block.rows.values
    known = np.ones(values.shape, np.bool_) if block.known is None else block.known
    points = centres if scale is None else centres / scale
    return ObservedMoments.of_labels(values, known, labels, points, block.weights)


def _counts(block: Block, candidates: Array, scale: Array | None) -> Counts:
    nearest = block.scaled(scale).rows.nearest(candidates)
    return Counts(np.bincount(nearest, block.weights, minlength=len(candidates)))


def _moments(family: Family, block: Block, centres: Array, scale: Array | None) -> Statistics:
    k, d = centres.shape
    rows, labels = block.rows, block.scaled(scale).rows.nearest(centres)
    centres = centres if scale is None else centres / scale
    order = np.argsort(labels, kind="stable")
    ends = np.bincount(labels, minlength=k).cumsum()
    sums = np.zeros((k, family.width(d)))
    scatter = family.empty_scatter(d)
    for j, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        for tile in tiles(int(end - start), 3 * d):
            own = order[start:end][tile]
            D = rows.values[:, own] - centres[j][:, None]
            weights = np.ones(len(own)) if block.weights is None else block.weights[own]
            add_moments(family, D, weights, sums[j], scatter)
    return Statistics(rows.n_rows, 0.0, sums, scatter, centres, block.sum_of_weights)
