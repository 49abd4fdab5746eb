"""−½ ‖W y‖² of each column y of a panel, compiled: what components of one covariance share.

W is L⁻¹ of their covariance L Lᵀ. Of each few of its rows, the zeros at their ends are not
multiplied: of 16 features that leaves 160 of 256 products, of 64 features 2,176 of 4,096. A few
rows of W Y exist at a time, in the first cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends.fused_products import end_of_chain
from dgmm.mixture.backends.moment_products import ROW_PANEL
from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.simd_intrinsics import multiplication, registers_hold_many
from dgmm.mixture.backends.square_intrinsics import squares

#: Rows of W that are multiplied together.
HEIGHT = 4
# Vectors of columns that go with them, and whose squares are added at a time; no bit follows these.
_WIDE, _ADDED = (3, 6) if registers_hold_many() else (1, 3)
_product = multiplication(HEIGHT, _WIDE)
_add_squares = squares(_ADDED)


def in_whole_groups(W: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """W (d, d) with rows of 0 up to a whole group, and how many columns count in each group.

    Examples
    --------
    >>> padded, ends = in_whole_groups(np.tri(6))
    >>> padded.shape, ends.tolist()
    ((8, 6), [4, 6])
    """
    d = len(W)
    padded = np.zeros((-(-d // HEIGHT) * HEIGHT, d))
    padded[:d] = W
    ends = np.where(padded != 0.0, np.arange(1, d + 1), 1)  # a chain has at least one term
    return padded, ends.reshape(-1, HEIGHT * d).max(axis=1)


@compiled
def half_squares(one: Any, W: Any, ends: Any, Y: Any, Z: Any, out: Any, b: int) -> None:
    """−½ ‖W y‖² of b columns of Y, in float64; W and its ends as `in_whole_groups` makes them.

    Z is a buffer of as many rows as a group has. A sum over more than 64 features is more than one
    chain, as a log density is: beyond their ends, terms of 0 would change no bit.
    """
    d, step = W.shape[1], Y.shape[1] * 8
    out[:ROW_PANEL] = 0.0
    for group in range(ends.size):
        A, end, first = W.ctypes.data + group * HEIGHT * d * 8, ends[group], 0
        while first < end:
            last = min(end_of_chain(first, 0, d + 1), end)
            for begin in range(0, b * 8, 64 * _WIDE):
                B, C = Y.ctypes.data + first * step + begin, Z.ctypes.data + begin
                terms = (A + first * 8, d * 8, B, step, C, step, last - first, first)
                _product(one, *terms, 0, 0, 0, 0)
            first = last
        for begin in range(0, b * 8, 64 * _ADDED):
            _add_squares(one, Z.ctypes.data + begin, step, HEIGHT, out.ctypes.data + begin)
    for c in range(b):
        out[c] *= -0.5
