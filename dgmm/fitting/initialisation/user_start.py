"""Given parameters, taken as they are: arrays of the user, or a saved model."""

from __future__ import annotations

import numpy as np

from dgmm.errors import ComponentError, DataError
from dgmm.fitting.initialisation.start_request import StartRequest
from dgmm.mixture.covariance.symmetry import opposite_entries
from dgmm.mixture.parameters import Parameters


def given(request: StartRequest) -> Parameters:
    """The parameters of the request, once they fit it.

    Raises
    ------
    DataError
        If there are none, or they have another size or family, values that are not finite, or
        covariances that are not symmetric.
    ComponentError
        If a covariance cannot be inverted.
    """
    parameters = request.given
    if parameters is None:
        raise DataError("initialisation.method is given, but no parameters or model were given")
    expected = (request.family.name, request.n_components, request.sample.shape[1])
    found = (parameters.family.name, parameters.n_components, parameters.n_features)
    names = ("covariance_type", "n_components", "n_features")
    for name, is_, should in zip(names, found, expected, strict=True):
        if is_ != should:
            raise DataError(f"the given parameters have {name} {is_}; this fit has {should}")
    _check_values(parameters)
    return parameters


def at_labels(request: StartRequest) -> Parameters:
    """Never any: jobs, which know the classes of their rows, make the start of it that is given.

    Raises
    ------
    DataError
        Always: a fit that is asked for this method has no labels.
    """
    del request
    raise DataError(
        "initialisation.method is labels, and the rows of this fit have none: a job has them where "
        "it names classes, and GaussianMixture.from_labels(X, labels) takes them in Python"
    )


def _check_values(parameters: Parameters) -> None:
    if not (np.isfinite(parameters.weights).all() and np.isfinite(parameters.means).all()):
        raise DataError("the given weights or means have values that are not finite")
    covariances = parameters.covariances
    entry = parameters.family.asymmetric_entry(covariances, float(np.finfo(np.float64).eps))
    if entry is not None:
        where = opposite_entries(covariances, entry)
        raise DataError(f"the given covariances are not symmetric: {where} in standardised units")
    singular = np.flatnonzero(parameters.singular)
    if len(singular) > 0:
        raise ComponentError(
            f"the given covariance of component {singular[0]} cannot be inverted: "
            "it must be positive definite"
        )
