"""A uniform sample of rows in one pass: every row draws a key, the smallest keys win.

A row's key depends on the seed, its block and its place in the block alone, so the sample is the
same for every chunking and every split into tasks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.random_streams import Stage, stream

_KEYS = 2**64
#: Standard deviations of the number of candidates by which the threshold is set too high.
_MARGIN = 5.0
#: Parts that are not joined yet, at most: a checkpoint writes each as three arrays.
_MOST_PARTS = 64


@dataclass(frozen=True, slots=True)
class SamplePart:
    """Candidates of one block, in row order: keys, row numbers, rows."""

    keys: NDArray[np.uint64]
    numbers: NDArray[np.int64]
    rows: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidates of several blocks; merging joins tuples, and copies rows once they are many."""

    parts: tuple[SamplePart, ...] = ()

    def merge(self, other: Self) -> Self:
        """Return these candidates followed by the other's."""
        parts = self.parts + other.parts
        if len(parts) <= _MOST_PARTS:
            return type(self)(parts)
        columns = zip(*((part.keys, part.numbers, part.rows) for part in parts), strict=True)
        return type(self)((SamplePart(*(np.concatenate(column) for column in columns)),))

    def __len__(self) -> int:
        return sum(len(part.keys) for part in self.parts)

    def smallest(
        self, n_rows: int, n_features: int, dtype: np.dtype[Any]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The rows (m, d) with the `n_rows` smallest keys, in row order, and their numbers (m,)."""
        if not self.parts:
            return np.empty((0, n_features), dtype), np.empty(0, np.int64)
        keys = np.concatenate([part.keys for part in self.parts])
        numbers = np.concatenate([part.numbers for part in self.parts])
        rows = np.concatenate([part.rows for part in self.parts])
        if len(keys) <= n_rows:
            return rows, numbers
        highest = np.partition(keys, n_rows - 1)[n_rows - 1]
        chosen = keys < highest
        # Of equal keys the earlier row wins: parts come in row order.
        equal = np.flatnonzero(keys == highest)
        chosen[equal[: n_rows - np.count_nonzero(chosen)]] = True
        return rows[chosen], numbers[chosen]


@dataclass(frozen=True, slots=True)
class SampleRule:
    """Which rows become candidates: those whose key is below a threshold.

    Parameters
    ----------
    seed : int
        The job's seed.
    threshold : int
        Between 0 and 2^64; 2^64 takes every row.
    """

    seed: int
    threshold: int

    @classmethod
    def expecting(cls, n_wanted: int, n_rows: int, seed: int) -> Self:
        """The rule that finds at least `n_wanted` of `n_rows` rows but once in 3 million times.

        It finds about that many, so that all tasks together return about the sample's size.
        """
        if n_wanted >= n_rows:
            return cls(seed, _KEYS)
        share = (n_wanted + _MARGIN * math.sqrt(n_wanted)) / n_rows
        return cls(seed, min(int(share * _KEYS), _KEYS))

    def candidates(
        self, block: int, start: int, rows: NDArray[Any], mask: NDArray[np.bool_] | None
    ) -> Candidates:
        """The candidates among the rows (b, d) of a block that begins at row `start`.

        Dropped rows draw their keys too: whether a row is chosen does not depend on others.
        """
        keys = stream(Stage.SUMMARY, self.seed, block).integers(
            _KEYS - 1, size=len(rows), dtype=np.uint64, endpoint=True
        )
        if self.threshold >= _KEYS:
            chosen = np.ones(len(rows), dtype=np.bool_)
        else:
            chosen = keys < np.uint64(self.threshold)
        if mask is not None:
            chosen &= mask
        places = np.flatnonzero(chosen)
        if len(places) == 0:
            return Candidates()
        return Candidates((SamplePart(keys[places], places + start, rows[places]),))
