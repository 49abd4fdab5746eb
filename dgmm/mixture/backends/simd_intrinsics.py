"""LLVM code: vectors, and products held in registers.

Numba's vectors have 256 bits, and its products write every sum back to memory. Here they are
written for LLVM as vectors of 512 bits, which it maps to what the processor has. Each number of a
product is one chain of fused multiplications and additions in the order of its terms, so that its
bits follow neither the processor nor the shape of what is held in registers.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

#: Vectors multiplied at a time.
MULTIPLIED = 3
#: Values that `missing_bits` compares: what they lack is a byte.
EIGHT = 8
#: An address, or a step between two.
INTEGER = types.int64
#: What platform.machine() says of processors that have it by definition.
_ALWAYS_FUSED = {"aarch64", "arm64"}


def lanes_of(itemsize: int) -> int:
    """Numbers of a vector: 512 bits."""
    return 64 // itemsize


def require_fused_multiplication() -> None:
    """Refuse a processor that multiplies and adds in two roundings: here it would be emulated.

    Raises
    ------
    ImportError
        On x86 before 2013.
    """
    if platform.machine().lower() not in _ALWAYS_FUSED and not _has("fma"):
        raise ImportError("this processor has no fused multiplication and addition")


def registers_hold_many() -> bool:
    """Whether this processor has 32 registers of 512 bits, not a half or a quarter of that."""
    return _has("avx512f")


def _has(feature: str) -> bool:
    return bool(binding.get_host_cpu_features().get(feature, False))


def multiplication(
    height: int, vectors: int, *, widens: bool = False, forms: bool = False
) -> Callable[..., Any]:
    """A product of `height` rows by so many vectors of columns, as a function for compiled code.

    The function takes (one, A, A_step, B, B_step, C, C_step, n, adds, left, right, Y, Y_step) and
    adds Σ_q A[i, q]·B[q, j] over q < n, a chain that begins at 0, to C[i, j], or to 0 where `adds`
    is 0. C is of the type of A, B and `one`, or float64 where it `widens`. Addresses and steps are
    integers, in bytes; a row's numbers lie one behind the other. Where it `forms` B, that is
    written first, row by row, as products of two rows of Y, whose numbers (int64) lie at `left` and
    `right`; else the last four are not looked at.
    """

    @intrinsic  # type: ignore[untyped-decorator] # Numba has no types
    def multiply(
        typing_context: Any,
        one: Any,
        A: Any,
        A_step: Any,
        B: Any,
        B_step: Any,
        C: Any,
        C_step: Any,
        n: Any,
        adds: Any,
        left: Any,
        right: Any,
        Y: Any,
        Y_step: Any,
    ) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            _, A, A_step, B, B_step, C, C_step, n, adds, left, right, Y, Y_step = args
            code = _Multiplication(builder, one, height, vectors)
            rows = _Stored(code.vectors, vectors, B, B_step)
            if forms:
                rows = _Formed(code.vectors, vectors, B, B_step, (left, right), (Y, Y_step))
            code.add_product((A, A_step), rows, n, (C, C_step), adds, widens=widens)
            return context.get_dummy_value()

        return types.void(one, *(INTEGER,) * 12), generate

    return multiply  # type: ignore[no-any-return] # no types


class Vectors:
    """Code for vectors of one type of numbers."""

    def __init__(self, builder: Any, number: Any, lanes: int) -> None:
        self.builder, self.lanes = builder, lanes
        self.number = ir.DoubleType() if number == types.float64 else ir.FloatType()
        self.itemsize = number.bitwidth // 8
        self.type = ir.VectorType(self.number, lanes)
        self.size = lanes * self.itemsize

    def at(self, address: Any, offset: int = 0) -> Any:
        """The vector's place in memory; it need not begin at a line of cache."""
        address = self.builder.add(address, ir.IntType(64)(offset))
        return self.builder.inttoptr(address, self.type.as_pointer())

    def load(self, address: Any, offset: int = 0) -> Any:
        """A vector from memory."""
        return self.builder.load(self.at(address, offset), align=self.itemsize)

    def store(self, value: Any, address: Any, offset: int = 0) -> None:
        """A vector to memory."""
        self.builder.store(value, self.at(address, offset), align=self.itemsize)

    def spread(self, address: Any) -> Any:
        """One number of memory in all lanes."""
        place = self.builder.inttoptr(address, self.number.as_pointer())
        return self.filled(self.builder.load(place, align=self.itemsize))

    def filled(self, number: Any) -> Any:
        """One number in all lanes."""
        undefined = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, number, ir.IntType(32)(0))
        return self.exchange(first, undefined, [0] * self.lanes)

    def add_to(self, address: Any, column: int, value: Any) -> None:
        """Add a vector to numbers in memory, from that column on."""
        offset = column * self.itemsize
        self.store(self.builder.fadd(self.load(address, offset), value), address, offset)

    def exchange(self, a: Any, b: Any, lanes: list[int]) -> Any:
        """Lanes of a, then of b, by their numbers."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), lanes)
        return self.builder.shuffle_vector(a, b, mask)

    def converted(self, value: Any, of: Vectors) -> Any:
        """A vector of another type's numbers in this one's."""
        if self.itemsize == of.itemsize:
            return value
        convert = self.builder.fpext if self.itemsize > of.itemsize else self.builder.fptrunc
        return convert(value, self.type)

    def fused(self, a: Any, b: Any, c: Any) -> Any:
        """a·b + c, rounded once."""
        name = f"llvm.fma.v{self.lanes}f{8 * self.itemsize}"
        function_type = ir.FunctionType(self.type, [self.type] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, function_type, name)
        return self.builder.call(function, [a, b, c])


def repeated(
    builder: Any, n: Any, initial: list[Any], body: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """Code that does `body` for q = 0 to n − 1, at least once: (q, values) → values."""
    size = ir.IntType(64)
    before, loop, after = builder.block, *map(builder.append_basic_block, ("loop", "done"))
    builder.branch(loop)
    builder.position_at_end(loop)
    q, values = builder.phi(size), [builder.phi(value.type) for value in initial]
    new = body(q, values)
    following = builder.add(q, size(1))
    for phi, first, later in zip([q, *values], [size(0), *initial], [following, *new], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(later, loop)
    builder.cbranch(builder.icmp_signed("<", following, n), loop, after)
    builder.position_at_end(after)
    return new


def row_by_number(builder: Any, rows: Any, step: Any, numbers: Any, q: Any) -> Any:
    """Address of row numbers[q] (int64), of rows that are `step` bytes apart."""
    size = ir.IntType(64)
    place = builder.add(numbers, builder.mul(q, size(8)))
    number = builder.load(builder.inttoptr(place, size.as_pointer()))
    return builder.add(rows, builder.mul(number, step))


class _Stored:
    """Rows of the right operand, in memory one behind the other."""

    def __init__(self, vectors: Vectors, n: int, address: Any, step: Any) -> None:
        self.vectors, self.n, self.address, self.step = vectors, n, address, step

    def row(self, q: Any) -> list[Any]:
        """The vectors of a row."""
        place = self._place(q)
        return [self.vectors.load(place, j * self.vectors.size) for j in range(self.n)]

    def _place(self, q: Any) -> Any:
        builder = self.vectors.builder
        return builder.add(self.address, builder.mul(q, self.step))


class _Formed(_Stored):
    """Rows that are made when they are first used, and then in memory for the next use."""

    def __init__(
        self, vectors: Vectors, n: int, address: Any, step: Any, which: Any, source: Any
    ) -> None:
        super().__init__(vectors, n, address, step)
        self._which, self._source = which, source

    def row(self, q: Any) -> list[Any]:
        """The product of the two rows that a row is made of."""
        v, (Y, Y_step) = self.vectors, self._source
        places = [row_by_number(v.builder, Y, Y_step, numbers, q) for numbers in self._which]
        row = []
        for j in range(self.n):
            a, b = (v.load(place, j * v.size) for place in places)
            row.append(v.builder.fmul(a, b))
            v.store(row[-1], self._place(q), j * v.size)
        return row


class _Multiplication:
    """The code of one multiplication: sums stay in registers while both operands go by."""

    def __init__(self, builder: Any, number: Any, height: int, n_vectors: int) -> None:
        self.vectors = Vectors(builder, number, lanes_of(number.bitwidth // 8))
        self._height = height
        self._places = [(i, j) for i in range(height) for j in range(n_vectors)]

    def add_product(self, A: Any, B: _Stored, n: Any, C: Any, adds: Any, *, widens: bool) -> None:
        """Add A B to C, or to 0; A and C are addresses with the steps of their rows."""
        builder, v, (address, step) = self.vectors.builder, self.vectors, C
        target = Vectors(builder, types.float64, v.lanes) if widens else v
        sums = [target.converted(value, v) for value in self._sums(A, B, n)]
        places = [(self._row(address, step, i), j * v.lanes) for i, j in self._places]
        # Where nothing is added, what memory holds is not read either.
        is_sum = builder.icmp_signed("!=", adds, ir.IntType(64)(0))
        with builder.if_else(is_sum) as (adding, writing):
            with adding:
                for place, value in zip(places, sums, strict=True):
                    target.add_to(*place, value)
            with writing:
                for (row, column), value in zip(places, sums, strict=True):
                    target.store(value, row, column * target.itemsize)

    def _sums(self, A: Any, B: _Stored, n: Any) -> list[Any]:
        v, builder, size = self.vectors, self.vectors.builder, ir.IntType(64)
        address, step = A
        zero = ir.Constant(v.type, [v.number(0.0)] * v.lanes)

        def add_terms(q: Any, sums: list[Any]) -> list[Any]:
            column = builder.add(address, builder.mul(q, size(v.itemsize)))
            b = B.row(q)
            new, held = [], iter(sums)
            for i in range(self._height):  # one after the other: together they would need registers
                a = v.spread(self._row(column, step, i))
                new += [v.fused(a, x, s) for x, s in zip(b, held, strict=False)]
            return new

        return repeated(builder, n, [zero] * len(self._places), add_terms)

    def _row(self, address: Any, step: Any, i: int) -> Any:
        builder = self.vectors.builder
        return builder.add(address, builder.mul(step, ir.IntType(64)(i)))


@intrinsic  # type: ignore[untyped-decorator] # Numba has no types
def multiply_pairwise(typing_context: Any, one: Any, a: Any, b: Any, out: Any) -> Any:
    """out = a·b for so many vectors each, by their addresses; `one` is of their numbers' type."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        v = Vectors(builder, one, lanes_of(one.bitwidth // 8))
        for offset in range(0, MULTIPLIED * v.size, v.size):
            a, b = (v.load(address, offset) for address in args[1:3])
            v.store(builder.fmul(a, b), args[3], offset)
        return context.get_dummy_value()

    return types.void(one, INTEGER, INTEGER, INTEGER), generate


@intrinsic  # type: ignore[untyped-decorator] # Numba has no types
def size_of(typing_context: Any, one: Any) -> Any:
    """Bytes of a number of the type of `one`: a constant, which an array's `itemsize` is not."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return ir.IntType(64)(one.bitwidth // 8)

    return types.int64(one), generate


@intrinsic  # type: ignore[untyped-decorator] # Numba has no types
def missing_bits(typing_context: Any, one: Any, address: Any) -> Any:
    """Bit j where value j of the eight at an address is NaN; `one` is of their type."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        x = Vectors(builder, one, EIGHT).load(args[1])
        return builder.bitcast(builder.fcmp_unordered("uno", x, x), ir.IntType(8))

    return types.uint8(one, INTEGER), generate
