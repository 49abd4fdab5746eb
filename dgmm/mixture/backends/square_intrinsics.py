"""Squares of the numbers of some rows, added up column by column in registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.extending import intrinsic

from dgmm.mixture.backends.simd_intrinsics import INTEGER, Vectors, lanes_of, repeated


def squares(vectors: int) -> Callable[..., Any]:
    """Σ z² of so many vectors of columns, as a function for compiled code.

    It takes (one, Z, step, n, total): addresses of numbers of the type of `one`, and the step
    between rows of Z in bytes. The squares of n rows are added to the totals in their order.
    """

    @intrinsic  # type: ignore[untyped-decorator] # Numba has no types
    def add_squares(typing_context: Any, one: Any, Z: Any, step: Any, n: Any, total: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            _, Z, step, n, total = args
            v = Vectors(builder, one, lanes_of(one.bitwidth // 8))
            offsets = [j * v.size for j in range(vectors)]

            def add(q: Any, sums: list[Any]) -> list[Any]:
                row = builder.add(Z, builder.mul(q, step))
                zs = [v.load(row, offset) for offset in offsets]
                return [builder.fadd(s, builder.fmul(z, z)) for s, z in zip(sums, zs, strict=True)]

            sums = repeated(builder, n, [v.load(total, offset) for offset in offsets], add)
            for value, offset in zip(sums, offsets, strict=True):
                v.store(value, total, offset)
            return context.get_dummy_value()

        return types.void(one, *(INTEGER,) * 4), generate

    return add_squares  # type: ignore[no-any-return] # no types
