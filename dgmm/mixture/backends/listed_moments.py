"""Moments S = R Φᵀ component by component, over the rows whose responsibility is not 0, compiled.

Exponentials end at `E_STEP_FLOOR`, so that of many components only a few have a part in a row: some
ten of 1,024 with 128 features, or one of 16 with covariances of their own. A component's sums lie
side by side here, and Φ is turned, so that a row is added to them in one stretch; pairs of features
are multiplied for each component (`listed_pairs`). What is left out is 0 times a number: each sum
is the same chain of fused multiplications and additions as in `moment_products.moments`, bit by
bit.

A block whose first rows have a part in many components is left to `moment_products`; with pairs so
is the rest of a block, once some of its rows have. Without pairs, components that have a part in
most rows are multiplied eight at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from dgmm.mixture.backends.bit_intrinsics import has_some, lowest_bit, n_bits, not_zero, prefetch
from dgmm.mixture.backends.fused_products import Factors, in_whole
from dgmm.mixture.backends.listed_pairs import add_listed_pairs, places_of_pairs
from dgmm.mixture.backends.listed_sizes import SQUARE, n_squares, pays
from dgmm.mixture.backends.moment_products import ROW_PANEL
from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.simd_intrinsics import (
    INTEGER,
    Vectors,
    lanes_of,
    multiplication,
    registers_hold_many,
)
from dgmm.mixture.backends.transpose_intrinsics import TRANSPOSE_SIZE, transpose

#: Components that are counted, and multiplied where they are dense, together.
GROUP = 8
#: Components are listed where at most one in so many of their responsibilities is not 0.
_SPARSE = 4
_WIDE = 8
_HIGH, _DENSE_WIDE = (8, 3) if registers_hold_many() else (4, 1)

_dense_wide = multiplication(_HIGH, _DENSE_WIDE, widens=True)
_dense_one = multiplication(_HIGH, 1, widens=True)


def listed_buffers(k: int, made: Factors, d: int, dtype: np.dtype[Any]) -> tuple[NDArray[Any], ...]:
    """Sums (k, w) in whole groups, all 0, and what `listed_moments` works with.

    That is where the sum of each factor stands, (p,); Φ turned, whose columns are the last of the
    sums', those of pairs before them; masks and counts of a group; a list and its values; which
    components have a part. Sums and Φ are empty where that does not pay.
    """
    lanes, p = lanes_of(dtype.itemsize), len(made.order)
    if made.n_products > d:
        i, j = made.which[:, : made.n_products]
        of_pairs = n_squares(d) * SQUARE * SQUARE
        linear = of_pairs + np.arange(p - made.n_products)
        places, turned = np.append(places_of_pairs(i, j, d), linear), p - made.n_products
    else:
        of_pairs, places = 0, np.arange(p)
        turned = made.n_products + in_whole(p - made.n_products, TRANSPOSE_SIZE)
    high, width = in_whole(k, GROUP), in_whole(turned, max(lanes, SQUARE))
    if not pays(k, p, made.n_products, d):
        high = width = of_pairs = 0
    return (
        np.zeros((high, of_pairs + width)),
        places,
        np.zeros((ROW_PANEL, width), dtype),
        np.empty((GROUP, ROW_PANEL // lanes), np.uint64),
        np.empty(GROUP, np.int64),
        np.empty(ROW_PANEL, np.int64),
        np.empty(ROW_PANEL, dtype),
        np.zeros(high, np.bool_),
    )


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
            before, loop, after = builder.block, *map(builder.append_basic_block, ("rows", "done"))
            builder.branch(loop)
            builder.position_at_end(loop)
            q = builder.phi(size)
            sums = [builder.phi(v.type) for _ in range(n_vectors)]
            a = v.spread(builder.add(A, builder.mul(q, size(v.itemsize))))
            place = builder.add(numbers, builder.mul(q, size(8)))
            number = builder.load(builder.inttoptr(place, size.as_pointer()))
            row = builder.add(B, builder.mul(number, B_step))
            new = [v.fused(a, v.load(row, i * v.size), s) for i, s in enumerate(sums)]
            following = builder.add(q, size(1))
            zero = ir.Constant(v.type, [v.number(0.0)] * v.lanes)
            q.add_incoming(size(0), before)
            q.add_incoming(following, loop)
            for phi, later in zip(sums, new, strict=True):
                phi.add_incoming(zero, before)
                phi.add_incoming(later, loop)
            builder.cbranch(builder.icmp_signed("<", following, n), loop, after)
            builder.position_at_end(after)
            wide = Vectors(builder, types.float64, v.lanes)
            for i, value in enumerate(new):
                wide.add_to(C, i * v.lanes, wide.converted(value, v))
            return context.get_dummy_value()

        return types.void(one, *(INTEGER,) * 6), generate

    return chain


_chain_wide, _chain_one = _chain(_WIDE), _chain(1)


@compiled
def are_few(one: Any, R: Any, k: int, b: int) -> bool:
    """Whether few responsibilities are not 0; of a block's first rows, and no bit follows it."""
    lanes, n = 64 // R.itemsize, 0
    for j in range(k):
        row = R.ctypes.data + j * R.shape[1] * R.itemsize
        for v in range((b + lanes - 1) // lanes):
            n += n_bits(not_zero(one, row + v * 64))
    return n * _SPARSE <= k * b


@compiled
def add_sums(order: Any, wide: Any, listed: Any, places: Any, is_listed: bool, sums: Any) -> None:
    """Add the sums of a block, of either kind, to those of φ, (k, p)."""
    k, p = sums.shape
    if is_listed:
        for j in range(k):
            for i in range(p):
                sums[j, order[i]] += listed[j, places[i]]
    else:  # some components at a time: what is read of them is in one line of cache
        for first in range(0, k, GROUP):
            for i in range(p):
                for j in range(first, min(first + GROUP, k)):
                    sums[j, order[i]] += wide[i, j]


@compiled
def stays_listed(one: Any, R: Any, listed: Any, wide: Any, k: int, b: int, is_first: bool) -> bool:
    """Whether the moments of a panel, and of the next ones, are still taken by component.

    Where they are not, `wide` becomes the sums so far: 0 before the first panel.
    """
    sums, places, turned = listed[:3]
    are_pairs = sums.shape[1] > turned.shape[1]
    if (is_first or are_pairs) and not are_few(one, R, k, b):
        wide[:] = 0.0
        if not is_first:
            for j in range(k):
                for i in range(places.size):
                    wide[i, j] = sums[j, places[i]]
        return False
    return True


@compiled
def _turn(
    one: Any, which: Any, n_linear: int, n_products: int, Y: Any, turned: Any, b: int
) -> None:
    """So many rows of Y, with a data row's numbers side by side, and its products before them."""
    size = Y.itemsize
    step, out_step = Y.shape[1] * size, turned.shape[1] * size
    for q in range(0, n_linear, TRANSPOSE_SIZE):
        for c in range(0, b, TRANSPOSE_SIZE):
            source = Y.ctypes.data + q * step + c * size
            target = turned.ctypes.data + c * out_step + (n_products + q) * size
            transpose(one, source, step, target, out_step, None)
    for c in range(b):
        for q in range(n_products):
            y, z = n_products + which[0, q], n_products + which[1, q]
            turned[c, q] = turned[c, y] * turned[c, z]


@compiled
def listed_moments(
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
    """Add R Φᵀ to the sums, the first of the buffers, for b columns of R.

    Columns are multiplied by their `scale` first, where there is one; some of R is overwritten.
    """
    sums, _, turned, masks, counts, numbers, values, some = buffers
    size, of_pairs = R.itemsize, sums.shape[1] - turned.shape[1]
    lanes, R_step, n_linear = 64 // size, R.shape[1] * size, which.shape[1] - n_products
    _turn(one, which, n_linear, 0 if of_pairs > 0 else n_products, Y, turned, b)
    _look_ahead(one, R, sums, some, k, of_pairs == 0)
    for first in range(0, k, GROUP):
        high, n_parts = min(GROUP, k - first), 0
        for j in range(high):
            counts[j] = 0
            if some[first + j]:
                counts[j] = _masks(one, R.ctypes.data + (first + j) * R_step, b, lanes, masks[j])
            n_parts += counts[j]
        if of_pairs > 0 or n_parts * _SPARSE <= high * b:
            for j in range(high):
                if counts[j] > 0:
                    n = _list(R[first + j], masks[j], scale, b, lanes, numbers, values)
                    own = sums[first + j]
                    if of_pairs > 0:
                        add_listed_pairs(one, values, numbers, turned, own, n_linear - 1, n)
                    _add_listed(one, values, numbers, turned, own[of_pairs:], lanes, n)
        else:
            if scale is not None:
                _scale(R[first : first + high], scale, b)
            _add_dense(one, R, first, turned, sums, lanes, b)


@compiled
def _look_ahead(one: Any, R: Any, sums: Any, some: Any, k: int, asks: bool) -> None:
    """Which components have a part in the panel; their sums are asked for where that pays.

    The sums of 1,024 components with 128 features take half the second cache, which η and R fill.
    """
    R_step, sums_step = R.shape[1] * R.itemsize, sums.shape[1] * 8
    for j in range(k):
        some[j] = has_some(one, R.ctypes.data + j * R_step) != 0
        if asks and some[j]:
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
def _add_listed(
    one: Any, values: Any, numbers: Any, turned: Any, sums: Any, lanes: int, n: int
) -> None:
    """The rows in a list, to one component."""
    A, rows, C, v = values.ctypes.data, numbers.ctypes.data, sums.ctypes.data, 0
    B, B_step, n_vectors = turned.ctypes.data, turned.shape[1] * (64 // lanes), sums.size // lanes
    while v + _WIDE <= n_vectors:
        _chain_wide(one, A, rows, B + v * 64, B_step, C + v * lanes * 8, n)
        v += _WIDE
    while v < n_vectors:
        _chain_one(one, A, rows, B + v * 64, B_step, C + v * lanes * 8, n)
        v += 1


@compiled
def _add_dense(one: Any, R: Any, first: int, turned: Any, sums: Any, lanes: int, b: int) -> None:
    """All rows, to a group of components."""
    B, B_step = turned.ctypes.data, turned.shape[1] * R.itemsize
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
