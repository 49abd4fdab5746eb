"""Arrays that a Python user gives for weights, means and covariances: read, and checked alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dgmm.data.object_arrays import unmasked
from dgmm.errors import DataError
from dgmm.mixture.covariance import Family
from dgmm.mixture.covariance.symmetry import opposite_entries

Array = NDArray[np.float64]

_FLOAT64_EPS = float(np.finfo(np.float64).eps)
#: What the sum of weights may differ from 1 by: of float64, and of narrower types, as in
#: scikit-learn; or so many roundings of the type.
_SUM, _SUM_NARROW, _ROUNDINGS = 1e-8, 1e-6, 16.0


def rounding(value: ArrayLike) -> float:
    """Relative rounding of the type that values came in; float64's for integers and lists."""
    dtype = np.asarray(value).dtype
    return float(np.finfo(dtype).eps) if dtype.kind == "f" else _FLOAT64_EPS


def numbers(name: str, value: ArrayLike) -> Array:
    """A new float64 array of the values, NaN where they are masked.

    Raises
    ------
    DataError
        If they are not real numbers in rows of equal length.
    """
    try:
        raw = np.asanyarray(value)
        if isinstance(raw, np.ma.MaskedArray):
            raw = unmasked(raw)
        array = np.array(raw, dtype=np.float64) if raw.dtype.kind in "biufO" else None
    except (TypeError, ValueError):
        array = None
    if array is None:
        raise DataError(f"{name} holds no real numbers, or rows of different lengths")
    return array


def finite_array(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
    """A new float64 array of the values.

    Raises
    ------
    DataError
        If they have another shape, or are not finite numbers.
    """
    array = numbers(name, value)
    if array.shape != shape or not np.isfinite(array).all():
        raise DataError(f"{name} has shape {array.shape}; expected finite numbers of shape {shape}")
    return array


def weights_array(name: str, value: ArrayLike, k: int) -> Array:
    """Weights (k,) that sum to 1, for values whose sum is 1 within the rounding of their type."""
    weights = finite_array(name, value, (k,))
    eps = rounding(value)
    tolerance = _SUM if eps <= _FLOAT64_EPS else max(_SUM_NARROW, _ROUNDINGS * eps)
    total = float(weights.sum())
    if (weights < 0).any() or abs(total - 1.0) > tolerance:
        raise DataError(
            f"{name} must be at least 0 and sum to 1 within {tolerance:.2g}: the smallest "
            f"is {weights.min():.6g}, the sum {total:.9g}"
        )
    return weights / total


def check_symmetric(name: str, family: Family, matrices: Array, eps: float) -> None:
    """Refuse matrices that are not symmetric: others than were given would be computed with."""
    entry = family.asymmetric_entry(matrices, eps)
    if entry is None:
        return
    raise DataError(
        f"{name} is not symmetric: {opposite_entries(matrices, entry)}; expected symmetric, "
        "positive definite matrices. The average of a matrix and its transpose is symmetric"
    )
