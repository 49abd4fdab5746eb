"""Moments S = R Φᵀ component by component, over responsibilities that are not 0, compiled.

Exponentials end at `E_STEP_FLOOR`, so that of many components only a few have a responsibility
above 0 for a row: some ten of 1,024 with 128 features, or one of 16 with full covariances. A
component's sums lie side by side here, and Φ is transposed, so that a row is added to them in one
stretch; pairs of features are multiplied for each component (`sparse_pairs`). What is left out is 0
times a number: each sum is the same chain of fused multiplications and additions as in
`moment_products.moments`, bit by bit.

A block of whose first responsibilities more than a quarter are not 0 is left to `moment_products`.
With pairs this is decided again for every panel, and a block that became dense stays dense. Without
pairs, components with a responsibility for most rows are multiplied eight at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from dgmm.mixture.backends.bit_intrinsics import has_some, lowest_bit, n_bits, not_zero, prefetch
from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.simd_intrinsics import (
    INTEGER,
    Vectors,
    lanes_of,
    multiplication,
    registers_hold_many,
    repeated,
    row_by_number,
)
from dgmm.mixture.backends.sparse_buffers import GROUP
from dgmm.mixture.backends.sparse_pairs import add_pair_products
from dgmm.mixture.backends.transpose_intrinsics import TRANSPOSE_SIZE, transpose

#: Moments are taken by component where at most one in so many responsibilities is not 0.
_SPARSE = 4
_WIDE = 8
_HIGH, _DENSE_WIDE = (8, 3) if registers_hold_many() else (4, 1)

_dense_wide = multiplication(_HIGH, _DENSE_WIDE, widens=True)
_dense_one = multiplication(_HIGH, 1, widens=True)


def _chain(n_vectors: int) -> Any:
    """Add Σ_q A[q]·B[numbers[q]] over q < n, a chain that begins at 0, to float64 sums C.

    A has numbers of the type of `one`; the rows of B are so many vectors.
    """

    @intrinsic  # type: ignore[untyped-decorator] # Numba has no types
    def chain(
        typing_context: Any, one: Any, A: Any, numbers: Any, B: Any, B_step: Any, C: Any, n: Any
    ) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            _, A, numbers, B, B_step, C, n = args
            v, size = Vectors(builder, one, lanes_of(one.bitwidth // 8)), ir.IntType(64)

            def add_row(q: Any, sums: list[Any]) -> list[Any]:
                a = v.spread(builder.add(A, builder.mul(q, size(v.itemsize))))
                row = row_by_number(builder, B, B_step, numbers, q)
                return [v.fused(a, v.load(row, i * v.size), s) for i, s in enumerate(sums)]

            zero = ir.Constant(v.type, [v.number(0.0)] * v.lanes)
            wide = Vectors(builder, types.float64, v.lanes)
            for i, value in enumerate(repeated(builder, n, [zero] * n_vectors, add_row)):
                wide.add_to(C, i * v.lanes, wide.converted(value, v))
            return context.get_dummy_value()

        return types.void(one, *(INTEGER,) * 6), generate

    return chain


_chain_wide, _chain_one = _chain(_WIDE), _chain(1)


@compiled
def are_few(one: Any, R: Any, k: int, b: int) -> bool:
    """Whether few of a panel's responsibilities are not 0; no bit follows it."""
    lanes, n = 64 // R.itemsize, 0
    for j in range(k):
        row = R.ctypes.data + j * R.shape[1] * R.itemsize
        for v in range((b + lanes - 1) // lanes):
            n += n_bits(not_zero(one, row + v * 64))
    return n * _SPARSE <= k * b


@compiled
def add_sums(order: Any, wide: Any, buffers: Any, is_sparse: bool, sums: Any) -> None:
    """Add the sums of a block, of either kind, to those of φ, (k, p)."""
    (k, p), by_component, places = sums.shape, buffers[0], buffers[1]
    if is_sparse:
        for j in range(k):
            for i in range(p):
                sums[j, order[i]] += by_component[j, places[i]]
    else:  # some components at a time: what is read of them is in one line of cache
        for first in range(0, k, GROUP):
            for i in range(p):
                for j in range(first, min(first + GROUP, k)):
                    sums[j, order[i]] += wide[i, j]


@compiled
def stays_sparse(one: Any, R: Any, buffers: Any, k: int, b: int, is_first: bool) -> bool:
    """Whether the moments of a panel are taken by component; with pairs asked of every panel."""
    n_sums, n_transposed = buffers[0].shape[1], buffers[2].shape[1]
    return not (is_first or n_sums > n_transposed) or are_few(one, R, k, b)


@compiled
def make_dense(buffers: Any, wide: Any, k: int) -> None:
    """The sums so far as dense ones, (p, k): with these the block goes on."""
    sums, places = buffers[0], buffers[1]
    wide[:] = 0.0
    for j in range(k):
        for i in range(places.size):
            wide[i, j] = sums[j, places[i]]


@compiled
def _transpose(
    one: Any, which: Any, n_linear: int, n_products: int, Y: Any, out: Any, b: int
) -> None:
    """So many rows of Y, with a data row's numbers side by side, and its products before them."""
    size = Y.itemsize
    step, out_step = Y.shape[1] * size, out.shape[1] * size
    for q in range(0, n_linear, TRANSPOSE_SIZE):
        for c in range(0, b, TRANSPOSE_SIZE):
            source = Y.ctypes.data + q * step + c * size
            target = out.ctypes.data + c * out_step + (n_products + q) * size
            transpose(one, source, step, target, out_step, None)
    for c in range(b):
        for q in range(n_products):
            y, z = n_products + which[0, q], n_products + which[1, q]
            out[c, q] = out[c, y] * out[c, z]


@compiled
def sparse_moments(
    one: Any,
    which: Any,
    n_products: int,
    Y: Any,
    R: Any,
    buffers: Any,
    k: int,
    b: int,
    scale: Any = None,
) -> None:
    """Add R Φᵀ to the sums, the first of the buffers (`SparseBuffers`), for b columns of R.

    Columns are multiplied by their `scale` first, where there is one; some of R is overwritten.
    """
    sums, _, transposed, masks, counts, numbers, values, is_used = buffers
    size, of_pairs = R.itemsize, sums.shape[1] - transposed.shape[1]
    lanes, R_step, n_linear = 64 // size, R.shape[1] * size, which.shape[1] - n_products
    d = n_linear - 1  # where there are pairs: Y = [y, 1]
    _transpose(one, which, n_linear, 0 if of_pairs > 0 else n_products, Y, transposed, b)
    _find_used(one, R, sums, is_used, k, of_pairs == 0)
    for first in range(0, k, GROUP):
        high, n_parts = min(GROUP, k - first), 0
        for j in range(high):
            counts[j] = 0
            if is_used[first + j]:
                counts[j] = _masks(one, R.ctypes.data + (first + j) * R_step, b, lanes, masks[j])
            n_parts += counts[j]
        if of_pairs > 0 or n_parts * _SPARSE <= high * b:
            for j in range(high):
                if counts[j] > 0:
                    n = _list(R[first + j], masks[j], scale, b, lanes, numbers, values)
                    own = sums[first + j]
                    if of_pairs > 0:
                        add_pair_products(one, values, numbers, transposed, own, d, n)
                    _add_rows(one, values, numbers, transposed, own[of_pairs:], lanes, n)
        else:
            if scale is not None:
                _scale(R[first : first + high], scale, b)
            _add_dense(one, R, first, transposed, sums, lanes, b)


@compiled
def _find_used(one: Any, R: Any, sums: Any, is_used: Any, k: int, prefetches: bool) -> None:
    """Which components have a responsibility above 0 in the panel; their sums are prefetched.

    Those of 1,024 components with 128 features take half the second cache, which η and R fill. With
    pairs the sums of one component are longer than the first cache, and are not.
    """
    R_step, sums_step = R.shape[1] * R.itemsize, sums.shape[1] * 8
    for j in range(k):
        is_used[j] = has_some(one, R.ctypes.data + j * R_step) != 0
        if prefetches and is_used[j]:
            for line in range(0, sums_step, 64):
                prefetch(sums.ctypes.data + j * sums_step + line)


@compiled
def _masks(one: Any, row: int, b: int, lanes: int, masks: Any) -> int:
    """Which of b responsibilities are not 0, by vectors, and how many; none are written of none."""
    n, n_vectors = 0, (b + lanes - 1) // lanes
    for v in range(n_vectors):
        bits = not_zero(one, row + v * 64)
        if v == n_vectors - 1:
            bits &= np.uint64((1 << (b - v * lanes)) - 1)
        masks[v] = bits
        n += n_bits(bits)
    return n


@compiled
def _list(own: Any, masks: Any, scale: Any, b: int, lanes: int, numbers: Any, values: Any) -> int:
    """Columns whose responsibilities are not 0, and these; how many."""
    n = 0
    for v in range((b + lanes - 1) // lanes):
        bits = masks[v]
        while bits != 0:
            c = v * lanes + lowest_bit(bits)
            numbers[n] = c
            values[n] = own[c] if scale is None else own[c] * scale[c]
            n += 1
            bits &= bits - np.uint64(1)
    return n


@compiled
def _scale(R: Any, scale: Any, b: int) -> None:
    """Each of b columns times its own number."""
    for j in range(R.shape[0]):
        for c in range(b):
            R[j, c] *= scale[c]


@compiled
def _add_rows(
    one: Any, values: Any, numbers: Any, transposed: Any, sums: Any, lanes: int, n: int
) -> None:
    """The numbered rows, to one component."""
    A, rows, C, v = values.ctypes.data, numbers.ctypes.data, sums.ctypes.data, 0
    B, B_step = transposed.ctypes.data, transposed.shape[1] * (64 // lanes)
    n_vectors = sums.size // lanes
    while v + _WIDE <= n_vectors:
        _chain_wide(one, A, rows, B + v * 64, B_step, C + v * lanes * 8, n)
        v += _WIDE
    while v < n_vectors:
        _chain_one(one, A, rows, B + v * 64, B_step, C + v * lanes * 8, n)
        v += 1


@compiled
def _add_dense(
    one: Any, R: Any, first: int, transposed: Any, sums: Any, lanes: int, b: int
) -> None:
    """All rows, to a group of components."""
    B, B_step = transposed.ctypes.data, transposed.shape[1] * R.itemsize
    R_step, C_step, n_vectors = R.shape[1] * R.itemsize, sums.shape[1] * 8, sums.shape[1] // lanes
    for j in range(first, first + GROUP, _HIGH):
        A, C, v = R.ctypes.data + j * R_step, sums.ctypes.data + j * C_step, 0
        while v < n_vectors:
            at = (A, R_step, B + v * 64, B_step, C + v * lanes * 8, C_step, b)
            if v + _DENSE_WIDE <= n_vectors:
                _dense_wide(one, *at, 1, 0, 0, 0, 0)
                v += _DENSE_WIDE
            else:
                _dense_one(one, *at, 1, 0, 0, 0, 0)
                v += 1
