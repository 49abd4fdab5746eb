"""The same arithmetic compiled by Numba, outside Python's lock. Numba lives in this room alone.

No fast-math: multiplications and additions stay apart and in NumPy's order, so bits are NumPy's.
exp is NumPy's own: LLVM's, for vectors of 256 bits, took 2.1 ns a number where NumPy's takes 0.6.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dgmm.arithmetic.compiling import compiled
from dgmm.arithmetic.numpy_blas import (
    PLAIN,
    TRANSPOSED,
    apply_loop,
    gemm,
    gemm_address,
    loop_address,
)
from dgmm.arithmetic.plain import Block, Plain, Tile, lowest

#: Columns worked on at a time: with k rows they stay in the first caches.
_STRIP = 256
#: Rows transposed at a time: two lines of cache of float64.
_BAND = 16
_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))
_FORMS = {"none": 0, "pairs": 1, "squares": 2, "norm": 3}


@compiled
def _standardise(rows: Any, factor: Any, offset: Any, out: Any) -> None:
    """In bands whose height the compiler knows, which takes 0.6 of the time; then what is left."""
    b, d = rows.shape
    whole = b - b % _BAND
    for start in range(0, whole, _BAND):
        band, turned = rows[start : start + _BAND], out[:, start : start + _BAND]
        for j in range(d):
            f, o = factor[j], offset[j]
            for c in range(_BAND):
                turned[j, c] = band[c, j] * f - o
    for c in range(whole, b):
        for j in range(d):
            out[j, c] = rows[c, j] * factor[j] - offset[j]


@compiled
def _pairs(Y: Any, first: int, last: int, out: Any) -> None:
    d, b = Y.shape
    row = 0
    for i in range(first, last):
        for j in range(i, d):
            for c in range(b):
                out[row, c] = Y[i, c] * Y[j, c]
            row += 1


@compiled
def _log_prob(address: int, one: Any, eta: Any, Phi: Any, out: Any, columns: int) -> None:
    k, p = eta.shape
    b = Phi.shape[1]
    size = Phi.itemsize
    at, design, result = eta.ctypes.data, Phi.ctypes.data, out.ctypes.data
    steps = (eta.strides[0] // size, Phi.strides[0] // size, out.strides[0] // size)
    for c in range(0, b, columns):
        n = min(columns, b - c)
        gemm(
            *(address, PLAIN, k, n, p, one),
            *(at, steps[0], design + c * size, steps[1], result + c * size, steps[2]),
        )


@compiled
def _moments(
    address: int, one: Any, Phi: Any, R: Any, sums: Any, product: Any, height: int, columns: int
) -> None:
    p, b = Phi.shape
    k = R.shape[0]
    size = Phi.itemsize
    design, resp, result = Phi.ctypes.data, R.ctypes.data, product.ctypes.data
    steps = (Phi.strides[0], R.strides[0] // size, product.strides[0])
    for c in range(0, b, columns):
        inner = min(columns, b - c)
        for row in range(0, p, height):
            gemm(
                *(address, TRANSPOSED, min(height, p - row), k, inner, one),
                *(design + row * steps[0] + c * size, steps[0] // size),
                *(resp + c * size, steps[1], result + row * steps[2], steps[2] // size),
            )
        for i in range(p):
            for j in range(k):
                sums[i, j] += product[i, j]


@compiled
def _below_top(L: Any, top: Any, floor: Any) -> None:
    """L − max L, at least `floor`; a NaN stays and spreads over its column as in NumPy."""
    k, b = L.shape
    for start in range(0, b, _STRIP):
        stop = min(start + _STRIP, b)
        m = top[start:stop]
        m[:] = L[0, start:stop]
        for j in range(1, k):
            row = L[j, start:stop]
            for c in range(row.size):
                m[c] = m[c] if m[c] >= row[c] or m[c] != m[c] else row[c]
        for j in range(k):
            row = L[j, start:stop]
            for c in range(row.size):
                x = row[c] - m[c]
                row[c] = max(x, floor)


@compiled
def _normalise(L: Any, total: Any, inverse: Any, least: Any) -> None:
    """L over its sums, what is not above `least` as 0; the sums are left in `total`."""
    k, b = L.shape
    for start in range(0, b, _STRIP):
        stop = min(start + _STRIP, b)
        s, w = total[start:stop], inverse[start:stop]
        s[:] = 0.0
        for j in range(k):
            row = L[j, start:stop]
            for c in range(row.size):
                e = row[c]
                row[c] = e * 0.0 if e <= least else e
                s[c] += row[c]
        for c in range(s.size):
            w[c] = 1.0 / s[c]
        for j in range(k):
            row = L[j, start:stop]
            for c in range(row.size):
                row[c] *= w[c]


@compiled
def _apply(loop: Any, x: Any, words: Any) -> None:
    """A loop of NumPy's in place over a contiguous array; `words` are five integers to use."""
    words[0] = words[1] = x.ctypes.data
    words[2] = x.size
    words[3] = words[4] = x.itemsize
    at = words.ctypes.data
    apply_loop(loop[0], at, at + 16, at + 24, loop[1])


