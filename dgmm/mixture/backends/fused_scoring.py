"""Labels, posteriors and log densities of a block's rows, compiled: one call, one read of the rows.

L = η Φ is the product of the E-step. With x = L − max L and s = Σ exp x, the largest posterior is
1/s and the entropy of a row log s − Σ x exp x / s: posteriors are formed only where all of them are
wanted, and no second logarithm is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends.fused_products import (
    ROW_PANEL,
    allocate_buffers,
    factors,
    factors_of,
    in_whole_groups,
    log_prob,
)
from dgmm.mixture.backends.numba_cache import compiled
from dgmm.mixture.backends.numba_steps import FLOATS, apply_ufunc, squared_norms, standardise
from dgmm.mixture.backends.numpy_backend import lowest
from dgmm.mixture.backends.scoring_block import ScoringBlock

_FLOAT64 = np.dtype(np.float64)
#: Rows of the buffer of row-wise numbers: maxima, labels, Σ exp x, Σ x exp x, common terms.
_MAXIMUM, _LABEL, _SUM, _DOT, _COMMON = range(5)


@compiled
def _clear(A: Any) -> None:
    """Set A to 0."""
    for j in range(A.shape[0]):
        for c in range(A.shape[1]):
            A[j, c] = 0.0


@compiled
def _maxima(L: Any, k: int, b: int, top: Any, label: Any) -> None:
    """The largest of each column and where it stands, the first of equals; NaN is passed over."""
    for c in range(b):
        top[c] = L[0, c]
        label[c] = 0.0
    for j in range(1, k):
        row, number = L[j, :b], float(j)
        for c in range(row.size):
            is_more = row[c] > top[c]
            top[c] = row[c] if is_more else top[c]
            label[c] = number if is_more else label[c]


@compiled
def _subtract(L: Any, k: int, b: int, top: Any, floor: Any) -> None:
    """x = L − max L, at least `floor`."""
    for j in range(k):
        row = L[j, :b]
        for c in range(row.size):
            x = row[c] - top[c]
            row[c] = max(x, floor)


@compiled
def _sums(X: Any, E: Any, k: int, b: int, total: Any, dot: Any, least: Any) -> None:
    """Σ e and Σ x e over components; what is not above `least` is 0."""
    for c in range(b):
        total[c] = 0.0
        dot[c] = 0.0
    for j in range(k):
        x, e = X[j, :b], E[j, :b]
        for c in range(x.size):
            value = e[c] * 0.0 if e[c] <= least else e[c]
            e[c] = value
            total[c] += value
            dot[c] += value * x[c]


@compiled
def _half_squares(Z: Any, d: int, b: int, out: Any) -> None:
    """−½ Σ z² of each column."""
    for c in range(b):
        out[c] = 0.0
    for i in range(d):
        row = Z[i, :b]
        for c in range(row.size):
            out[c] -= 0.5 * row[c] * row[c]


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
def _normalise(
    exp: Any, log: Any, lows: Any, L: Any, E: Any, k: int, b: int, values: Any, density: Any
) -> None:
    """Maxima, labels, Σ e and Σ x e of each column of L, and log Σ e as its density."""
    words = np.empty(5, np.int64)
    _maxima(L, k, b, values[_MAXIMUM], values[_LABEL])
    _subtract(L, k, b, values[_MAXIMUM], lows[0])
    apply_ufunc(exp, L, E, k * L.shape[1], words)
    _sums(L, E, k, b, values[_SUM], values[_DOT], lows[1])
    for c in range(b):
        density[c] = values[_SUM, c]
    apply_ufunc(log, density, density, b, words)


@compiled
def _finish(
    b: int, values: Any, labels: Any, max_posterior: Any, density: Any, entropy: float
) -> float:
    """Results of b rows; 1/Σ e in place of Σ e, and the entropy with theirs added row by row."""
    top, total, dot = values[_MAXIMUM], values[_SUM], values[_DOT]
    for c in range(b):
        labels[c] = int(values[_LABEL, c])
        inverse = 1.0 / total[c]
        max_posterior[c] = inverse
        entropy += density[c] - dot[c] * inverse
        total[c] = inverse
        density[c] += top[c] + values[_COMMON, c]
    return entropy


@compiled
def _score(
    one: Any,
    exp: Any,
    log: Any,
    lows: Any,
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
    which, linear, n_products = made
    labels, max_posterior, log_density = found
    Y, L, E, Z, panels, values = buffers
    entropy = 0.0
    for start in range(0, n, ROW_PANEL):
        b = min(ROW_PANEL, n - start)
        standardise(rows[start : start + b], factor, offset, Y)
        squared_norms(Y, d, d + 1, b)
        if not _are_within(Y[d + 1], b, largest):
            left[start : start + b] = True
            continue
        _clear(L)
        log_prob(one, eta, which, n_products, Y, L, panels, b)
        density = log_density[start : start + b]
        _normalise(exp, log, lows, L, E, k, b, values, density)
        if whitening.shape[0]:
            _clear(Z)
            log_prob(one, whitening, linear, 0, Y, Z, panels, b)
            _half_squares(Z, d, b, values[_COMMON])
        entropy = _finish(b, values, labels[start:], max_posterior[start:], density, entropy)
        if posteriors.shape[0]:
            _write_posteriors(E, values[_SUM], k, b, start, posteriors, places)
    return entropy


def score(
    block: ScoringBlock, loops: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[float, NDArray[np.bool_]] | None:
    """Score a block outside Python's lock.

    Parameters
    ----------
    block
        What is read, and where results go.
    loops
        NumPy's exp and log (`numpy_ufunc_loops`).

    Returns
    -------
    The entropy of the rows that are done, and the mask (n,) of rows that are not, because the
    product form is not exact enough there; None where the form of φ is not known.
    """
    (k, p), (n, d) = block.eta.shape, block.rows.shape
    if (made := factors_of(block.form, d, p)) is None:
        return None
    rows = np.ascontiguousarray(block.rows, None if block.rows.dtype in FLOATS else _FLOAT64)
    eta, _, (Y, L, _, _, panels, _, _) = allocate_buffers(block.allocate, d, k, p, _FLOAT64)
    np.take(block.eta, made.order, axis=1, out=eta[:k], mode="clip")
    eta[k:] = 0.0
    whitening, Z = _whitening(block, L.shape[1])
    E = block.allocate("exponentials", L.size).reshape(L.shape)
    values = np.zeros((_COMMON + 1, L.shape[1]))
    left = np.zeros(n, np.bool_)
    none = np.empty((0, 0), np.float32)
    entropy = _score(
        *(_FLOAT64.type(1.0), *loops, lowest(_FLOAT64), rows, (block.factor, block.offset)),
        (made.which, factors("none", d).which, made.n_products),
        *(eta, k, whitening, (Y, L, E, Z, panels, values), float(block.largest_radius)),
        (block.labels, block.max_posterior, block.log_density),
        none if block.posteriors is None else block.posteriors,
        np.empty(0, np.int64) if block.places is None else block.places,
        left,
    )
    return entropy, left


def _whitening(block: ScoringBlock, step: int) -> tuple[Any, Any]:
    """W with a column of 0 for the constant and rows up to a whole group, and a buffer for W Y."""
    if block.whitening is None:
        return np.empty((0, 0)), np.empty((0, 0))
    d = len(block.whitening)
    height = in_whole_groups(d)
    W = np.zeros((height, d + 1))
    W[:d, :d] = block.whitening
    return W, block.allocate("whitened", height * step).reshape(height, step)
