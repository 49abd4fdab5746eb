"""What some features tell of the others, compiled: for patterns of missing values.

With the observed features first, Σ = RᵀR of upper triangular R = [[P, Q], [0, ·]]: U = P⁻¹ has
Σ_oo⁻¹ = U Uᵀ, B = Σ_mo Σ_oo⁻¹ = (U Q)ᵀ, and C = Σ_mm − QᵀQ. All loops run along rows, which lie one
behind the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dgmm.mixture.backends.numba_cache import compiled


@compiled
def places_of(observed: Any, missing: Any, places: Any) -> None:
    """Where the entries of a triangle stand in blocks oo, mo and mm, one behind the other."""
    q, m = observed.size, missing.size
    d = q + m
    own = np.empty(d, np.int64)
    for i in range(q):
        own[observed[i]] = i
    for i in range(m):
        own[missing[i]] = q + i
    at = 0
    for i in range(d):
        for j in range(i, d):
            low, high = min(own[i], own[j]), max(own[i], own[j])
            if high < q:
                places[at] = own[i] * q + own[j]
            elif low < q:
                places[at] = q * high + low
            else:
                places[at] = q * d + (own[i] - q) * m + own[j] - q
            at += 1


@compiled
def _take(covariance: Any, observed: Any, missing: Any, R: Any) -> None:
    """The upper triangle of a covariance, observed features first."""
    q, d = observed.size, len(R)
    for i in range(d):
        source = covariance[observed[i] if i < q else missing[i - q]]
        row = R[i]
        for j in range(i, d):
            row[j] = source[observed[j] if j < q else missing[j - q]]


@compiled
def _eliminate(R: Any, q: int, least: Any) -> bool:
    """P and Q in the first q rows, C in the upper triangle of the others; False where singular.

    A pivot is then at most `least` of its diagonal entry.
    """
    d = len(R)
    for i in range(q):
        row = R[i]
        variance = row[i]
        for t in range(i):
            above = R[t]
            factor = above[i]
            for j in range(i, d):
                row[j] -= factor * above[j]
        if not row[i] > least * variance:
            return False
        inverse = 1.0 / np.sqrt(row[i])
        for j in range(i, d):
            row[j] *= inverse
    for i in range(q, d):
        row = R[i]
        for t in range(q):
            above = R[t]
            factor = above[i]
            for j in range(i, d):
                row[j] -= factor * above[j]
    return True


@compiled
def _invert(R: Any, U: Any) -> None:
    """U = P⁻¹, from its last row up."""
    q = len(U)
    for i in range(q - 1, -1, -1):
        row, source = U[i], R[i]
        row[:] = 0.0
        for t in range(i + 1, q):
            factor, below = source[t], U[t]
            for j in range(t, q):
                row[j] -= factor * below[j]
        inverse = 1.0 / source[i]
        row[i] = 1.0
        for j in range(i, q):
            row[j] *= inverse


@compiled
def _regress(R: Any, U: Any, B: Any) -> None:
    """B = (U Q)ᵀ."""
    m, q = B.shape
    own = np.empty(m)
    for i in range(q):
        own[:] = 0.0
        for t in range(i, q):
            factor, row = U[i, t], R[t, q:]
            for j in range(m):
                own[j] += factor * row[j]
        for j in range(m):
            B[j, i] = own[j]


@compiled
def condition(covariances: Any, features: Any, least: Any, U: Any, B: Any, C: Any) -> None:
    """U, B and C of each covariance (k, d, d); NaN where that of the observed ones is singular."""
    observed, missing = features
    q, m, d = observed.size, missing.size, observed.size + missing.size
    R = np.empty((d, d))
    for k in range(len(covariances)):
        _take(covariances[k], observed, missing, R)
        if not _eliminate(R, q, least):
            U[k], B[k], C[k] = np.nan, np.nan, np.nan
            continue
        _invert(R, U[k])
        _regress(R, U[k], B[k])
        for i in range(m):
            for j in range(i, m):
                C[k, i, j] = C[k, j, i] = R[q + i, q + j]
