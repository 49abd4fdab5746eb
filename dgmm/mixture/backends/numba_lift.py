"""Moments of observed features lifted to all features, compiled: component by component, in place.

With A = [I; B] for the regression B of missing features on observed ones, M₁ = A m₁ and
M₂ = A m₂ Aᵀ + n C (`dgmm.mixture.covariance.marginals`). Matrices are small, so that a library's
product takes longer to call than to make.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dgmm.mixture.backends.numba_cache import compiled


@compiled
def _unpack(packed: Any, q: int, S: Any) -> None:
    """The symmetric matrix S (q, q) of an upper triangle, row by row."""
    at = 0
    for i in range(q):
        for j in range(i, q):
            S[i * q + j] = packed[at]
            S[j * q + i] = packed[at]
            at += 1


@compiled
def _recentre(S: Any, first: Any, count: Any, point: Any, half: Any) -> None:
    """S − c M₁ᵀ − M₁ cᵀ + n c cᵀ, about the point c."""
    q = point.size
    for i in range(q):
        half[i] = first[i] - 0.5 * count * point[i]
    for i in range(q):
        row, c, h = S[i * q : (i + 1) * q], point[i], half[i]
        for j in range(q):
            row[j] -= c * half[j] + h * point[j]


@compiled
def _lift_first(first: Any, count: Any, point: Any, B: Any, places: Any, out: Any) -> None:
    """Add A m₁ to `out` (d,), for m₁ about the point, or as it is where there is none."""
    observed, missing = places
    q = observed.size
    own = np.empty(q)
    for i in range(q):
        own[i] = first[i] - count * point[i] if point.size else first[i]
        out[observed[i]] += own[i]
    for i in range(missing.size):
        expected = 0.0
        for j in range(q):
            expected += B[i, j] * own[j]
        out[missing[i]] += expected


@compiled
def _lift_second(blocks: Any, q: int, count: Any, B: Any, C: Any) -> None:
    """B S and B S Bᵀ + n C behind S (q, q), the first of the blocks."""
    m = len(B)
    turned = np.empty((q, m))
    for i in range(m):
        for j in range(q):
            turned[j, i] = B[i, j]
    for i in range(m):
        at = q * q + i * q
        across = blocks[at : at + q]
        across[:] = 0.0
        for t in range(q):
            factor, row = B[i, t], blocks[t * q : (t + 1) * q]
            for j in range(q):
                across[j] += factor * row[j]
        at = q * (q + m) + i * m
        within = blocks[at : at + m]
        for j in range(m):
            within[j] = count * C[i, j]
        for t in range(q):
            factor, row = across[t], turned[t]
            for j in range(m):
                within[j] += factor * row[j]


@compiled
def lift_sums(
    sums: Any,
    scatter: Any,
    points: Any,
    regression: Any,
    covariance: Any,
    places: Any,
    out: Any,
    out_scatter: Any,
) -> None:
    """Add lifted sums (k, p) and scatter to those of all features.

    Second moments are those of `scatter`, of all components together, where it has any numbers.
    `places` are the observed features, the missing ones, and where entries of the triangle stand.
    """
    observed, missing, order = places
    q, d, k = observed.size, observed.size + missing.size, len(sums)
    is_pooled = scatter.size > 0
    width, out_width = (0, 0) if is_pooled else (q * (q + 1) // 2, order.size)
    blocks, half = np.empty(q * q + d * missing.size), np.empty(q)
    n_matrices = 1 if is_pooled else k
    for g in range(n_matrices):
        packed = scatter if is_pooled else sums[g, :width]
        target = out_scatter if is_pooled else out[g, :out_width]
        _unpack(packed, q, blocks)
        total = 0.0
        for j in range(0 if is_pooled else g, k if is_pooled else g + 1):
            first, count = sums[j, width : width + q], sums[j, -1]
            point = points[j] if points.size else points.ravel()
            total += count
            if points.size:
                _recentre(blocks, first, count, point, half)
            of_all = out[j, out_width : out_width + d]
            _lift_first(first, count, point, regression[g], (observed, missing), of_all)
            out[j, out_width + d] += count
        _lift_second(blocks, q, total, regression[g], covariance[g])
        for t in range(order.size):
            target[t] += blocks[order[t]]
