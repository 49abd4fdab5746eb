"""A sample of rows in one pass: every row draws a key, the smallest keys win.

A row's key depends on the seed, its block and its place in the block alone, so the sample is the
same for every chunking and every split into tasks.

Rows without weights draw u, and the sample is uniform. Rows of unequal weights w draw u/w, and a
row of the sample stands for the weight max(w, τ), where 1/τ is the smallest key that did not win
(priority sampling: Duffield, Lund & Thorup, *Priority sampling for estimation of arbitrary subset
sums*, J. ACM 54, 2007): sums over it are unbiased, and no heavy row is missed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.summary.weight_sums import Floats, WeightSums
from dgmm.random_streams import Stage, stream

_KEYS = 2**64
#: Standard deviations of the number of candidates by which the threshold is set too high.
_MARGIN = 5.0
#: A threshold of weighted rows is found to one part in 2^20, and lies below the second number.
_HALVINGS, _LARGEST_KEY = 20, 1e300
#: Parts that are not joined yet, at most: a checkpoint writes each as three arrays.
_MOST_PARTS = 64


@dataclass(frozen=True, slots=True)
class SamplePart:
    """Candidates of one block, in row order: keys, row numbers, rows, and their weights.

    Keys of weighted rows are the bits of u/w, which are in the order of these numbers. Weights are
    None where rows are drawn uniformly.
    """

    keys: NDArray[np.uint64]
    numbers: NDArray[np.int64]
    rows: NDArray[Any]
    weights: Floats | None = None

    @classmethod
    def joined(cls, parts: Sequence[SamplePart]) -> Self:
        """Several parts as one."""
        columns = zip(*((part.keys, part.numbers, part.rows) for part in parts), strict=True)
        keys, numbers, rows = (np.concatenate(column) for column in columns)
        weights = [part.weights for part in parts if part.weights is not None]
        return cls(keys, numbers, rows, np.concatenate(weights) if weights else None)


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows (m, d) in row order, their numbers (m,), and weights (m,) where they were drawn by them.

    Weights are what each row stands for among all rows.
    """

    rows: NDArray[Any]
    numbers: NDArray[np.int64]
    weights: Floats | None = None


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidates of several blocks; merging joins tuples, and copies rows once they are many."""

    parts: tuple[SamplePart, ...] = ()

    def merge(self, other: Self) -> Self:
        """Return these candidates followed by the other's."""
        parts = self.parts + other.parts
        if len(parts) <= _MOST_PARTS:
            return type(self)(parts)
        return type(self)((SamplePart.joined(parts),))

    def __len__(self) -> int:
        return sum(len(part.keys) for part in self.parts)

    def smallest(
        self, n_rows: int, n_features: int, dtype: np.dtype[Any], least_weight: float = 0.0
    ) -> Sample:
        """The rows with the `n_rows` smallest keys.

        `least_weight` is what a weighted row stands for at least where no more than these were
        candidates (`SampleRule.least_weight`).
        """
        if not self.parts:
            return Sample(np.empty((0, n_features), dtype), np.empty(0, np.int64))
        found = SamplePart.joined(self.parts)
        keys = found.keys
        if len(keys) <= n_rows:
            weights = _represented(found.weights, least_weight)
            return Sample(found.rows, found.numbers, weights)
        highest, following = np.partition(keys, (n_rows - 1, n_rows))[n_rows - 1 : n_rows + 1]
        chosen = keys < highest
        # Of equal keys the earlier row wins: parts come in row order.
        equal = np.flatnonzero(keys == highest)
        chosen[equal[: n_rows - np.count_nonzero(chosen)]] = True
        weights = None
        if found.weights is not None:
            weights = _represented(found.weights[chosen], _least_weight(following))
        return Sample(found.rows[chosen], found.numbers[chosen], weights)


def _represented(weights: Floats | None, least: float) -> Floats | None:
    """max(w, τ)."""
    return None if weights is None else np.maximum(weights, least)


