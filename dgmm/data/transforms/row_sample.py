"""A uniform sample of rows as a monoid: those whose numbers have the smallest keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
#: Rows of a sample, and bytes of them.
_MOST_ROWS, _MOST_BYTES = 131_072, 8 * 1024 * 1024


def sample_size(n_columns: int) -> int:
    """Rows of a sample: 131,072, or what 8 MiB hold, at least 1,000."""
    return max(min(_MOST_ROWS, _MOST_BYTES // (8 * max(n_columns, 1))), 1000)


@dataclass(frozen=True, slots=True, eq=False)
class RowSample:
    """Rows with keys that follow from their numbers alone; all rows where they are few.

    Parameters
    ----------
    keys : (s,) uint64
        Of the rows, increasing.
    rows : (s, m)
    weights : (s,)
        1 where rows have none.
    """

    keys: NDArray[np.uint64]
    rows: Floats
    weights: Floats

    @classmethod
    def of_rows(cls, rows: Floats, first: int, weights: Floats | None = None) -> Self:
        """Of rows (b, m), the first of which has the number `first`; rows of weight 0 left out."""
        keys = _keys(first, len(rows))
        own = np.ones(len(rows)) if weights is None else weights
        kept = np.flatnonzero(own > 0)
        return cls._smallest(keys[kept], rows[kept], own[kept])

    def merge(self, other: Self) -> Self:
        """Of the rows of both."""
        kept = slice(None)
        if len(self.keys) == sample_size(self.rows.shape[1]):  # few of many rows come in
            kept = slice(int(np.searchsorted(other.keys, self.keys[-1])))
            if not kept.stop:
                return self
        return self._smallest(
            np.concatenate([self.keys, other.keys[kept]]),
            np.concatenate([self.rows, other.rows[kept]]),
            np.concatenate([self.weights, other.weights[kept]]),
        )

    @classmethod
    def _smallest(cls, keys: NDArray[np.uint64], rows: Floats, weights: Floats) -> Self:
        order = np.argsort(keys, kind="stable")[: sample_size(rows.shape[1])]
        return cls(keys[order], rows[order], weights[order])


def _keys(first: int, n: int) -> NDArray[np.uint64]:
    """Keys (n,) of consecutive row numbers: the mixing function of SplitMix64.

    Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators"; it is one to
    one, so that no two rows have the same key.
    """
    z = np.arange(first + 1, first + 1 + n, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