@compiled
def _squares(Y: Any, out: Any) -> None:
    d, b = Y.shape
    for i in range(d):
        for c in range(b):
            out[i, c] = Y[i, c] * Y[i, c]


@compiled
def _norms(Y: Any, out: Any) -> None:
    d, b = Y.shape
    for c in range(b):
        out[0, c] = Y[0, c] * Y[0, c]
    for i in range(1, d):
        for c in range(b):
            out[0, c] += Y[i, c] * Y[i, c]


@compiled
def _fill(form: int, Y: Any, first: int, last: int, out: Any) -> None:
    """A part of the quadratic part of Φ."""
    if form == 1:
        _pairs(Y, first, last, out)
    elif form == 2:
        _squares(Y, out)
    elif form == 3:
        _norms(Y, out)


@compiled
def _add(x: Any, y: Any) -> None:
    for i in range(x.size):
        x[i] += y[i]


@compiled
def _e_step(
    address: int,
    one: Any,
    exp: Any,
    log: Any,
    lows: Any,
    rows: Any,
    factor: Any,
    offset: Any,
    form: int,
    parts: Any,
    eta: Any,
    cut: Any,
    buffers: Any,
    sums: Any,
    lse: Any,
) -> None:
    n, d = rows.shape
    k, p = eta.shape
    width, columns, height, moment_columns = cut
    design, logits, addend, total, inverse, product = buffers
    words = np.empty(5, np.int64)
    room, n_parts = np.max(parts[:, 3] - parts[:, 2]), len(parts)
    for start in range(0, n, width):
        b = min(width, n - start)
        Phi = design[: (room + d + 1) * b].reshape(room + d + 1, b)
        L = logits[: k * b].reshape(k, b)
        top, s = lse[start : start + b], total[:b]
        Y = Phi[room : room + d]
        _standardise(rows[start : start + b], factor, offset, Y)
        Phi[room + d] = one
        for i in range(n_parts):
            first, last, begin, end = parts[i]
            _fill(form, Y, first, last, Phi[room - (end - begin) : room])
            stop, upto = (p, room + d + 1) if i == n_parts - 1 else (end, room)
            out = L if i == 0 else addend[: k * b].reshape(k, b)
            part = Phi[room - (end - begin) : upto]
            _log_prob(address, one, eta[:, begin:stop], part, out, columns)
            if i > 0:
                _add(logits[: k * b], addend[: k * b])
        _below_top(L, top, lows[0])
        _apply(exp, L, words)
        _normalise(L, s, inverse, lows[1])
        _apply(log, s, words)
        for c in range(b):
            top[c] = s[c] + top[c]
        for i in range(n_parts):
            first, last, begin, end = parts[i]
            if n_parts > 1:
                _fill(form, Y, first, last, Phi[room - (end - begin) : room])
            stop, upto = (p, room + d + 1) if i == n_parts - 1 else (end, room)
            part = Phi[room - (end - begin) : upto]
            _moments(
                *(address, one, part, L, sums[begin:stop], product[begin:stop]),
                *(height, moment_columns),
            )


