"""Compiled steps that the E-step and scoring share: standardising, norms and masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.transpose_intrinsics import TRANSPOSE_SIZE, standardise_transposed

#: Types that compiled code takes.
FLOATS = (np.dtype(np.float64), np.dtype(np.float32))
#: Rows transposed at a time: two lines of cache of float64.
_BAND = 16


@compiled
def standardise(rows: Any, factor: Any, offset: Any, out: Any) -> None:
    """Eight by eight in registers; in bands, whose height the compiler knows, what is left."""
    b, d = rows.shape
    step, out_step = d * rows.itemsize, out.strides[0]
    high, wide = b - b % _BAND, d - d % TRANSPOSE_SIZE
    for start in range(0, high, _BAND):
        for j in range(0, wide, TRANSPOSE_SIZE):
            f = factor.ctypes.data + j * factor.itemsize
            o = offset.ctypes.data + j * factor.itemsize
            for c in range(start, start + _BAND, TRANSPOSE_SIZE):
                source = rows.ctypes.data + c * step + j * rows.itemsize
                target = out.ctypes.data + j * out_step + c * out.itemsize
                like = (rows[c, j], factor[j], out[j, c])
                standardise_transposed(*like, source, step, f, o, target, out_step)
        band, transposed = rows[start : start + _BAND], out[:, start : start + _BAND]
        for j in range(wide, d):
            f, o = factor[j], offset[j]
            for c in range(_BAND):
                transposed[j, c] = band[c, j] * f - o
    for c in range(high, b):
        for j in range(d):
            out[j, c] = rows[c, j] * factor[j] - offset[j]


@compiled
def squared_norms(Y: Any, d: int, out: int, b: int) -> None:
    """Σ y² in the order of features, into row `out`."""
    for c in range(b):
        Y[out, c] = Y[0, c] * Y[0, c]
    for i in range(1, d):
        for c in range(b):
            Y[out, c] += Y[i, c] * Y[i, c]


@compiled
def mask_features(Y: Any, d: int, b: int) -> None:
    """0 in place of NaN in the first d rows, and 1 in the next d where there is a value."""
    for i in range(d):
        values, mask = Y[i, :b], Y[d + i, :b]
        for c in range(values.size):
            is_there = values[c] == values[c]
            mask[c] = 1.0 if is_there else 0.0
            values[c] = values[c] if is_there else 0.0
