"""A start handed in as arrays, whole or in part, in the user's units."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dgmm.covariance import Family
from dgmm.covariance.symmetry import opposite_entries
from dgmm.data.standardisation import Standardisation
from dgmm.errors import DataError
from dgmm.parameters import Parameters

Array = NDArray[np.float64]

_FLOAT64_EPS = float(np.finfo(np.float64).eps)
#: What the sum of weights may differ from 1 by: of float64, and of narrower types, as in
#: scikit-learn; or so many roundings of the type.
_SUM, _SUM_NARROW, _ROUNDINGS = 1e-8, 1e-6, 16.0

_INDEFINITE = "precisions_init: a precision is not positive definite"


def with_arrays(
    drawn: Parameters | None,
    standardisation: Standardisation,
    family: Family,
    k: int,
    *,
    weights: ArrayLike | None,
    means: ArrayLike | None,
    precisions: ArrayLike | None,
) -> Parameters:
    """Standardised parameters from the given arrays, the rest from a drawn start.

    Parameters
    ----------
    drawn
        A method's start; None where all three arrays are given.
    standardisation, family, k
        Units, covariance family and number of components.
    weights, means, precisions
        (k,), (k, d), and precisions of the family's shape, or None.

    Raises
    ------
    DataError
        If an array has another shape or means nothing as what it is.
    """
    d = standardisation.n_features
    parts: dict[str, Any] = {}
    if drawn is not None:
        parts = {
            "weights": drawn.weights,
            "means": drawn.means,
            "covariances": drawn.covariances,
        }
    if weights is not None:
        parts["weights"] = _weights(weights, k)
    if means is not None:
        parts["means"] = standardisation.means_from_user(_array("means_init", means, (k, d)))
    if precisions is not None:
        array = _array("precisions_init", precisions, family.covariance_shape(k, d))
        _check_symmetric(family, array, _rounding(precisions))
        # Standardised first: user units may be so small or mixed that no inverse is found in them.
        parts["covariances"] = _inverse(family, family.rescaled(array, standardisation.scale))
    parameters = Parameters.of(family, **parts)
    if parameters.singular().any():
        raise DataError(_INDEFINITE)
    return parameters


def _inverse(family: Family, precisions: Array) -> Array:
    try:
        with np.errstate(divide="ignore"):
            return family.inverse(precisions)
    except np.linalg.LinAlgError:
        raise DataError(_INDEFINITE) from None


def _check_symmetric(family: Family, precisions: Array, eps: float) -> None:
    """Refuse matrices that are not symmetric: EM would begin from other ones than were given."""
    entry = family.asymmetric_entry(precisions, eps)
    if entry is None:
        return
    raise DataError(
        f"precisions_init is not symmetric: {opposite_entries(precisions, entry)}; expected "
        "symmetric, positive definite matrices. (P + P.T)/2 is symmetric"
    )


def _weights(value: ArrayLike, k: int) -> Array:
    """Weights that sum to 1, for values whose sum is 1 within the rounding of their type."""
    weights = _array("weights_init", value, (k,))
    eps = _rounding(value)
    tolerance = _SUM if eps <= _FLOAT64_EPS else max(_SUM_NARROW, _ROUNDINGS * eps)
    total = float(weights.sum())
    if (weights < 0).any() or abs(total - 1.0) > tolerance:
        raise DataError(
            f"weights_init must be at least 0 and sum to 1 within {tolerance:.2g}: the smallest "
            f"is {weights.min():.6g}, the sum {total:.9g}"
        )
    return weights / total


def _rounding(value: ArrayLike) -> float:
    """Relative rounding of the type that values came in; float64's for integers and lists."""
    dtype = np.asarray(value).dtype
    return float(np.finfo(dtype).eps) if dtype.kind == "f" else _FLOAT64_EPS


def _array(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise DataError(f"{name} has shape {array.shape}; expected finite numbers of shape {shape}")
    return array
