"""The first product of an EM pass over a panel of rows, compiled: L = η Φ, and what Φ is made of.

No library's product serves: BLAS takes matrices from memory, and Φ would have to be written there.
A row of Φ is a row of Y = [y, 1, Σ y²], and read where it lies, or the product of two; with masked
features Y = [c∘y, c, 1, Σ y²] for the mask c of values that are there. Products
exist only as far as the first cache holds them: 64 rows of a panel for L, some rows of the row
panel for S. Sums stay in registers (`simd_intrinsics`) while their terms come from that cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends.moment_products import HIGH, ROW_PANEL, in_whole_rows
from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.numpy_backend import Tile
from dgmm.mixture.backends.simd_intrinsics import (
    lanes_of,
    multiplication,
    registers_hold_many,
    size_of,
)
from dgmm.mixture.backends.transpose_intrinsics import TRANSPOSE_SIZE

#: Rows of Φ in a panel, over which a log density is one chain.
PANEL = 64
#: Rows of Y that are no panel of their own.
_REST = 8
#: Panels made together: they stay in the first cache, and η is read once for all.
_PANELS = 2
#: Bytes of log densities that are held at a time, with what else the first cache holds.
_TILE_BYTES = 2**14
#: Vectors of columns of the smallest tile.
_TILE_VECTORS = 3
#: Features of a square of products.
_SQUARE = 16
#: Quadratic parts of φ that compiled code makes.
FORMS = ("none", "pairs", "squares", "norm", "masked squares", "masked norm")
_MASKED = "masked "


# Vectors of data rows in a panel, and components multiplied with them; no bit follows it.
_WIDE, _MANY, _FEW = (3, 8, 4) if registers_hold_many() else (1, 6, 3)

_form_many = multiplication(_MANY, _WIDE, forms=True)
_form_few = multiplication(_FEW, _WIDE, forms=True)
_many = multiplication(_MANY, _WIDE)
_few = multiplication(_FEW, _WIDE)


class Factors(NamedTuple):
    """What the p rows of Φ are made of, products first, then rows of Y from its first one on.

    Attributes
    ----------
    which : (2, p)
        The two rows of Y that each is the product of; one of a row of Y is 1.
    order : (p,)
        Which row of φ = [quadratic(y), y, 1] each is.
    n_products
        How many are more than a row of Y.
    """

    which: NDArray[np.int64]
    order: NDArray[np.int64]
    n_products: int


def is_masked(form: str) -> bool:
    """Whether a form has the mask of values that are there beside them."""
    return form.startswith(_MASKED)


def linear_rows(form: str, d: int) -> int:
    """Rows of Y before that of 1: features, and their masks where a form has them."""
    return 2 * d if is_masked(form) else d


@cache
def factors(form: str, d: int) -> Factors:
    """Those of a quadratic form: products in squares of features, whose rows stay in the cache."""
    y, one = np.arange(d), linear_rows(form, d)
    quadratic = form.removeprefix(_MASKED)
    i, j = {"pairs": np.triu_indices(d), "squares": (y, y)}.get(quadratic, (y[:0], y[:0]))
    squares = np.lexsort((j, i, j // _SQUARE, i // _SQUARE))
    has_norm = quadratic == "norm"
    rows = np.arange(one + 1 + has_norm)
    linear = np.where(rows > one, 0, rows + len(squares) + has_norm)  # in φ Σ y² is the first
    which = np.concatenate([[i[squares], j[squares]], [np.full_like(rows, one), rows]], axis=1)
    return Factors(which, np.concatenate([squares, linear]), len(squares))


def factors_of(form: str, d: int, p: int) -> Factors | None:
    """Those of a φ with p entries; None where compiled code knows no such form."""
    made = factors(form, d) if form in FORMS else None
    return made if made is not None and len(made.order) == p else None


def allocate_buffers(
    allocate: Callable[[str, int], Tile], d: int, k: int, p: int, dtype: np.dtype[Any]
) -> tuple[Tile, NDArray[np.float64], tuple[Tile, ...]]:
    """Arrays for the natural parameters, for the sums of moments, and for what a row panel needs.

    That is Y, L, a tile of it, R in groups, rows of Φ, panels, and rows of maxima and of sums. They
    begin as 0; columns and rows beyond those in use may hold anything later, and reach no result.
    Rows are a vector longer than a row panel: a power of two apart, they would share cache lines.
    Y ends with rows of 0 that a last group of moments reads, or a last square that is transposed.
    """
    shapes, begins = _row_panel(d, k, lanes_of(dtype.itemsize))
    memory = allocate("row panel", begins[-1])  # one for all: blocks may be small and many
    memory.fill(0.0)
    buffers = tuple(
        memory[begin : begin + math.prod(shape)].reshape(shape)
        for begin, shape in zip(begins, shapes, strict=False)
    )
    Y, L, *others = buffers
    Y[d] = 1.0
    columns = _tile_columns(len(L), dtype.itemsize)
    tile = L.reshape(-1)[: len(L) * columns].reshape(len(L), columns)
    groups = in_whole_groups(k)
    eta = allocate("eta", groups * p).reshape(groups, p)
    shape = in_whole_rows(p), in_whole(k, lanes_of(dtype.itemsize))
    sums = allocate("wide sums", math.prod(shape) * 8 // dtype.itemsize).view(np.float64)
    sums.fill(0.0)
    return eta, sums.reshape(shape), (Y, L, tile, *others)


def _tile_columns(height: int, itemsize: int) -> int:
    """Columns of a tile of L: all of a row panel, or a half or a quarter of them."""
    least = _TILE_VECTORS * lanes_of(itemsize)
    fits = [c for c in (ROW_PANEL, ROW_PANEL // 2) if c * height * itemsize <= _TILE_BYTES]
    return max([least, *fits])


@cache
def _row_panel(d: int, k: int, lanes: int) -> tuple[list[tuple[int, ...]], list[int]]:
    """Shapes of what a row panel needs, and where each begins in one array, at a line of cache."""
    step, whole, groups = ROW_PANEL + lanes, in_whole(k, lanes), in_whole_groups(k)
    more = max(HIGH, TRANSPOSE_SIZE)
    shapes: list[tuple[int, ...]] = [
        *((d + 1 + more, step), (max(whole, groups), step), (whole * ROW_PANEL,), (HIGH, step)),
        *((_PANELS * PANEL * _WIDE * lanes,), (step,), (step,)),
    ]
    begins = [0]
    for shape in shapes:
        begins.append(begins[-1] + in_whole(math.prod(shape), lanes))
    return shapes, begins


def in_whole_groups(k: int) -> int:
    """Rows of η for k components: whole groups of those that are multiplied together."""
    return in_whole(k, _FEW)


def in_whole(number: int, step: int) -> int:
    """The next multiple of a step."""
    return -(-number // step) * step


@compiled
def end_of_chain(first: int, n_products: int, p: int) -> int:
    """Where the chain of a log density that begins at row `first` of Φ ends.

    After a panel, or after the products: the next is read in another place. Few rows are one chain,
    and a rest of few rows of Y goes with the panel before it: a chain of two costs a tenth of all
    of 130, and L is read and written once more.
    """
    if first >= n_products and p - first <= PANEL + _REST:
        return p
    last = min(first + PANEL, p)
    return n_products if first < n_products < last and p > PANEL else last


@compiled
def log_prob(
    one: Any,
    eta: Any,
    which: Any,
    n_products: int,
    Y: Any,
    column: int,
    L: Any,
    panels: Any,
    b: int,
) -> None:
    """η Φ of b columns of Y, from `column` on, into L, and of those up to the end of a panel."""
    k, p = eta.shape
    size = size_of(one)
    Y_step = (ROW_PANEL + 64 // size) * size  # of every Y: a constant costs no register
    eta_step, width, L_step = p * size, 64 * _WIDE, L.shape[1] * size
    n_panels = -(-b * size // width)
    for begin in range(0, n_panels, _PANELS):
        end = min(begin + _PANELS, n_panels)
        first = 0
        while first < p:
            last = end_of_chain(first, n_products, p)
            n, is_made = last - first, first < n_products
            left = which.ctypes.data + 8 * first
            right = left + 8 * p
            for row in range(0, k, _MANY):
                A = eta.ctypes.data + row * eta_step + first * size
                is_many = row + _MANY <= k
                for i in range(begin, end):
                    y = Y.ctypes.data + column * size + i * width
                    B, B_step = panels.ctypes.data + (i - begin) * PANEL * width, width
                    if not is_made:
                        B, B_step = y + (first - n_products) * Y_step, Y_step
                    C = L.ctypes.data + row * L_step + i * width
                    if row == 0 and is_made:
                        of = (left, right, y, Y_step)
                        if is_many:
                            _form_many(one, A, eta_step, B, B_step, C, L_step, n, first, *of)
                        else:
                            _form_few(one, A, eta_step, B, B_step, C, L_step, n, first, *of)
                    elif is_many:
                        _many(one, A, eta_step, B, B_step, C, L_step, n, first, 0, 0, 0, 0)
                    else:
                        _few(one, A, eta_step, B, B_step, C, L_step, n, first, 0, 0, 0, 0)
            first = last
