"""The two products of an EM pass over a stretch of rows, compiled: L = η Φ and S = Φ Rᵀ.

A row of Φ is the product of two rows of Y = [y, 1, Σ y²], and Φ exists only as far as the first
cache holds it: 64 rows of a panel in one product, twelve rows of the stretch in the other. Sums
stay in registers (`vectors`) while their terms come from that cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.arithmetic.compiling import compiled
from dgmm.arithmetic.plain import Tile
from dgmm.arithmetic.vectors import (
    TURNED,
    chained_multiplication,
    lanes_of,
    multiplication,
    multiply_pairwise,
    turn,
)

#: Rows of a stretch; a moment is summed over these in the tiles' type, then in float64.
STRETCH = 96
#: Vectors of data rows in a panel, and rows of Φ: two panels stay in the first cache, and η is read
#: once for both.
_WIDE = 3
_PANEL = 64
_PANELS = 2
#: Components multiplied at a time, and rows of Φ whose moments are taken at a time.
_MANY, _FEW = 8, 4
_ROWS, _FEW_ROWS = 12, 6
#: Features of a square of products.
_SQUARE = 16

_form_and_add_many = chained_multiplication(_MANY, _WIDE, forms=True)
_form_and_add_few = chained_multiplication(_FEW, _WIDE, forms=True)
_add_many = chained_multiplication(_MANY, _WIDE, forms=False)
_add_few = chained_multiplication(_FEW, _WIDE, forms=False)
_many_by_two = multiplication(_ROWS, 2)
_many_by_one = multiplication(_ROWS, 1)
_few_by_two = multiplication(_FEW_ROWS, 2)
_few_by_one = multiplication(_FEW_ROWS, 1)


@cache
def factors(form: str, d: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which two rows of Y = [y, 1, Σ y²] the rows of Φ are made of, (2, p), and an order, (p,).

    Row i is row order[i] of φ = [quadratic(y), y, 1]: products come in squares of features, whose
    rows of Y stay in the first cache.
    """
    y, one, norm = np.arange(d), np.full(d + 1, d), np.array([d + 1])
    i, j = {
        "none": (y[:0], y[:0]),
        "pairs": np.triu_indices(d),
        "squares": (y, y),
        "norm": (one[:1], norm),
    }[form]
    order = np.lexsort((j, i, j // _SQUARE, i // _SQUARE))
    which = np.array([[*i[order], *one], [*j[order], *y, d]])
    return which, np.array([*order, *range(len(order), which.shape[1])])


def workplace(
    room: Callable[[str, int], Tile], d: int, k: int, p: int, dtype: np.dtype[Any]
) -> tuple[Tile, NDArray[np.float64], tuple[Tile, ...]]:
    """Arrays for the natural parameters, for the sums of moments, and for what a stretch needs.

    That is Y, L, R in groups, rows of Φ, panels, and a row of sums and of their inverses. All but
    natural parameters are 0: what is left in a buffer is multiplied too, and must be numbers. Rows
    are a vector longer than a stretch: a power of two apart, they would share lines of a cache.
    """
    lanes = lanes_of(dtype.itemsize)
    step, whole = STRETCH + lanes, _in_whole(k, lanes)
    shapes = [
        *((d + 2, step), (whole, step), (whole * STRETCH,), (_ROWS, step)),
        *((_PANELS * _PANEL * _WIDE * lanes,), (step,), (step,)),
    ]
    buffers = tuple(room(f"stretch {i}", math.prod(s)).reshape(s) for i, s in enumerate(shapes))
    for buffer in buffers:
        buffer.fill(0.0)
    buffers[0][d] = 1.0
    high = _in_whole(k, _FEW)
    eta = room("eta", high * p).reshape(high, p)
    return eta, np.zeros((_in_whole(p, _ROWS), whole)), buffers


def _in_whole(number: int, step: int) -> int:
    """The next multiple of a step."""
    return -(-number // step) * step


@compiled
def log_prob(one: Any, eta: Any, which: Any, Y: Any, L: Any, panels: Any, b: int) -> None:
    """Add η Φ to L for b columns, and for those up to the end of the last panel."""
    k, p = eta.shape
    size = Y.itemsize
    width = _WIDE * (64 // size)
    eta_step, B_step, L_step, Y_step = p * size, 64 * _WIDE, L.shape[1] * size, Y.shape[1] * size
    n_panels = -(-b // width)
    for begin in range(0, n_panels, _PANELS):
        end = min(begin + _PANELS, n_panels)
        for first in range(0, p, _PANEL):
            n = min(_PANEL, p - first)
            left = which.ctypes.data + 8 * first
            right = left + 8 * p
            for row in range(0, k, _MANY):
                A = eta.ctypes.data + row * eta_step + first * size
                for i in range(begin, end):
                    y = Y.ctypes.data + i * B_step
                    B = panels.ctypes.data + (i - begin) * _PANEL * B_step
                    C = L.ctypes.data + row * L_step + i * B_step
                    is_many = row + _MANY <= k
                    if row == 0 and is_many:
                        _form_and_add_many(
                            *(one, A, eta_step, B, B_step, C, L_step, n, left, right, y, Y_step)
                        )
                    elif row == 0:
                        _form_and_add_few(
                            *(one, A, eta_step, B, B_step, C, L_step, n, left, right, y, Y_step)
                        )
                    elif is_many:
                        _add_many(*(one, A, eta_step, B, B_step, C, L_step, n, 0, 0, 0, 0))
                    else:
                        _add_few(*(one, A, eta_step, B, B_step, C, L_step, n, 0, 0, 0, 0))


@compiled
def turned(one: Any, R: Any, out: Any, b: int) -> None:
    """R (k, b) with components side by side: two vectors of them a group, the last maybe one."""
    k = len(R)
    size = R.itemsize
    lanes = 64 // size
    source, step = R.ctypes.data, R.shape[1] * size
    for j in range(0, k, TURNED):
        group = j // (2 * lanes) * (2 * lanes)
        width = min(2 * lanes, k - group)
        target = out.ctypes.data + (group * STRETCH + j - group) * size
        for c in range(0, b, TURNED):
            turn(one, source + j * step + c * size, step, target + c * width * size, width * size)


@compiled
def moments(one: Any, which: Any, Y: Any, R: Any, Phi: Any, sums: Any, b: int) -> None:
    """Add Φ Rᵀ to sums, (p, k) up to whole groups and vectors; R as `turned` leaves it."""
    p, (_, k) = which.shape[1], sums.shape
    size = Y.itemsize
    lanes = 64 // size
    Y_step, Phi_step, sums_step = Y.shape[1] * size, Phi.shape[1] * size, k * 8
    rows, design = Y.ctypes.data, Phi.ctypes.data
    for first in range(0, p, _ROWS):
        last = min(first + _ROWS, p)
        for q in range(first, last):
            a, c = rows + which[0, q] * Y_step, rows + which[1, q] * Y_step
            out = design + (q - first) * Phi_step
            for offset in range(0, b * size, 64 * _WIDE):
                multiply_pairwise(one, a + offset, c + offset, out + offset)
        is_few = last - first <= _FEW_ROWS
        for group in range(0, k, 2 * lanes):
            width = min(2 * lanes, k - group)
            B, step = R.ctypes.data + group * STRETCH * size, width * size
            C = sums.ctypes.data + first * sums_step + group * 8
            if is_few and width == lanes:
                _few_by_one(one, design, Phi_step, B, step, C, sums_step, b)
            elif is_few:
                _few_by_two(one, design, Phi_step, B, step, C, sums_step, b)
            elif width == lanes:
                _many_by_one(one, design, Phi_step, B, step, C, sums_step, b)
            else:
                _many_by_two(one, design, Phi_step, B, step, C, sums_step, b)
