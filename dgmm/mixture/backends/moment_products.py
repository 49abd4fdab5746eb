"""The second product of an EM pass over a panel of rows, compiled: moments S = Φ Rᵀ.

Components lie side by side, some vectors of them a group. Sums stay in registers while the terms of
a row panel come from the first cache (`fused_products` says what Φ is made of).
"""

from __future__ import annotations

from typing import Any

from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.simd_intrinsics import (
    MULTIPLIED,
    multiplication,
    multiply_pairwise,
    registers_hold_many,
    size_of,
)
from dgmm.mixture.backends.transpose_intrinsics import TRANSPOSE_SIZE, transpose

#: Rows of a row panel; a moment is one chain over these in the tiles' type, added in float64.
ROW_PANEL = 96
# What is held in registers; no bit follows it. Rows of Φ, at most, whose moments are taken with one
# or two vectors of components, and vectors of the widest group, with which half as many are taken.
# Where fewer rows are left, fewer are taken: a half, and with a group four of the six, since many
# shapes have three or four left (of 8 or 32 features, one covariance for all and spherical ones).
HIGH, _GROUP = (12, 4) if registers_hold_many() else (6, 1)
_LOW, _PAIR = HIGH // 2, min(2, _GROUP)
_LOW_OF_GROUP = 2 * _LOW // 3

_high_by_group = multiplication(_LOW, _GROUP, widens=True)
_low_by_group = multiplication(_LOW_OF_GROUP, _GROUP, widens=True)
_high_by_pair = multiplication(HIGH, _PAIR, widens=True)
_low_by_pair = multiplication(_LOW, _PAIR, widens=True)
_high_by_one = multiplication(HIGH, 1, widens=True)
_low_by_one = multiplication(_LOW, 1, widens=True)


def in_whole_rows(p: int) -> int:
    """Rows of sums for p rows of Φ: whole groups of those whose moments are taken together."""
    return -(-p // HIGH) * HIGH


@compiled
def _vectors_of_group(left: int) -> int:
    """Vectors of the next group of components, where so many are left."""
    return _GROUP if left >= _GROUP else min(left, _PAIR)


@compiled
def transposed(one: Any, R: Any, out: Any, b: int, weights: Any = None, begin: int = 0) -> None:
    """R (k, b) with components side by side, times the weights of its columns where there are any.

    Some vectors of components are a group: as many as go, then fewer. R's columns are those of a
    row panel from column `begin` on.
    """
    k = out.size // ROW_PANEL
    size = size_of(one)
    lanes = 64 // size
    source, step, first = R.ctypes.data, R.shape[1] * size, 0
    while first < k:
        width = _vectors_of_group((k - first) // lanes) * lanes
        for j in range(0, width, TRANSPOSE_SIZE):
            target = out.ctypes.data + (first * ROW_PANEL + begin * width + j) * size
            for c in range(0, b, TRANSPOSE_SIZE):
                place = source + (first + j) * step + c * size
                of = (place, step, target + c * width * size, width * size)
                if weights is None:
                    transpose(one, *of, None)
                else:
                    transpose(one, *of, weights.ctypes.data + c * size)
        first += width


@compiled
def moments(
    one: Any, which: Any, n_products: int, Y: Any, R: Any, Phi: Any, sums: Any, b: int
) -> None:
    """Add Φ Rᵀ to sums, (p, k) up to whole groups and vectors; R as `transposed` leaves it.

    Rows of Φ that are products are made once, for all groups of components. Those that lie there
    already go by with one group after the other, which stays in the first cache meanwhile.
    """
    p, k = which.shape[1], sums.shape[1]
    size = size_of(one)
    step, rows = (ROW_PANEL + 64 // size) * size, Y.ctypes.data
    n_made = min((n_products + HIGH - 1) // HIGH * HIGH, p)
    for first in range(0, n_made, HIGH):
        last = min(first + HIGH, p)
        A = Phi.ctypes.data
        for q in range(first, last):
            a, c = rows + which[0, q] * step, rows + which[1, q] * step
            out = A + (q - first) * step
            for offset in range(0, b * size, 64 * MULTIPLIED):
                multiply_pairwise(one, a + offset, c + offset, out + offset)
        group = 0
        while group < k:
            group += _add_moments(one, A, R, sums, first, last, group, b)
    group = 0
    while n_made < p and group < k:
        A = rows + (n_made - n_products) * step
        group += _add_moments(one, A, R, sums, n_made, p, group, b)


@compiled
def _add_moments(
    one: Any, A: int, R: Any, sums: Any, first: int, last: int, group: int, b: int
) -> int:
    """Those of rows of Φ, which begin at A, and a group of components, whose number is returned."""
    k, size = sums.shape[1], size_of(one)
    lanes: int = 64 // size
    vectors = _vectors_of_group((k - group) // lanes)
    A_step, C_step = (ROW_PANEL + lanes) * size, k * 8
    high, low = (_LOW, _LOW_OF_GROUP) if vectors > _PAIR else (HIGH, _LOW)
    B = R.ctypes.data + group * ROW_PANEL * size
    for row in range(first, last, high):
        a, C = A + (row - first) * A_step, sums.ctypes.data + (row * k + group) * 8
        is_low = last - row <= low
        if vectors > _PAIR and is_low:
            _low_by_group(one, a, A_step, B, _GROUP * 64, C, C_step, b, 1, 0, 0, 0, 0)
        elif vectors > _PAIR:
            _high_by_group(one, a, A_step, B, _GROUP * 64, C, C_step, b, 1, 0, 0, 0, 0)
        elif vectors == _PAIR and is_low:
            _low_by_pair(one, a, A_step, B, _PAIR * 64, C, C_step, b, 1, 0, 0, 0, 0)
        elif vectors == _PAIR:
            _high_by_pair(one, a, A_step, B, _PAIR * 64, C, C_step, b, 1, 0, 0, 0, 0)
        elif is_low:
            _low_by_one(one, a, A_step, B, 64, C, C_step, b, 1, 0, 0, 0, 0)
        else:
            _high_by_one(one, a, A_step, B, 64, C, C_step, b, 1, 0, 0, 0, 0)
    return vectors * lanes
