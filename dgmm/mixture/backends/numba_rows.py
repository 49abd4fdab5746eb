"""What rows lack, row by row, compiled: for patterns that few rows have.

In precision form, of deviations D that are 0 where a value is missing: with v = Λ D, C = Λ_mm⁻¹ and
z = C v_m, what is missing is expected at −z with covariance C, and
D_oᵀ Σ_oo⁻¹ D_o = Dᵀv − v_mᵀz, log det Σ_oo⁻¹ = log det Λ − log det Λ_mm. Nothing of size q × q is
factored.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dgmm.mixture.backends.numba_cache import compiled

#: A product of reciprocal pivots outside goes into the sum of logarithms before it underflows.
_LEAST, _MOST = 1e-100, 1e100


@compiled
def _factor(precision: Any, missing: Any, first: int, m: int, L: Any) -> Any:
    """Lower Cholesky factor of Λ_mm into L, its diagonal as reciprocals; log of their product."""
    product, total = 1.0, 0.0
    for i in range(m):
        source = precision[missing[first + i]]
        for j in range(i + 1):
            value = source[missing[first + j]]
            for t in range(j):
                value -= L[i, t] * L[j, t]
            if i == j:
                L[i, i] = 1.0 / np.sqrt(value)
                product *= L[i, i]
                if product < _LEAST or product > _MOST:
                    total += np.log(product)
                    product = 1.0
            else:
                L[i, j] = value * L[j, j]
    return total + np.log(product)


@compiled
def _invert(L: Any, m: int, C: Any, at: int) -> None:
    """C = (L Lᵀ)⁻¹, the lower triangle row by row from `at` on; L becomes its own inverse."""
    for j in range(m):
        for i in range(j + 1, m):
            value = 0.0
            for t in range(j, i):
                value -= L[i, t] * L[t, j]
            L[i, j] = value * L[i, i]
    for i in range(m):
        for j in range(i + 1):
            value = 0.0
            for t in range(i, m):
                value += L[t, i] * L[t, j]
            C[at] = value
            at += 1


@compiled
def expect_missing(
    precision: Any, missing: Any, starts: Any, E: Any, V: Any, distances: Any, logs: Any, C: Any
) -> None:
    """Fill in expected deviations −z (d, b), and take v_mᵀz from the distances (b,).

    Row i lacks features missing[starts[i] : starts[i + 1]]. `logs` (b,) gets −½ log det Λ_mm, and
    C (·,) the lower triangles of what is uncertain, one behind the other.
    """
    d, b = E.shape
    L, at = np.empty((d, d)), 0
    for i in range(b):
        first = starts[i]
        m = starts[i + 1] - first
        logs[i] = _factor(precision, missing, first, m, L)
        _invert(L, m, C, at)
        for s in range(m):
            z = 0.0
            for t in range(m):
                low, high = min(s, t), max(s, t)
                z += C[at + high * (high + 1) // 2 + low] * V[missing[first + t], i]
            E[missing[first + s], i] = -z
            distances[i] -= V[missing[first + s], i] * z
        at += m * (m + 1) // 2


@compiled
def add_uncertain(R: Any, missing: Any, starts: Any, C: Any, second: Any) -> None:
    """Add r C of each row to the upper triangle of `second` (d, d), or of what it becomes."""
    at = 0
    for i in range(R.size):
        first, r = starts[i], R[i]
        for s in range(starts[i + 1] - first):
            for t in range(s + 1):
                second[missing[first + t], missing[first + s]] += r * C[at]
                at += 1
