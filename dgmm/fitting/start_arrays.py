"""A start handed in as arrays, whole or in part, in the user's units."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.errors import DataError
from dgmm.mixture.covariance import Family
from dgmm.mixture.parameters import Parameters
from dgmm.model.parameter_arrays import check_symmetric, finite_array, rounding, weights_array

Array = NDArray[np.float64]

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
        parts["weights"] = weights_array("weights_init", weights, k)
    if means is not None:
        parts["means"] = standardisation.means_from_user(finite_array("means_init", means, (k, d)))
    if precisions is not None:
        array = finite_array("precisions_init", precisions, family.covariance_shape(k, d))
        check_symmetric("precisions_init", family, array, rounding(precisions))
        # Standardised first: user units may be so small or mixed that no inverse is found in them.
        parts["covariances"] = _inverse(family, family.rescaled(array, standardisation.scale))
    parameters = Parameters.of(family, **parts)
    if parameters.singular.any():
        raise DataError(_INDEFINITE)
    return parameters


def _inverse(family: Family, precisions: Array) -> Array:
    try:
        with np.errstate(divide="ignore"):
            return family.inverse(precisions)
    except np.linalg.LinAlgError:
        raise DataError(_INDEFINITE) from None
