"""Squares of eight by eight numbers whose rows become columns, in registers (`simd_intrinsics`)."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from dgmm.mixture.backends.simd_intrinsics import INTEGER, Vectors

#: Rows, and columns, of a square.
TRANSPOSE_SIZE = 8
#: Lanes of two vectors in turn, of the lower and of the upper half of each quarter of a square.
_LOW_SINGLE, _HIGH_SINGLE = [0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]
_LOW_PAIRS, _HIGH_PAIRS = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]


@intrinsic  # type: ignore[untyped-decorator] # Numba has no types
def transpose(
    typing_context: Any, one: Any, a: Any, a_step: Any, out: Any, out_step: Any, weights: Any
) -> Any:
    """Eight rows of eight numbers as columns, times the weights of these, None for 1.

    Steps are in bytes, `weights` is an address, `one` is of the numbers' type.
    """
    is_weighed = weights != types.none

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _, a, a_step, out, out_step, weights = args
        v = Vectors(builder, one, TRANSPOSE_SIZE)
        rows, square = _eight(builder, a, a_step), []
        half = Vectors(builder, one, TRANSPOSE_SIZE // 2)
        # Halves of two rows are put together as they are read, which takes no shuffle.
        for begin in (0, half.size):
            parts = [half.load(row, begin) for row in rows]
            w = _joined(v, *[half.load(weights, begin)] * 2) if is_weighed else None
            for i in range(TRANSPOSE_SIZE // 2):
                row = _joined(v, parts[i], parts[i + TRANSPOSE_SIZE // 2])
                square.append(builder.fmul(row, w) if is_weighed else row)
        _store_turned(v, square, _eight(builder, out, out_step))
        return context.get_dummy_value()

    return types.void(one, *(INTEGER,) * 4, INTEGER if is_weighed else weights), generate


@intrinsic  # type: ignore[untyped-decorator] # Numba has no types
def standardise_transposed(
    typing_context: Any,
    stored: Any,
    work: Any,
    one: Any,
    a: Any,
    a_step: Any,
    factor: Any,
    offset: Any,
    out: Any,
    out_step: Any,
) -> Any:
    """Eight rows of eight numbers, times factor less offset, each rounded, as columns.

    `stored`, `work` and `one` are of the types of rows, of factor and offset, and of the result.
    """

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        source, v, target = (Vectors(builder, t, TRANSPOSE_SIZE) for t in (stored, work, one))
        f, o = (v.load(address) for address in args[5:7])
        square = []
        for row in _eight(builder, *args[3:5]):
            x = v.converted(source.load(row), source)
            square.append(target.converted(builder.fsub(builder.fmul(x, f), o), v))
        _store_turned(target, _exchanged(target, square), _eight(builder, *args[7:]))
        return context.get_dummy_value()

    return types.void(stored, work, one, *(INTEGER,) * 6), generate


def _eight(builder: Any, address: Any, step: Any) -> list[Any]:
    """The addresses of eight rows."""
    return [
        builder.add(address, builder.mul(step, ir.IntType(64)(i))) for i in range(TRANSPOSE_SIZE)
    ]


def _joined(v: Vectors, low: Any, high: Any) -> Any:
    """Two halves as a vector."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), v.lanes), list(range(v.lanes)))
    return v.builder.shuffle_vector(low, high, mask)


def _exchanged(v: Vectors, square: list[Any]) -> list[Any]:
    """A square whose off-diagonal quarters have changed places."""
    half = TRANSPOSE_SIZE // 2
    low = [*range(half), *range(TRANSPOSE_SIZE, TRANSPOSE_SIZE + half)]
    high = [*range(half, TRANSPOSE_SIZE), *range(TRANSPOSE_SIZE + half, 2 * TRANSPOSE_SIZE)]
    return [
        v.exchange(square[i], square[i + half], lanes) for lanes in (low, high) for i in range(half)
    ]


def _store_turned(v: Vectors, square: list[Any], rows: list[Any]) -> None:
    """The columns of a square as rows in memory, once its off-diagonal quarters are exchanged.

    In each step a vector has numbers of two, first singly, then by twos: one instruction each.
    """
    for first in (0, 4):
        a, b, c, d = square[first : first + 4]
        (low, high), (low_2, high_2) = (
            (v.exchange(x, y, _LOW_SINGLE), v.exchange(x, y, _HIGH_SINGLE))
            for x, y in ((a, b), (c, d))
        )
        turned = [
            v.exchange(x, y, lanes)
            for x, y in ((low, low_2), (high, high_2))
            for lanes in (_LOW_PAIRS, _HIGH_PAIRS)
        ]
        for value, row in zip(turned, rows[first : first + 4], strict=True):
            v.store(value, row)
