"""Squares of eight by eight numbers whose rows become columns, in registers (`simd_intrinsics`)."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from dgmm.mixture.backends.simd_intrinsics import INTEGER, Vectors

#: Rows, and columns, of a square.
TRANSPOSE_SIZE = 8


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
        square = [v.load(row) for row in _eight(builder, a, a_step)]
        if is_weighed:
            w = v.load(weights)
            square = [builder.fmul(row, w) for row in square]
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
        _store_turned(target, square, _eight(builder, *args[7:]))
        return context.get_dummy_value()

    return types.void(stored, work, one, *(INTEGER,) * 6), generate


def _eight(builder: Any, address: Any, step: Any) -> list[Any]:
    """The addresses of eight rows."""
    return [
        builder.add(address, builder.mul(step, ir.IntType(64)(i))) for i in range(TRANSPOSE_SIZE)
    ]


def _store_turned(v: Vectors, square: list[Any], rows: list[Any]) -> None:
    """The columns of a square as rows in memory."""
    for span in (4, 2, 1):  # exchange the off-diagonal quarters, then those of each quarter
        low = [j if not j & span else TRANSPOSE_SIZE + j - span for j in range(TRANSPOSE_SIZE)]
        high = [j + span if not j & span else TRANSPOSE_SIZE + j for j in range(TRANSPOSE_SIZE)]
        for i in range(TRANSPOSE_SIZE):
            if not i & span:
                a, b = square[i], square[i + span]
                square[i], square[i + span] = v.exchange(a, b, low), v.exchange(a, b, high)
    for value, row in zip(square, rows, strict=True):
        v.store(value, row)
