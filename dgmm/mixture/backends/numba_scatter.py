"""Sums of squares of rows about the origin, compiled: their scatter, and their norms.

The scatter is the product that moments are made by.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends.moment_products import ROW_PANEL, in_whole_rows, moments, transposed
from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.numba_steps import standardise
from dgmm.mixture.backends.simd_intrinsics import lanes_of

_LANES = lanes_of(8)

Array = NDArray[np.float64]


def scatter_buffers(
    d: int, *, weighted: bool
) -> tuple[NDArray[np.int64], Array, Array, Array, Array]:
    """What `scatter` works with: numbers of no products, Y, YW, its turned panel, sums, all 0."""
    wide, high = -(-d // _LANES) * _LANES, in_whole_rows(d)
    Y = np.zeros((max(wide, high), ROW_PANEL + _LANES))
    W = np.zeros_like(Y) if weighted else Y
    return np.zeros((2, d), np.int64), Y, W, np.zeros(wide * ROW_PANEL), np.zeros((high, wide))


@compiled
def scatter(stored: Any, weights: Any, buffers: Any, out: Any) -> None:
    """Σ w y yᵀ of standardised rows (n, d) into out (d, d): a chain a row panel.

    Weights (n,), or none of them where each is 1.
    """
    rows, factor, offset = stored
    which, Y, W, turned, sums = buffers
    n, d = rows.shape
    for start in range(0, n, ROW_PANEL):
        b = min(ROW_PANEL, n - start)
        standardise(rows[start : start + b], factor, offset, Y)
        if weights.size > 0:
            of_rows = weights[start : start + b]
            for i in range(d):
                for c in range(b):
                    W[i, c] = Y[i, c] * of_rows[c]
        transposed(1.0, W, turned, b)
        moments(1.0, which, 0, Y, turned, Y, sums, b)
    for i in range(d):
        for j in range(d):
            out[i, j] = sums[i, j]


def norm_buffer(d: int) -> Array:
    """What `norms` works with: Y."""
    return np.zeros((d, ROW_PANEL + _LANES))


@compiled
def norms(rows: Any, factor: Any, offset: Any, Y: Any, out: Any) -> None:
    """‖y‖² of standardised rows (n, d) into out (n,), of the values that are no NaN."""
    n, d = rows.shape
    for start in range(0, n, ROW_PANEL):
        b = min(ROW_PANEL, n - start)
        standardise(rows[start : start + b], factor, offset, Y)
        total = out[start : start + b]
        for c in range(total.size):
            total[c] = 0.0
        for i in range(d):
            row = Y[i, :b]
            for c in range(row.size):
                total[c] += 0.0 if np.isnan(row[c]) else row[c] * row[c]