class Compiled:
    """Numba's, for float32 and float64; where NumPy would call no gemm, NumPy is asked.

    Raises
    ------
    ImportError
        If NumPy's BLAS cannot be called from compiled code.
    """

    name = "numba"

    def __init__(self) -> None:
        self._gemm = {dtype: (gemm_address(dtype), dtype.type(1.0)) for dtype in _FLOATS}
        self._loops = {t: (loop_address("exp", t), loop_address("log", t)) for t in _FLOATS}
        self._plain = Plain()

    def standardise(self, rows: Tile, factor: Tile, offset: Tile, out: Tile) -> None:
        """One pass, in bands that a cache holds."""
        if rows.dtype in _FLOATS and rows.flags.c_contiguous:
            _standardise(rows, factor, offset, out)
        else:
            self._plain.standardise(rows, factor, offset, out)

    def pairs(self, Y: Tile, first: int, last: int, out: Tile) -> None:
        """One pass."""
        _pairs(Y, first, last, out)

    def log_prob(self, eta: Tile, Phi: Tile, out: Tile, columns: int) -> None:
        """All products in one call; NumPy takes gemv for a single row or column."""
        if min(len(eta), Phi.shape[1] % columns or columns) == 1 or len(Phi) == 1:
            self._plain.log_prob(eta, Phi, out, columns)
        else:
            _log_prob(*self._gemm[Phi.dtype], eta, Phi, out, columns)

    def softmax(self, L: Tile, top: Tile, total: Tile) -> Tile:
        """Two passes beside NumPy's exp; NumPy sums a single column pairwise."""
        if L.shape[1] == 1:
            return self._plain.softmax(L, top, total)
        floor, least = lowest(L.dtype)
        _below_top(L, top, floor)
        np.exp(L, out=L)
        _normalise(L, total, np.empty_like(total), least)
        return np.asarray(np.add(np.log(total, out=total), top, out=top))

    def moments(
        self, Phi: Tile, R: Tile, sums: Tile, product: Tile, height: int, columns: int
    ) -> None:
        """All products in one call; NumPy takes gemv for a single row or column."""
        ends = (len(Phi) % height or height, Phi.shape[1] % columns or columns, len(R))
        if min(ends) == 1:
            self._plain.moments(Phi, R, sums, product, height, columns)
        else:
            _moments(*self._gemm[Phi.dtype], Phi, R, sums, product, height, columns)

    def e_step(self, block: Block) -> bool:
        """A block in one call, outside Python's lock; its tiles' operations in their order."""
        rows, eta, cut = block.rows, block.eta, block.cut
        k, p = eta.shape
        heights = [stop - start for _, _, start, stop in block.parts[:-1].tolist()]
        heights.append(p - sum(heights))
        last = len(rows) % block.tile_rows or block.tile_rows
        steps = [(last, cut[0]), (last, cut[2]), *((height, cut[1]) for height in heights)]
        ends = [end % step or step for end, step in steps]
        if min(k, last, *heights, *ends) == 1:  # NumPy would not call gemm
            return False
        if rows.dtype not in _FLOATS or not rows.flags.c_contiguous:
            return False
        exp, log = self._loops[eta.dtype]
        _e_step(
            *(*self._gemm[eta.dtype], exp, log, lowest(eta.dtype)),
            *(rows, block.factor, block.offset),
            *(_FORMS[block.form], block.parts, eta),
            *((block.tile_rows, *cut), block.buffers, block.sums, block.lse),
        )
        return True
