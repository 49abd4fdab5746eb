"""Compiled looks at what rows lack: which rows, which of their features, and rows without those."""

from __future__ import annotations

from typing import Any

import numpy as np

from dgmm.mixture.backends.gaps import EMPTY, INCOMPLETE, INFINITE
from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.simd_intrinsics import EIGHT, missing_bits


@compiled
def row_gaps(values: Any, kinds: Any) -> None:
    """What each row (n, d) lacks."""
    n, d = values.shape
    for i in range(n):
        n_nan, n_bad = 0, 0
        row = values[i]
        for j in range(d):
            x = row[j]
            n_nan += x != x  # noqa: PLR0124 - NaN alone is so
            n_bad += x - x != 0.0
        kind = 0
        if n_bad > n_nan:
            kind = INFINITE
        elif n_nan == d:
            kind = EMPTY
        elif n_nan > 0:
            kind = INCOMPLETE
        kinds[i] = kind


@compiled
def _missing_one_by_one(values: Any, first: int, words: Any) -> None:
    """Words of the rows from `first` on."""
    n, d = values.shape
    for i in range(first, n):
        for j in range(d):
            words[i, j // EIGHT] |= np.uint8(values[i, j] != values[i, j]) << np.uint8(j % EIGHT)


@compiled
def missing_words(one: Any, values: Any, words: Any) -> None:
    """Bit j of bytes b of row i's words (n, w), where its feature 8b + j is NaN; they begin as 0.

    Eight values are compared at a time, the first ones of the next row with the last of a row.
    """
    n, d = values.shape
    n_bytes = (d + EIGHT - 1) // EIGHT
    size, begin, n_behind = values.itemsize, values.ctypes.data, n_bytes * EIGHT - d
    n_wide = n - (n_behind + d - 1) // d
    own = np.uint8(255 >> n_behind)
    for i in range(n_wide):
        row = begin + i * d * size
        for b in range(n_bytes):
            words[i, b] = missing_bits(one, row + b * EIGHT * size)
        words[i, n_bytes - 1] &= own
    _missing_one_by_one(values, max(n_wide, 0), words)


@compiled
def take(values: Any, rows: Any, features: Any, out: Any) -> None:
    """Some rows and features (m, q), by unsigned numbers: no other may count from the end."""
    m, q = out.shape
    for i in range(m):
        row = rows[i]
        for j in range(q):
            out[i, j] = values[row, features[j]]
