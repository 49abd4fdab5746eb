"""The E-step of a block's rows, compiled: one call, one read of the rows."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from dgmm.mixture.backends.e_step_block import Block
from dgmm.mixture.backends.fused_products import (
    Factors,
    allocate_buffers,
    factors_of,
    is_masked,
    linear_rows,
    log_prob,
)
from dgmm.mixture.backends.moment_products import ROW_PANEL, moments, transposed
from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.numba_softmax import (
    PARTIAL_SUMS,
    add_log_prob,
    exponentiate,
    finish,
    sum_in_order,
)
from dgmm.mixture.backends.numba_steps import FLOATS, mask_features, squared_norms, standardise
from dgmm.mixture.backends.numpy_backend import LOG_FLOOR, Tile
from dgmm.mixture.backends.sparse_buffers import SparseBuffers
from dgmm.mixture.backends.sparse_moments import (
    add_sums,
    make_dense,
    sparse_moments,
    stays_sparse,
)

#: Logarithms L − max L at or below which a responsibility is 0 in the compiled E-step of blocks.
#: Above `LOG_FLOOR` in float64, so that those of separate clusters are 0 and moments leave them
#: out. Of 10¹² rows a component loses less than 6e-20 of a row, far below the rounding of its sums.
#: Tiles, centred rows and scores end at `LOG_FLOOR`.
E_STEP_FLOOR = {**LOG_FLOOR, np.dtype(np.float64): -72.0}


class _Prepared(NamedTuple):
    """What blocks of one form and size share, pass after pass.

    Attributes
    ----------
    form
        Whether φ has Σ y², whether features are masked, and the row of Y that is 1.
    made
        `Factors`, as a plain tuple.
    eta : (k, p)
        Natural parameters go here, in the order of the factors and in whole groups.
    wide, buffers
        As `allocate_buffers` makes them.
    sparse
        `SparseBuffers`, as a plain tuple.
    """

    form: tuple[bool, bool, int]
    made: tuple[Any, ...]
    eta: Tile
    wide: Tile
    buffers: tuple[Tile, ...]
    sparse: tuple[Tile, ...]

    @classmethod
    def of(cls, block: Block, made: Factors) -> Self:
        """For blocks like this one."""
        (k, p), d, dtype = block.eta.shape, block.rows.shape[1], block.eta.dtype
        one_row = linear_rows(block.form, d)
        eta, wide, buffers = allocate_buffers(block.allocate, one_row, k, p, dtype)
        eta[k:] = 0.0
        form = block.form.endswith("norm"), is_masked(block.form), one_row
        sparse = SparseBuffers.of(k, made, d, dtype)
        return cls(form, tuple(made), eta, wide, buffers, tuple(sparse))


@compiled
def _e_step(
    one: Any,
    floor: Any,
    rows: Any,
    factor: Any,
    offset: Any,
    prepared: Any,
    sums: Any,
    leaf_rows: int,
    log_likelihoods: Any,
    weights: Any,
) -> None:
    """Leaf by leaf; each begins with sums of 0, so that no bit follows how many go together."""
    for leaf in range(len(sums)):
        first, last = leaf * leaf_rows, min((leaf + 1) * leaf_rows, len(rows))
        own = rows[first:last], factor, offset, weights[first:last]
        log_likelihoods[leaf] = _leaf(one, floor, own, prepared, sums[leaf])


@compiled
def _weigh(scale: Any, weights: Any, start: int, b: int) -> None:
    """Multiply the scales of b columns by their weights, from `start` on, where there are any."""
    if weights.size > 0:
        for c in range(b):
            scale[c] *= weights[start + c]


@compiled
def _leaf(one: Any, floor: Any, leaf: Any, prepared: Any, sums: Any) -> float:
    """By row panels; returns Σ w log p, of partial sums of each panel whatever its tiles are."""
    rows, factor, offset, weights = leaf
    form, (which, order, n_products), eta, wide, buffers, sparse = prepared
    has_norm, masks, one_row = form
    Y, L, tile, R, Phi, panels, top, total = buffers
    (n, d), k, is_sparse = rows.shape, len(sums), sparse[0].size > 0
    log_likelihood, partial = 0.0, np.zeros(PARTIAL_SUMS)
    if is_sparse:
        sparse[0][:] = 0.0  # `wide` is written where the block becomes dense
    else:
        wide[:] = 0.0
    for start in range(0, n, ROW_PANEL):
        b = min(ROW_PANEL, n - start)
        standardise(rows[start : start + b], factor, offset, Y)
        if masks:
            mask_features(Y, d, b)
        if has_norm:
            squared_norms(Y, d, one_row + 1, b)
        # All columns at once where responsibilities may be sparse, else as the first cache holds.
        held = L if is_sparse else tile
        for column in range(0, b, held.shape[1]):
            width, begin = min(held.shape[1], b - column), start + column
            log_prob(one, eta, which, n_products, Y, column, held, panels, width)
            exponentiate(floor, held, k, width, top, total)
            finish(one, width, top, total)
            add_log_prob(top, weights, begin, width, partial)
            _weigh(total, weights, begin, width)
            if is_sparse and not stays_sparse(one, held, sparse, k, width, start == 0):
                is_sparse = False
                make_dense(sparse, wide, k)
            if is_sparse:
                sparse_moments(one, which, n_products, Y, held, sparse, k, width, total)
            else:
                transposed(one, held, R, width, total, column)
        log_likelihood += sum_in_order(partial)
        partial[:] = 0.0
        if not is_sparse:
            moments(one, which, n_products, Y, R, Phi, wide, b)
    add_sums(order, wide, sparse, is_sparse, sums)
    return log_likelihood


def e_step(block: Block) -> bool:
    """Do a block, outside Python's lock; False where the form of φ is not known."""
    (k, p), d, dtype = block.eta.shape, block.rows.shape[1], block.eta.dtype
    if (made := factors_of(block.form, d, p)) is None:
        return False
    prepared = block.latest((block.form, k, p, d, dtype), lambda: _Prepared.of(block, made))
    # Other modes than this copy it first.
    np.take(block.eta, made.order, axis=1, out=prepared.eta[:k], mode="clip")
    stored = block.rows.dtype
    rows = np.ascontiguousarray(block.rows, stored if stored in FLOATS else np.float64)
    weights = np.empty(0) if block.weights is None else block.weights
    one, floor = dtype.type(1.0), dtype.type(E_STEP_FLOOR[dtype])
    of_rows = _read_only(rows), block.factor, block.offset, tuple(prepared)
    _e_step(
        one,
        floor,
        *of_rows,
        block.sums,
        block.leaf_rows,
        block.log_likelihoods,
        _read_only(weights),
    )
    return True


def _read_only(array: Tile) -> Tile:
    """A view: cached rows are read only, others are not, and Numba would compile twice for both."""
    view = array.view()
    view.flags.writeable = False
    return view
