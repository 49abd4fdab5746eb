"""Exponential and logarithm of vectors, by polynomials: bit-identical on every processor.

Numba's own are the C library's, number by number, and NumPy's follow the vector instructions that
it finds. Here each operation is written out: one multiplication, addition or fused pair of both per
step, in one order, so that no compiler has a choice.

e^x = 2^n e^r with n = x / log 2 rounded and |r| ≤ log 2 / 2 (Cody and Waite 1980): r is exact but
for one rounding, because n log 2 is taken off in two parts by fused operations. e^r is a polynomial
that interpolates (e^r − 1 − r)/r² at Chebyshev's nodes: its own error is 3e-19 in float64 and 7e-10
in float32, and that of the result below 0.9 units in the last place. The logarithm is that of
fdlibm (Sun Microsystems 1993), log m = f − f²/2 + s (f²/2 + R(s²)) with f = m − 1 and
s = f / (2 + f), below one unit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from dgmm.mixture.backends.numpy_backend import LOG_FLOOR
from dgmm.mixture.backends.simd_intrinsics import Vectors

_F64, _F32 = 8, 4  # bytes of a number
#: 1/log 2, and −log 2 as a sum of two numbers of the type.
_PER_LOG_2 = {_F64: "0x1.71547652b82fep+0", _F32: "0x1.715476p+0"}
_MINUS_LOG_2 = {
    _F64: ("-0x1.62e42fefa39efp-1", "-0x1.abc9e3b39803fp-56"),
    _F32: ("-0x1.62e430p-1", "0x1.05c610p-29"),
}
#: Of e^r, from the square on.
_SERIES = {
    _F64: (
        *("0x1.0000000000000p-1", "0x1.5555555555557p-3", "0x1.5555555555556p-5"),
        *("0x1.11111111100dcp-7", "0x1.6c16c16c162d4p-10", "0x1.a01a01abe7fe1p-13"),
        *("0x1.a01a01a6d889cp-16", "0x1.71de0231960ebp-19", "0x1.27e4db646b17ep-22"),
        *("0x1.af4de97ca4194p-26", "0x1.1f730349868cep-29"),
    ),
    _F32: (
        *("0x1.000000p-1", "0x1.555556p-3", "0x1.5554eap-5"),
        *("0x1.1110e0p-7", "0x1.6d4324p-10", "0x1.a124f2p-13"),
    ),
}
_FRACTION_BITS = {_F64: 52, _F32: 23}

#: fdlibm's log: log 2 with 32 zeros at its end, the rest of it, and R from s² on.
_LOG_2_ROUND, _LOG_2_REST = "0x1.62e42feep-1", "0x1.a39ef35793c76p-33"
_LOG_SERIES = (
    *("0x1.5555555555593p-1", "0x1.999999997fa04p-2", "0x1.2492494229359p-2"),
    *("0x1.c71c51d8e78afp-3", "0x1.7466496cb03dep-3", "0x1.39a09d078c69fp-3"),
    "0x1.2f112df3e5244p-3",
)
_ROOT_OF_HALF = 0x3FE6A09E667F3BCD


class Elementary:
    """Code for functions of vectors of one type of numbers."""

    def __init__(self, vectors: Vectors) -> None:
        self.v, self._builder = vectors, vectors.builder
        self._integer = ir.IntType(8 * vectors.itemsize)
        self._integers = ir.VectorType(self._integer, vectors.lanes)
        bits = _FRACTION_BITS[vectors.itemsize]
        # Added to a number, it rounds it to an integer, which then stands in the last bits.
        self._rounding = 1.5 * 2.0**bits
        self.floor = self.constant(LOG_FLOOR[np.dtype(f"f{vectors.itemsize}")])

    def constant(self, value: float | str) -> Any:
        """A number in all lanes."""
        number = float.fromhex(value) if isinstance(value, str) else value
        return ir.Constant(self.v.type, [self.v.number(number)] * self.v.lanes)

    def _word(self, value: int) -> Any:
        return ir.Constant(self._integers, [self._integer(value)] * self.v.lanes)

    def exp(self, x: Any, floor: Any = None) -> Any:
        """e^x for floor < x ≤ 0; 0 for x ≤ floor, −∞ included; NaN for NumPy's NaN.

        `floor` is a vector, by default of `LOG_FLOOR`; below that results would be subnormal.

        Of a NaN with other bits below (R's NA) it is any number: rows that have one are refused or
        left out before. No result is subnormal.
        """
        v, b, size = self.v, self._builder, self.v.itemsize
        rounding = self.constant(self._rounding)
        shifted = v.fused(x, self.constant(_PER_LOG_2[size]), rounding)
        n = b.fsub(shifted, rounding)
        r = x
        for part in _MINUS_LOG_2[size]:
            r = v.fused(n, self.constant(part), r)
        one: str = "0x1p+0"
        *lower, p = (self.constant(c) for c in (one, one, *_SERIES[size]))
        for coefficient in reversed(lower):
            p = v.fused(p, r, coefficient)
        power = b.shl(b.bitcast(shifted, self._integers), self._word(_FRACTION_BITS[size]))
        e = b.bitcast(b.add(b.bitcast(p, self._integers), power), v.type)
        floor = self.floor if floor is None else floor
        return b.select(b.fcmp_ordered("<=", x, floor), self.constant(0.0), e)

    def log(self, x: Any) -> Any:
        """log x, of float64, for normal positive numbers; NaN and ∞ stay."""
        v, b = self.v, self._builder
        words = b.bitcast(x, self._integers)
        shift = self._word(_FRACTION_BITS[v.itemsize])
        exponent = b.ashr(b.sub(words, self._word(_ROOT_OF_HALF)), shift)
        rounding = self.constant(self._rounding)
        as_number = b.add(exponent, b.bitcast(rounding, self._integers))
        n = b.fsub(b.bitcast(as_number, v.type), rounding)
        mantissa = b.bitcast(b.sub(words, b.shl(exponent, shift)), v.type)
        f = b.fsub(mantissa, self.constant(1.0))
        s = b.fdiv(f, b.fadd(f, self.constant(2.0)))
        z = b.fmul(s, s)
        *lower, R = (self.constant(c) for c in _LOG_SERIES)
        for coefficient in reversed(lower):
            R = v.fused(R, z, coefficient)
        half_square = b.fmul(b.fmul(f, self.constant(0.5)), f)
        correction = b.fmul(s, v.fused(R, z, half_square))
        correction = v.fused(n, self.constant(_LOG_2_REST), correction)
        small = b.fsub(f, b.fsub(half_square, correction))
        log = v.fused(n, self.constant(_LOG_2_ROUND), small)
        return b.select(b.fcmp_ordered("<", x, self.constant(float("inf"))), log, x)
