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
    """

    bits: NDArray[np.uint8]
    counts: NDArray[np.int64]
    is_more: bool = False

    @classmethod
    def zero(cls, n_features: int) -> Self:
        """Those of no rows."""
        return cls(np.empty((0, -(-n_features // 8)), np.uint8), np.empty(0, np.int64))

    @classmethod
    def of_rows(cls, values: NDArray[Any]) -> Self:
        """Those of rows (m, d) of which NaN is what is missing."""
        return cls._counted(np.packbits(np.isnan(values), axis=1), np.ones(len(values), np.int64))

    @classmethod
    def of_complete(cls, n_rows: int, n_features: int) -> Self:
        """Those of rows that lack nothing."""
        bits = np.zeros((min(n_rows, 1), -(-n_features // 8)), np.uint8)
        return cls(bits, np.full(len(bits), n_rows, np.int64))

    @classmethod
    def _counted(cls, bits: NDArray[np.uint8], counts: NDArray[np.int64]) -> Self:
        different, places = np.unique(bits, axis=0, return_inverse=True)
        if len(different) > MOST_PATTERNS:
            return cls(bits[:0], counts[:0], is_more=True)
        total = np.zeros(len(different), np.int64)
        np.add.at(total, places.ravel(), counts)
        return cls(different, total)

    def merge(self, other: Self) -> Self:
        """Those of these rows and the other's."""
        if self.is_more or other.is_more:
            return self if self.is_more else other
        if np.array_equal(self.bits, other.bits):
            return type(self)(self.bits, self.counts + other.counts)
        bits = np.concatenate([self.bits, other.bits])
        return self._counted(bits, np.concatenate([self.counts, other.counts]))

    @property
    def n_patterns(self) -> int | None:
        """How many there are, that of complete rows included; None where they are too many."""
        return None if self.is_more else len(self.counts)

    def missing(self, n_features: int) -> NDArray[np.bool_]:
        """The patterns as masks (m, d)."""
        return np.unpackbits(self.bits, axis=1, count=n_features).astype(np.bool_)
