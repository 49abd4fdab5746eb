"""Labels, posteriors and log densities of a block's rows, compiled: one call, one read of the rows.

L = η Φ is the product of the E-step. With x = L − max L and s = Σ e^x, the largest posterior is 1/s
and the entropy of a row log s − Σ x e^x / s: exponentials are kept only where all posteriors are
wanted, and no second logarithm is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends.fused_products import (
    allocate_buffers,
    factors_of,
    log_prob,
)
from dgmm.mixture.backends.moment_products import ROW_PANEL
from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.numba_steps import FLOATS, squared_norms, standardise
from dgmm.mixture.backends.scoring_block import ScoringBlock
from dgmm.mixture.backends.simd_intrinsics import registers_hold_many
from dgmm.mixture.backends.softmax_intrinsics import FINISHED, finish_scores, scores
from dgmm.mixture.backends.whitened_squares import HEIGHT, half_squares, in_whole_groups

_FLOAT64 = np.dtype(np.float64)
#: Rows of the buffer of row-wise numbers: maxima, labels, Σ e^x, Σ x e^x, common terms.
_MAXIMUM, _LABEL, _SUM, _DOT, _COMMON = range(5)
#: Vectors of columns that go together; no bit follows it. They divide a row panel.
_VECTORS = 4 if registers_hold_many() else 1
_sums = scores(_VECTORS, stores=False)
_exponentials = scores(_VECTORS, stores=True)


@compiled
def _are_within(radii: Any, b: int, largest: Any) -> bool:
    """Whether no radius is above the largest allowed, or NaN."""
    within = True
    for c in range(b):
        within = within and radii[c] <= largest
    return within


@compiled
def _write_posteriors(
    E: Any, inverse: Any, k: int, b: int, start: int, posteriors: Any, places: Any
) -> None:
    """E (k, b) over its sums, rows first, into their places."""
    for c in range(b):
        row = posteriors[places[start + c] if places.size else start + c]
        for j in range(k):
            row[j] = E[j, c] * inverse[c]


@compiled
def _normalise(one: Any, L: Any, k: int, b: int, values: Any, stores: bool) -> None:
    """Log-sum-exp, label, 1/Σ e^x and entropy of b columns of L, and of some more.

    e^x takes the place of L where it is stored.
    """
    step, values_step = L.shape[1] * 8, values.shape[1] * 8
    first = values.ctypes.data
    for begin in range(0, b * 8, 64 * _VECTORS):
        top = first + _MAXIMUM * values_step + begin
        label = first + _LABEL * values_step + begin
        total = first + _SUM * values_step + begin
        dot = first + _DOT * values_step + begin
        if stores:
            _exponentials(one, L.ctypes.data + begin, step, k, top, label, total, dot)
        else:
            _sums(one, L.ctypes.data + begin, step, k, top, label, total, dot)
    for begin in range(0, b * 8, FINISHED * 8):
        top = first + _MAXIMUM * values_step + begin
        total = first + _SUM * values_step + begin
        finish_scores(one, top, total, first + _DOT * values_step + begin)


@compiled
def _write(b: int, values: Any, labels: Any, max_posterior: Any, density: Any) -> float:
    """Results of b rows, and the sum of their entropies."""
    lse, label, inverse = values[_MAXIMUM], values[_LABEL], values[_SUM]
    common, entropies = values[_COMMON], values[_DOT]
    entropy = 0.0
    for c in range(b):
        labels[c] = int(label[c])
    for c in range(b):
        max_posterior[c] = inverse[c]
    for c in range(b):
        density[c] = lse[c] + common[c]
    for c in range(b):
        entropy += entropies[c]
    return entropy


@compiled
def _score(
    one: Any,
    rows: Any,
    scaling: Any,
    made: Any,
    eta: Any,
    k: Any,
    whitening: Any,
    buffers: Any,
    largest: Any,
    found: Any,
    posteriors: Any,
    places: Any,
    left: Any,
) -> float:
    """Score panel after panel of rows; the entropy of those that are not `left`."""
    n, d = rows.shape
    factor, offset = scaling
    which, n_products = made
    W, ends = whitening
    labels, max_posterior, log_density = found
    Y, L, Z, panels, values = buffers
    entropy = 0.0
    for start in range(0, n, ROW_PANEL):
        b = min(ROW_PANEL, n - start)
        standardise(rows[start : start + b], factor, offset, Y)
        squared_norms(Y, d, d + 1, b)
        if not _are_within(Y[d + 1], b, largest):
            left[start : start + b] = True
            continue
        log_prob(one, eta, which, n_products, Y, 0, L, panels, b)
        stop = start + b
        _normalise(one, L, k, b, values, posteriors.shape[0] > 0)
        if ends.size:
            half_squares(one, W, ends, Y, Z, values[_COMMON], b)
        found_here = labels[start:stop], max_posterior[start:stop], log_density[start:stop]
        entropy += _write(b, values, *found_here)
        if posteriors.shape[0]:
            _write_posteriors(L, values[_SUM], k, b, start, posteriors, places)
    return entropy


def score(block: ScoringBlock) -> tuple[float, NDArray[np.bool_]] | None:
    """Score a block outside Python's lock.

    Parameters
    ----------
    block
        What is read, and where results go.

    Returns
    -------
    The entropy of the rows that are done, and the mask (n,) of rows that are not, because the
    product form is not exact enough there; None where the form of φ is not known.
    """
    (k, p), (n, d) = block.eta.shape, block.rows.shape
    if (made := factors_of(block.form, d, p)) is None:
        return None
    rows = np.ascontiguousarray(block.rows, None if block.rows.dtype in FLOATS else _FLOAT64)
    eta, _, (Y, L, _, _, _, panels, _, _) = allocate_buffers(block.allocate, d, k, p, _FLOAT64)
    np.take(block.eta, made.order, axis=1, out=eta[:k], mode="clip")
    eta[k:] = 0.0
    none = np.empty((0, 0), np.float32)
    whitening = np.empty((0, 0)), np.empty(0, np.int64)
    if block.whitening is not None:
        whitening = in_whole_groups(block.whitening)
    Z = np.zeros((HEIGHT, L.shape[1]))
    values = np.zeros((_COMMON + 1, L.shape[1]))
    left = np.zeros(n, np.bool_)
    entropy = _score(
        *(_FLOAT64.type(1.0), rows, (block.factor, block.offset)),
        (made.which, made.n_products),
        *(eta, k, whitening, (Y, L, Z, panels, values), float(block.largest_radius)),
        (block.labels, block.max_posterior, block.log_density),
        none if block.posteriors is None else block.posteriors,
        np.empty(0, np.int64) if block.places is None else block.places,
        left,
    )
    return entropy, left
