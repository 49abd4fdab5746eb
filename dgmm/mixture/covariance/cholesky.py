"""Precision Cholesky factors: U with Λ = Σ⁻¹ = U Uᵀ, for stacks of matrices, by NumPy alone.

Mixing NumPy's and SciPy's copies of OpenBLAS would tie the bits to two libraries instead of one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SMALL = 32
_EPSILON = float(np.finfo(np.float64).eps)


def inverse_lower(L: Array) -> Array:
    """Inverse of lower triangular matrices (…, d, d), by halves.

    [[A, 0], [B, C]]⁻¹ = [[A⁻¹, 0], [−C⁻¹ B A⁻¹, C⁻¹]]; below 32 rows by forward substitution
    (Higham, *Accuracy and Stability of Numerical Algorithms*, §14.2).
    """
    d = L.shape[-1]
    X = np.zeros_like(L)
    if d <= _SMALL:
        for i in range(d):
            row = -(L[..., i : i + 1, :i] @ X[..., :i, :])
            row[..., 0, i] += 1.0
            X[..., i, :] = row[..., 0, :] / L[..., i, i, None]
        return X
    h = d // 2
    X[..., :h, :h] = inverse_lower(L[..., :h, :h])
    X[..., h:, h:] = inverse_lower(L[..., h:, h:])
    X[..., h:, :h] = -(X[..., h:, h:] @ (L[..., h:, :h] @ X[..., :h, :h]))
    return X


def lower_factors(covariances: Array) -> Array:
    """Lower Cholesky factors of (k, d, d); NaN where a matrix is numerically singular.

    Singular means that a pivot is at most d·ε of its diagonal entry: what is left of a variance
    after the other features have explained theirs is then rounding.
    """
    try:
        L = np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        L = np.stack([_factor_or_nan(C) for C in covariances])
    d = covariances.shape[-1]
    pivots = L.diagonal(axis1=1, axis2=2) ** 2
    are_sound = pivots > d * _EPSILON * covariances.diagonal(axis1=1, axis2=2)
    if not are_sound.all():
        L[~are_sound.all(axis=1)] = np.nan
    return np.asarray(L, dtype=np.float64)


def _factor_or_nan(covariance: Array) -> Array:
    try:
        return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.full_like(covariance, np.nan)


def log_factors(covariances: Array) -> Array:
    """Lower factors L (k, d, d) of Σ = L Lᵀ with logarithms on the diagonal: any real numbers."""
    values = lower_factors(covariances)
    diagonal = np.arange(values.shape[-1])
    values[:, diagonal, diagonal] = np.log(values[:, diagonal, diagonal])
    return values


def covariances_of_log_factors(values: Array) -> Array:
    """L Lᵀ for factors as `log_factors` gives them."""
    L = values.copy()
    diagonal = np.arange(L.shape[-1])
    L[:, diagonal, diagonal] = np.exp(L[:, diagonal, diagonal])
    return np.asarray(L @ np.swapaxes(L, 1, 2))


def precisions_cholesky(covariances: Array) -> Array:
    """Upper factors U (k, d, d) with Σ⁻¹ = U Uᵀ; NaN where Σ is numerically singular."""
    return np.ascontiguousarray(np.swapaxes(inverse_lower(lower_factors(covariances)), 1, 2))


def upper_factors(factors: Array) -> Array | None:
    """Upper triangular U with U Uᵀ = F Fᵀ, for triangular F (k, d, d) of positive diagonals.

    None where an F is not triangular, or its diagonal not positive. A lower F is turned by an RQ
    decomposition, F = U Q: a QR decomposition of the rows and columns in reverse.
    """
    if not (np.diagonal(factors, axis1=1, axis2=2) > 0).all():
        return None
    if not np.tril(factors, -1).any():
        return factors
    if np.triu(factors, 1).any():
        return None
    R = np.linalg.qr(np.swapaxes(factors[:, ::-1], 1, 2))[1]
    U = np.swapaxes(R, 1, 2)[:, ::-1, ::-1]
    signs = np.sign(np.diagonal(U, axis1=1, axis2=2))
    return np.ascontiguousarray(U * signs[:, None, :])
