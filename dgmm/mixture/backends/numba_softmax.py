"""Softmax of panels of rows and of whole tiles, compiled, with exponentials of our own."""

from __future__ import annotations

from typing import Any

from dgmm.mixture.backends.moment_products import ROW_PANEL
from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.simd_intrinsics import registers_hold_many
from dgmm.mixture.backends.softmax_intrinsics import FINISHED, exponentials, finish_columns

#: Vectors of columns that go together, where rows of L are so long, and else; no bit follows it.
_VECTORS, _FEW_VECTORS = (6, 3) if registers_hold_many() else (2, 1)
#: Partial sums of the log densities of a panel. The widths of tiles are multiples of it, so that no
#: bit depends on them.
PARTIAL_SUMS = 8
#: Bytes of a long row: six vectors. A shorter one has three.
_LONG = 384
_exponentials = exponentials(_VECTORS)
_few_exponentials = exponentials(_FEW_VECTORS)


@compiled
def exponentiate(floor: Any, L: Any, k: int, b: int, top: Any, total: Any) -> None:
    """e^(L − max L) in place of L, with maxima and sums, for b columns of a panel and some more.

    It is 0 where L − max L is not above the floor.
    """
    size, step = L.itemsize, L.shape[1] * L.itemsize
    are_many = step >= _LONG
    for begin in range(0, b * size, 64 * (_VECTORS if are_many else _FEW_VECTORS)):
        places = (L.ctypes.data + begin, step, k, top.ctypes.data + begin)
        if are_many:
            _exponentials(floor, *places, total.ctypes.data + begin)
        else:
            _few_exponentials(floor, *places, total.ctypes.data + begin)


@compiled
def finish(number: Any, b: int, top: Any, total: Any) -> None:
    """log-sum-exp in place of maxima and 1/sum in place of sums, for b columns and some more.

    `number` is any of their type.
    """
    for begin in range(0, b * top.itemsize, FINISHED * top.itemsize):
        finish_columns(number, top.ctypes.data + begin, total.ctypes.data + begin)


@compiled
def add_log_prob(log_prob_norm: Any, weights: Any, start: int, b: int, partial: Any) -> None:
    """Add b log densities, times their weights where there are any, to partial sums (8,).

    Number c, whose weight is that at `start` + c, goes to sum c mod 8. A loop of eight is one
    addition of vectors.
    """
    whole = b - b % PARTIAL_SUMS
    if weights.size > 0:
        for first in range(0, whole, PARTIAL_SUMS):
            for i in range(PARTIAL_SUMS):
                partial[i] += log_prob_norm[first + i] * weights[start + first + i]
        for i in range(b - whole):
            partial[i] += log_prob_norm[whole + i] * weights[start + whole + i]
    else:
        for first in range(0, whole, PARTIAL_SUMS):
            for i in range(PARTIAL_SUMS):
                partial[i] += log_prob_norm[first + i]
        for i in range(b - whole):
            partial[i] += log_prob_norm[whole + i]


@compiled
def sum_in_order(partial: Any) -> float:
    """The sum of partial sums, from the first on."""
    total = 0.0
    for i in range(PARTIAL_SUMS):
        total += partial[i]
    return total


@compiled
def softmax(floor: Any, L: Any, panel: Any, row: Any, lse: Any) -> None:
    """Softmax of L (k, b) in place, panel by panel; log-sum-exps go to `lse` (b,).

    `panel` (k, s) and `row` (2, s) are scratch memory.
    """
    k, b = L.shape
    top, total = row[0], row[1]
    for start in range(0, b, ROW_PANEL):
        width = min(ROW_PANEL, b - start)
        for j in range(k):
            for c in range(width):
                panel[j, c] = L[j, start + c]
        exponentiate(floor, panel, k, width, top, total)
        finish(floor, width, top, total)
        for c in range(width):
            lse[start + c] = top[c]
        for j in range(k):
            for c in range(width):
                L[j, start + c] = panel[j, c] * total[c]
