"""Softmax over the rows of a panel, columns side by side in vectors: two loops over its numbers.

The first finds the largest of each column, the second leaves e^(L − max L) in place of L and adds
it up. A few vectors of columns go at a time, all rows of which stay in the first cache. Each column
is a lane: its bits follow neither its place nor its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.extending import intrinsic

from dgmm.mixture.backends.exponential_intrinsics import Elementary
from dgmm.mixture.backends.simd_intrinsics import INTEGER, Vectors, lanes_of, repeated

#: Columns that `finish_columns` takes: a vector of float64.
FINISHED = 8


def exponentials(vectors: int) -> Callable[..., Any]:
    """The two loops for so many vectors of columns, as a function for compiled code.

    It takes (floor, L, step, k, top, total): the logarithm at or below which an exponential is 0;
    addresses of numbers of its type; the step between rows of L in bytes. Maxima go to `top` and
    sums to `total`. A maximum passes over NaN, the sum does not.
    """

    @intrinsic  # type: ignore[untyped-decorator] # Numba has no types
    def loops(
        typing_context: Any, floor: Any, L: Any, step: Any, k: Any, top: Any, total: Any
    ) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            value, L, step, k, top, total = args
            code = _Columns(builder, floor, vectors, L, step)
            tops = code.maxima(k)
            code.store(tops, top)
            code.store(code.sums(k, tops, value), total)
            return context.get_dummy_value()

        return types.void(floor, *(INTEGER,) * 5), generate

    return loops  # type: ignore[no-any-return] # no types


def scores(vectors: int, *, stores: bool) -> Callable[..., Any]:
    """What scoring takes of so many vectors of columns, as a function for compiled code.

    It takes (one, L, step, k, top, label, total, dot): as `exponentials` does, and addresses for
    the first row where the largest stands and for Σ x e^x with x = L − max L. e^x is written in
    place of L where it `stores`.
    """

    @intrinsic  # type: ignore[untyped-decorator] # Numba has no types
    def loops(
        typing_context: Any,
        one: Any,
        L: Any,
        step: Any,
        k: Any,
        top: Any,
        label: Any,
        total: Any,
        dot: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            _, L, step, k, *places = args
            code = _Columns(builder, one, vectors, L, step)
            tops, labels = code.first_maxima(k)
            for values, place in zip(
                (tops, labels, *code.sums_and_dots(k, tops, stores=stores)), places, strict=True
            ):
                code.store(values, place)
            return context.get_dummy_value()

        return types.void(one, *(INTEGER,) * 7), generate

    return loops  # type: ignore[no-any-return] # no types


class _Columns:
    """Some vectors of columns of a panel."""

    def __init__(self, builder: Any, number: Any, n: int, address: Any, step: Any) -> None:
        self._v = Vectors(builder, number, lanes_of(number.bitwidth // 8))
        self._functions = Elementary(self._v)
        self._offsets = [i * self._v.size for i in range(n)]
        self._builder, self._address, self._step = builder, address, step

    def store(self, values: list[Any], address: Any) -> None:
        """A value for each column."""
        for value, offset in zip(values, self._offsets, strict=True):
            self._v.store(value, address, offset)

    def maxima(self, k: Any) -> list[Any]:
        """The largest of each column."""
        b = self._builder

        def larger(q: Any, tops: list[Any]) -> list[Any]:
            row = self._row(q)
            return [
                b.select(b.fcmp_ordered(">", x, top), x, top)
                for x, top in zip((self._v.load(row, o) for o in self._offsets), tops, strict=True)
            ]

        first = [self._v.load(self._address, offset) for offset in self._offsets]
        return repeated(b, k, first, larger)

    def sums(self, k: Any, tops: list[Any], floor: Any) -> list[Any]:
        """Σ e^(L − top), whose terms are written in place of L."""
        b, floors = self._builder, self._v.filled(floor)

        def add(q: Any, sums: list[Any]) -> list[Any]:
            row = self._row(q)
            xs = [
                b.fsub(self._v.load(row, o), top)
                for o, top in zip(self._offsets, tops, strict=True)
            ]
            terms = [self._functions.exp(x, floors) for x in xs]
            for e, offset in zip(terms, self._offsets, strict=True):
                self._v.store(e, row, offset)
            return [b.fadd(total, e) for total, e in zip(sums, terms, strict=True)]

        return repeated(b, k, [self._functions.constant(0.0)] * len(tops), add)

    def first_maxima(self, k: Any) -> tuple[list[Any], list[Any]]:
        """The largest of each column, and the number of the first row that has it."""
        b, n = self._builder, len(self._offsets)

        def larger(q: Any, held: list[Any]) -> list[Any]:
            row, number = self._row(q), self._v.filled(b.sitofp(q, self._v.number))
            xs = [self._v.load(row, offset) for offset in self._offsets]
            is_more = [b.fcmp_ordered(">", x, top) for x, top in zip(xs, held[:n], strict=True)]
            tops = [b.select(*three) for three in zip(is_more, xs, held[:n], strict=True)]
            labels = [
                b.select(i, number, label) for i, label in zip(is_more, held[n:], strict=True)
            ]
            return tops + labels

        first = [self._v.load(self._address, offset) for offset in self._offsets]
        held = repeated(b, k, first + [self._functions.constant(0.0)] * n, larger)
        return held[:n], held[n:]

    def sums_and_dots(
        self, k: Any, tops: list[Any], *, stores: bool
    ) -> tuple[list[Any], list[Any]]:
        """Σ e^x and Σ x e^x of x = L − top; e^x goes in place of L where it is wanted."""
        b, v, n, exp = self._builder, self._v, len(tops), self._functions.exp
        floor = self._functions.floor

        def add(q: Any, held: list[Any]) -> list[Any]:
            row = self._row(q)
            xs = [b.fsub(v.load(row, o), top) for o, top in zip(self._offsets, tops, strict=True)]
            terms = [exp(x) for x in xs]
            # Where e^x is 0, x may be infinite.
            xs = [b.select(b.fcmp_ordered("<", x, floor), floor, x) for x in xs]
            for e, offset in zip(terms, self._offsets if stores else [], strict=stores):
                v.store(e, row, offset)
            sums = [b.fadd(total, e) for total, e in zip(held[:n], terms, strict=True)]
            return sums + [v.fused(*three) for three in zip(xs, terms, held[n:], strict=True)]

        held = repeated(b, k, [self._functions.constant(0.0)] * (2 * n), add)
        return held[:n], held[n:]

    def _row(self, q: Any) -> Any:
        return self._builder.add(self._address, self._builder.mul(q, self._step))


@intrinsic  # type: ignore[untyped-decorator] # Numba has no types
def finish_columns(typing_context: Any, one: Any, top: Any, total: Any) -> Any:
    """log-sum-exp in place of maxima and 1/sum in place of sums, of eight columns.

    The logarithm, and its sum with the maximum, are float64 and rounded once.
    """

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _, top, total = args
        v, wide = (Vectors(builder, number, FINISHED) for number in (one, types.float64))
        functions = Elementary(wide)
        m, s = (wide.converted(v.load(place), v) for place in (top, total))
        lse = builder.fadd(functions.log(s), m)
        v.store(v.converted(lse, wide), top)
        unit = Elementary(v).constant(1.0)
        v.store(builder.fdiv(unit, v.load(total)), total)
        return context.get_dummy_value()

    return types.void(one, INTEGER, INTEGER), generate


@intrinsic  # type: ignore[untyped-decorator] # Numba has no types
def finish_scores(typing_context: Any, one: Any, top: Any, total: Any, dot: Any) -> Any:
    """Of eight columns, log-sum-exp, 1/sum and entropy in place of maxima, Σ e^x and Σ x e^x."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        v, places = Vectors(builder, one, FINISHED), args[1:]
        functions = Elementary(v)
        m, s, dots = (v.load(place) for place in places)
        log, inverse = functions.log(s), builder.fdiv(functions.constant(1.0), s)
        entropy = builder.fsub(log, builder.fmul(dots, inverse))
        for value, place in zip((builder.fadd(log, m), inverse, entropy), places, strict=True):
            v.store(value, place)
        return context.get_dummy_value()

    return types.void(one, *(INTEGER,) * 3), generate