def _least_weight(key: np.uint64) -> float:
    """τ: 1 over a key u/w."""
    return float(1.0 / key.view(np.float64))


@dataclass(frozen=True, slots=True)
class SampleRule:
    """Which rows become candidates: those whose key is below a threshold.

    Parameters
    ----------
    seed : int
        The job's seed.
    threshold : int
        Between 0 and 2^64; 2^64 takes every row. Of weighted rows the bits of a float64.
    by_weight : bool
        Whether keys are u/w.
    """

    seed: int
    threshold: int
    by_weight: bool = False

    @classmethod
    def expecting(cls, n_wanted: int, n_rows: int, seed: int) -> Self:
        """The rule that finds at least `n_wanted` of `n_rows` rows but once in 3 million times.

        It finds about that many, so that all tasks together return about the sample's size.
        """
        if n_wanted >= n_rows:
            return cls(seed, _KEYS)
        share = _with_margin(n_wanted) / n_rows
        return cls(seed, min(int(share * _KEYS), _KEYS))

    @classmethod
    def by_weights(
        cls,
        n_wanted: int,
        n_rows: int,
        seed: int,
        weights: WeightSums,
        unit: float,
        share: float = 1.0,
    ) -> Self:
        """The same for rows of weights w, where at least that share of all weight counts.

        Parameters
        ----------
        n_wanted, n_rows, seed
            As above.
        weights, unit
            Of all rows, in given units, and what they are divided by.
        share
            Of the weight, that of rows which are not left out for what they lack.
        """
        wanted = _with_margin(n_wanted) / share
        if n_wanted >= n_rows or wanted >= weights.n_rows:
            return cls(seed, _KEYS, by_weight=True)
        high = wanted / weights.n_rows * (unit / weights.mean)
        while weights.expected_below(high / unit) < wanted and high < _LARGEST_KEY:
            high *= 2.0
        low = high / 2.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            is_enough = weights.expected_below(middle / unit) >= wanted
            low, high = (low, middle) if is_enough else (middle, high)
        return cls(seed, int(np.float64(high).view(np.uint64)), by_weight=True)

    @property
    def least_weight(self) -> float:
        """What a weighted row stands for at least: 1 over the threshold; 0 where all are taken."""
        return 0.0 if self.threshold >= _KEYS else _least_weight(np.uint64(self.threshold))

    def candidates(
        self,
        block: int,
        start: int,
        rows: NDArray[Any],
        mask: NDArray[np.bool_] | None,
        weights: Floats | None = None,
    ) -> Candidates:
        """The candidates among the rows (b, d) of a block that begins at row `start`.

        Dropped rows draw their keys too: whether a row is chosen does not depend on others.
        `weights` (b,) are those of all rows of the block.
        """
        keys = stream(Stage.SUMMARY, self.seed, block).integers(
            _KEYS - 1, size=len(rows), dtype=np.uint64, endpoint=True
        )
        if not self.by_weight:
            weights = None
        elif weights is not None:
            keys = _over_weights(keys, weights)
        if self.threshold >= _KEYS:
            chosen = np.ones(len(rows), dtype=np.bool_)
        else:
            chosen = keys < np.uint64(self.threshold)
        if mask is not None:
            chosen &= mask
        places = np.flatnonzero(chosen)
        if len(places) == 0:
            return Candidates()
        own = None if weights is None else weights[places]
        return Candidates((SamplePart(keys[places], places + start, rows[places], own),))


def _with_margin(n_wanted: int) -> float:
    return n_wanted + _MARGIN * math.sqrt(n_wanted)


def _over_weights(keys: NDArray[np.uint64], weights: Floats) -> NDArray[np.uint64]:
    """The bits of u/w, for u in (0, 1) and w ≥ 0."""
    u = (keys.astype(np.float64) + 0.5) / _KEYS
    with np.errstate(divide="ignore", over="ignore"):
        drawn: NDArray[np.float64] = u / weights
    return drawn.view(np.uint64)
