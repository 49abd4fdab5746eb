"""Sums Σ r yᵢyⱼ of one component over its rows, compiled: squares of 16 by 16 features.

Each product yᵢyⱼ is computed again for every component with a responsibility that is not 0, twice
the operations of adding stored products: it pays where such components are few. Each sum is the
same chain as in `moment_products.moments`, bit by bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.simd_intrinsics import (
    INTEGER,
    Vectors,
    lanes_of,
    registers_hold_many,
    repeated,
    row_by_number,
    size_of,
)
from dgmm.mixture.backends.sparse_sizes import SQUARE

#: Features whose products with those of a square stay in registers; no bit follows it.
_HIGH = 8 if registers_hold_many() else 2


def places_of_pairs(i: NDArray[np.int64], j: NDArray[np.int64], d: int) -> NDArray[np.int64]:
    """Where the sum of each pair i ≤ j of d features stands among those of all squares."""
    row, column, n = i // SQUARE, j // SQUARE, -(-d // SQUARE)
    square = row * n - row * (row - 1) // 2 + column - row  # of a triangle, row by row
    places: NDArray[np.int64] = (square * SQUARE + i % SQUARE) * SQUARE + j % SQUARE
    return places


@intrinsic  # type: ignore[untyped-decorator] # Numba has no types
def _add_square(
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
        across = range(0, SQUARE, v.lanes)

        def add_row(q: Any, sums: list[Any]) -> list[Any]:
            r = v.spread(builder.add(values, builder.mul(q, size(v.itemsize))))
            row = row_by_number(builder, rows, step, numbers, q)
            left_features, right_features = builder.add(row, left), builder.add(row, right)
            others, new = [v.load(right_features, c * v.itemsize) for c in across], []
            for i in range(_HIGH):
                y = v.spread(builder.add(left_features, size(i * v.itemsize)))
                own = sums[i * len(across) : (i + 1) * len(across)]
                new += [v.fused(builder.fmul(y, x), r, s) for x, s in zip(others, own, strict=True)]
            return new

        zero = ir.Constant(v.type, [v.number(0.0)] * v.lanes)
        found = iter(repeated(builder, n, [zero] * (_HIGH * len(across)), add_row))
        wide = Vectors(builder, types.float64, v.lanes)
        for i in range(_HIGH):
            for c in across:
                wide.add_to(C, i * SQUARE + c, wide.converted(next(found), v))
        return context.get_dummy_value()

    return types.void(one, *(INTEGER,) * 8), generate


@compiled
def add_pair_products(
    one: Any, values: Any, numbers: Any, rows: Any, sums: Any, d: int, n: int
) -> None:
    """Add those of n numbered rows, at least one, to a component's sums, square by square.

    Rows (b, w) have d features first; what lies up to a whole square is multiplied too.
    """
    r, places, y = values.ctypes.data, numbers.ctypes.data, rows.ctypes.data
    size, C = size_of(one), sums.ctypes.data
    step = rows.shape[1] * size
    for first in range(0, d, SQUARE):
        for second in range(first, d, SQUARE):
            for i in range(first, first + SQUARE, _HIGH):
                _add_square(one, r, places, y, step, i * size, second * size, C, n)
                C += _HIGH * SQUARE * 8
