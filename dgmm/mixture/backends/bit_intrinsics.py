"""What is not 0 among numbers in memory, as bits, for compiled code (`simd_intrinsics`)."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from dgmm.mixture.backends.moment_products import ROW_PANEL
from dgmm.mixture.backends.simd_intrinsics import INTEGER, Vectors, lanes_of


@intrinsic  # type: ignore[untyped-decorator] # Numba has no types
def prefetch(typing_context: Any, address: Any) -> Any:
    """Ask for a line of cache that is going to be written."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(function, [builder.inttoptr(args[0], byte), number(1), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(INTEGER), generate


@intrinsic  # type: ignore[untyped-decorator] # Numba has no types
def has_some(typing_context: Any, one: Any, address: Any) -> Any:
    """0 where all numbers of a row panel's width at an address are 0."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        v = Vectors(builder, one, lanes_of(one.bitwidth // 8))
        bits = ir.VectorType(ir.IntType(one.bitwidth), v.lanes)
        some = ir.Constant(bits, [0] * v.lanes)
        for i in range(ROW_PANEL // v.lanes):
            some = builder.or_(some, builder.bitcast(v.load(args[1], i * v.size), bits))
        is_set = builder.icmp_unsigned("!=", some, ir.Constant(bits, [0] * v.lanes))
        return builder.zext(builder.bitcast(is_set, ir.IntType(v.lanes)), ir.IntType(64))

    return types.uint64(one, INTEGER), generate


@intrinsic  # type: ignore[untyped-decorator] # Numba has no types
def not_zero(typing_context: Any, one: Any, address: Any) -> Any:
    """Bit j where number j of the vector at an address is not 0, or NaN."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        v = Vectors(builder, one, lanes_of(one.bitwidth // 8))
        zero = ir.Constant(v.type, [v.number(0.0)] * v.lanes)
        bits = builder.fcmp_unordered("!=", v.load(args[1]), zero)
        return builder.zext(builder.bitcast(bits, ir.IntType(v.lanes)), ir.IntType(64))

    return types.uint64(one, INTEGER), generate


@intrinsic  # type: ignore[untyped-decorator] # Numba has no types
def lowest_bit(typing_context: Any, bits: Any) -> Any:
    """Which bit is the lowest that is set."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.int64(types.uint64), generate


@intrinsic  # type: ignore[untyped-decorator] # Numba has no types
def n_bits(typing_context: Any, bits: Any) -> Any:
    """How many bits are set."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate
