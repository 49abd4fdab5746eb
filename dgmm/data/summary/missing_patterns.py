"""Which features are missing together: different patterns and their rows, counted exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

#: Patterns that are told apart; of more it is known only that they are more.
MOST_PATTERNS: Final = 4096


@dataclass(frozen=True, slots=True, eq=False)
class MissingPatterns:
    """Patterns of missing values among rows, in the order of their bits; a monoid.

    Beyond `MOST_PATTERNS` nothing is kept: what a task returns stays small, and the same whatever
    the order in which parts are merged.

    Attributes
    ----------
    bits : (m, ⌈d/8⌉) uint8
        Each different pattern: bit 1 where a feature is missing, the first feature highest.
    counts : (m,) int64
        Rows with each.
    is_more : bool
        Whether there are more than `MOST_PATTERNS`; then no pattern is listed.
    n_rows, n_partial : int
        Rows, and rows among them that lack a value.
    """

    bits: NDArray[np.uint8]
    counts: NDArray[np.int64]
    is_more: bool = False
    n_rows: int = 0
    n_partial: int = 0

    @classmethod
    def zero(cls, n_features: int) -> Self:
        """Those of no rows."""
        return cls(np.empty((0, -(-n_features // 8)), np.uint8), np.empty(0, np.int64))

    @classmethod
    def of_rows(cls, values: NDArray[Any]) -> Self:
        """Those of rows (m, d) of which NaN is what is missing."""
        return cls.of_counts(*different_rows(np.packbits(np.isnan(values), axis=1)))

    @classmethod
    def of_complete(cls, n_rows: int, n_features: int) -> Self:
        """Those of rows that lack nothing."""
        bits = np.zeros((min(n_rows, 1), -(-n_features // 8)), np.uint8)
        return cls(bits, np.full(len(bits), n_rows, np.int64), n_rows=n_rows)

    @classmethod
    def of_counts(cls, bits: NDArray[np.uint8], counts: NDArray[np.int64]) -> Self:
        """Those of different patterns, in the order of their bits, with their rows."""
        n_rows, n_partial = int(counts.sum()), int(counts[bits.any(axis=1)].sum())
        if len(counts) > MOST_PATTERNS:
            return cls(bits[:0], counts[:0], True, n_rows, n_partial)
        return cls(bits, counts, False, n_rows, n_partial)

    def merge(self, other: Self) -> Self:
        """Those of these rows and the other's."""
        n_rows, n_partial = self.n_rows + other.n_rows, self.n_partial + other.n_partial
        if self.is_more or other.is_more:
            return type(self)(self.bits[:0], self.counts[:0], True, n_rows, n_partial)
        if np.array_equal(self.bits, other.bits):
            counts = self.counts + other.counts
            return type(self)(self.bits, counts, False, n_rows, n_partial)
        bits = np.concatenate([self.bits, other.bits])
        counts = np.concatenate([self.counts, other.counts])
        return self.of_counts(*different_rows(bits, counts))

    @property
    def n_patterns(self) -> int | None:
        """How many there are, that of complete rows included; None where they are too many."""
        return None if self.is_more else len(self.counts)

    def missing(self, n_features: int) -> NDArray[np.bool_]:
        """The patterns as masks (m, d)."""
        return np.unpackbits(self.bits, axis=1, count=n_features).astype(np.bool_)


def different_rows(
    bits: NDArray[np.uint8], counts: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The different rows of `bits` in their order, and how many there are of each.

    As `np.unique(bits, axis=0)`, which compares byte by byte: rows are compared as words of 64
    bits, which takes a ninth of the time for 8 features, and less for more.

    Parameters
    ----------
    bits : (n, w) uint8
    counts : (n,) int64, optional
        What each row counts; by default 1.
    """
    n, width = bits.shape
    padded = np.zeros((n, max(-(-width // 8), 1) * 8), np.uint8)
    padded[:, :width] = bits
    words = padded.view(">u8").astype(np.uint64)  # the first byte is the highest
    if words.shape[1] == 1 and counts is None:
        different, total = np.unique(words[:, 0], return_counts=True)
        return _bytes(different[:, None], width), total.astype(np.int64)
    order = np.lexsort(words.T[::-1])
    words = words[order]
    starts = np.flatnonzero(np.r_[True, (words[1:] != words[:-1]).any(axis=1)][:n])
    each = np.ones(n, np.int64) if counts is None else counts[order]
    total = np.add.reduceat(each, starts) if n else each
    return _bytes(words[starts], width), total


def _bytes(words: NDArray[np.uint64], width: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(words.astype(">u8")).view(np.uint8)[:, :width].copy()
