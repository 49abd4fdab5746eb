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
from dgmm.mixture.backends.listed_moments import (
    add_sums,
    listed_buffers,
    listed_moments,
    stays_listed,
)
from dgmm.mixture.backends.moment_products import ROW_PANEL, moments, transposed
from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.numba_softmax import add_by_lanes, exponentiate, finish, sum_of_lanes
from dgmm.mixture.backends.numba_steps import FLOATS, mask_features, squared_norms, standardise
from dgmm.mixture.backends.numpy_backend import E_STEP_FLOOR, Tile
from dgmm.mixture.backends.softmax_intrinsics import FINISHED


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
    wide, buffers, listed
        As `allocate_buffers` and `listed_buffers` make them.
    """

    form: tuple[bool, bool, int]
    made: tuple[Any, ...]
    eta: Tile
    wide: Tile
    buffers: tuple[Tile, ...]
    listed: tuple[Tile, ...]

    @classmethod
    def of(cls, block: Block, made: Factors) -> Self:
        """For blocks like this one."""
        (k, p), d, dtype = block.eta.shape, block.rows.shape[1], block.eta.dtype
        one_row = linear_rows(block.form, d)
        eta, wide, buffers = allocate_buffers(block.allocate, one_row, k, p, dtype)
        eta[k:] = 0.0
        form = block.form.endswith("norm"), is_masked(block.form), one_row
        return cls(form, tuple(made), eta, wide, buffers, listed_buffers(k, made, d, dtype))


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
    totals: Any,
    weights: Any,
) -> None:
    """Leaf by leaf; each begins with sums of 0, so that no bit follows how many go together."""
    form, made, eta, wide, buffers, listed = prepared
    for leaf in range(len(sums)):
        first, last = leaf * leaf_rows, min((leaf + 1) * leaf_rows, len(rows))
        (listed[0] if listed[0].size > 0 else wide)[:] = 0.0
        totals[leaf] = _leaf(
            one,
            floor,
            rows[first:last],
            factor,
            offset,
            form,
            made,
            eta,
            wide,
            buffers,
            listed,
            sums[leaf],
            weights[first:last],
        )


@compiled
def _leaf(
    one: Any,
    floor: Any,
    rows: Any,
    factor: Any,
    offset: Any,
    form: Any,
    made: Any,
    eta: Any,
    wide: Any,
    buffers: Any,
    listed: Any,
    sums: Any,
    weights: Any,
) -> float:
    """By row panels; `eta` and `wide`, the sums, are in the order of the factors `made`.

    Returns Σ w log p, of eight sums a panel, whose order follows no tile.
    """
    n, d = rows.shape
    which, order, n_products = made
    has_norm, masks, one_row = form
    Y, L, tile, R, Phi, panels, top, total = buffers
    k, is_listed = len(sums), listed[0].size > 0
    log_likelihood, lanes = 0.0, np.zeros(FINISHED)
    for start in range(0, n, ROW_PANEL):
        b = min(ROW_PANEL, n - start)
        standardise(rows[start : start + b], factor, offset, Y)
        if masks:
            mask_features(Y, d, b)
        if has_norm:
            squared_norms(Y, d, one_row + 1, b)
        # All columns at once where responsibilities may be listed, else as the first cache holds.
        held = L if is_listed else tile
        for column in range(0, b, held.shape[1]):
            width, begin = min(held.shape[1], b - column), start + column
            log_prob(one, eta, which, n_products, Y, column, held, panels, width)
            exponentiate(floor, held, k, width, top, total)
            finish(one, width, top, total)
            add_by_lanes(top, weights, begin, width, lanes)
            if weights.size > 0:
                for c in range(width):
                    total[c] *= weights[begin + c]
            is_listed = is_listed and stays_listed(one, held, listed, wide, k, width, start == 0)
            if is_listed:
                listed_moments(one, which, n_products, Y, held, listed, k, width, total)
            else:
                transposed(one, held, R, width, total, column)
        log_likelihood += sum_of_lanes(lanes)
        if not is_listed:
            moments(one, which, n_products, Y, R, Phi, wide, b)
    add_sums(order, wide, listed[0], listed[1], is_listed, sums)
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
    # Cached rows are read only, others are not: Numba would compile twice, in workers too.
    rows = rows.view()
    rows.flags.writeable = False
    weights = np.empty(0) if block.weights is None else block.weights
    one, floor = dtype.type(1.0), dtype.type(E_STEP_FLOOR[dtype])
    of_rows = rows, block.factor, block.offset, tuple(prepared)
    _e_step(one, floor, *of_rows, block.sums, block.leaf_rows, block.totals, weights)
    return True
