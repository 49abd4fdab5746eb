"""Compiled looks at what rows lack: which rows, which of their features, and rows without those."""

from __future__ import annotations

from typing import Any

import numpy as np

from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.numpy_backend import EMPTY, INCOMPLETE, INFINITE


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
def missing_words(values: Any, words: Any) -> None:
    """Bit j of row i's words (n, w), which are 0, where its feature j is NaN."""
    n, d = values.shape
    bits = 8 * words.itemsize
    for i in range(n):
        for first in range(0, d, bits):
            word = np.uint64(0)
            for j in range(first, min(first + bits, d)):
                word |= np.uint64(values[i, j] != values[i, j]) << np.uint64(j - first)
            words[i, first // bits] = word


@compiled
def take(values: Any, rows: Any, features: Any, out: Any) -> None:
    """Some rows and features (m, q)."""
    m, q = out.shape
    for i in range(m):
        source, target = values[rows[i]], out[i]
        for j in range(q):
            target[j] = source[features[j]]
