"""Sums Σ r yᵢyⱼ of one component over a list of rows, compiled: squares of 16 by 16 features.

A product yᵢyⱼ is made anew for each component that has a part in the row, which takes twice the
operations of a sum over products that lie there already: it pays where few components have one.
Each sum is the same chain as in `moment_products.moments`, bit by bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from dgmm.mixture.backends.listed_sizes import SQUARE
from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.simd_intrinsics import (
    INTEGER,
    Vectors,
    lanes_of,
    registers_hold_many,
    repeated,
    size_of,
)

#: Features whose products with those of a square stay in registers; no bit follows it.
_HIGH = 8 if registers_hold_many() else 2


def places_of_pairs(i: NDArray[np.int64], j: NDArray[np.int64], d: int) -> NDArray[np.int64]:
    """Where the sum of each pair i ≤ j stands among those of all squares."""
    high, wide, n = i // SQUARE, j // SQUARE, -(-d // SQUARE)
    square = high * n - high * (high - 1) // 2 + wide - high
    places: NDArray[np.int64] = (square * SQUARE + i % SQUARE) * SQUARE + j % SQUARE
    return places


@intrinsic  # type: ignore[untyped-decorator] # Numba has no types
def _add_products(
    typing_context: Any,
    one: Any,
    values: Any,
    numbers: Any,
    rows: Any,
    step: Any,
    left: Any,
    right: Any,
    C: Any,
    n: Any,
) -> Any:
    """Add Σ_q r_q y_i y_j over q < n, chains that begin at 0, to float64 sums at C.

    i goes over the features of a row from `left` on, j over a square's from `right` on: offsets in
    bytes. Rows are a `step` apart, and row numbers[q] has the responsibility values[q].
    """

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _, values, numbers, rows, step, left, right, C, n = args
        v, size = Vectors(builder, one, lanes_of(one.bitwidth // 8)), ir.IntType(64)
        wide, across = Vectors(builder, types.float64, v.lanes), range(0, SQUARE, v.lanes)

        def add_row(q: Any, sums: list[Any]) -> list[Any]:
            r = v.spread(builder.add(values, builder.mul(q, size(v.itemsize))))
            place = builder.add(numbers, builder.mul(q, size(8)))
            number = builder.load(builder.inttoptr(place, size.as_pointer()))
            row = builder.add(rows, builder.mul(number, step))
            high, low = builder.add(row, left), builder.add(row, right)
            others, held, new = [v.load(low, c * v.itemsize) for c in across], iter(sums), []
            for i in range(_HIGH):
                y = v.spread(builder.add(high, size(i * v.itemsize)))
                new += [v.fused(builder.fmul(y, x), r, s) for x, s in zip(others, held)]  # noqa: B905 - the sums of a feature at a time
            return new

        zero = ir.Constant(v.type, [v.number(0.0)] * v.lanes)
        found = iter(repeated(builder, n, [zero] * (_HIGH * len(across)), add_row))
        for i in range(_HIGH):
            for c in across:
                wide.add_to(C, i * SQUARE + c, wide.converted(next(found), v))
        return context.get_dummy_value()

    return types.void(one, *(INTEGER,) * 8), generate


@compiled
def add_listed_pairs(
    one: Any, values: Any, numbers: Any, rows: Any, sums: Any, d: int, n: int
) -> None:
    """Add those of n listed rows, at least one, to a component's sums, square by square."""
    A, which, B = values.ctypes.data, numbers.ctypes.data, rows.ctypes.data
    size, C = size_of(one), sums.ctypes.data
    step = rows.shape[1] * size
    for first in range(0, d, SQUARE):
        for second in range(first, d, SQUARE):
            for i in range(first, first + SQUARE, _HIGH):
                _add_products(one, A, which, B, step, i * size, second * size, C, n)
                C += _HIGH * SQUARE * 8
