"""Fitted attributes of the estimator that can be assigned, as scikit-learn's can.

Assigned arrays stand as they are until the mixture is used (`predict`, `score`, `sample`, `bic`,
`model_`); then they are made into one model, from which the attributes that were not assigned
follow. Until then those keep their values, so that attributes can be changed one after another,
each from its own value before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dgmm.data.feature_names import feature_names_from
from dgmm.errors import DataError
from dgmm.estimator import assigned_arrays as assigned
from dgmm.mixture.covariance import family_named
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.parameter_arrays import rounding
from dgmm.sklearn_classes import NotFittedError

Array = NDArray[np.float64]

#: Attribute that names what was assigned since the model was made, each with the relative
#: rounding of the type that it came in.
_ASSIGNED = "_assigned"


_FLOAT64_EPS = float(np.finfo(np.float64).eps)


class FittedArray:
    """Weights, means or spreads in user units: read-only arrays, which can be assigned whole."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, estimator: Any, owner: type | None = None) -> Any:
        if estimator is None:
            return self
        array = _value(estimator, self._name)
        array.flags.writeable = False  # copies and pickles come back writable
        return array

    def __set__(self, estimator: Any, value: ArrayLike) -> None:
        array = assigned.checked(self._name, value, vars(estimator).get("model_"))
        array.flags.writeable = False
        vars(estimator)[self._name] = array
        _note(estimator, self._name, rounding(value))

    def __delete__(self, estimator: Any) -> None:
        _value(estimator, self._name)
        state = vars(estimator)
        del state[self._name]
        state.pop("model_", None)  # what is left is all that is known


class FittedNames:
    """Names of features (d,), where the data or the user named them."""

    def __get__(self, estimator: Any, owner: type | None = None) -> Any:
        if estimator is None:
            return self
        names = _value(estimator, "feature_names_in_")
        names.flags.writeable = False
        return names

    def __set__(self, estimator: Any, value: ArrayLike) -> None:
        names = np.array(value, dtype=object)
        model = vars(estimator).get("model_")
        if model is not None:
            _names(names, model.n_features)
        vars(estimator)["feature_names_in_"] = names
        _note(estimator, "feature_names_in_", 0.0)

    def __delete__(self, estimator: Any) -> None:
        _value(estimator, "feature_names_in_")
        del vars(estimator)["feature_names_in_"]
        _note(estimator, "feature_names_in_", 0.0)


class FeatureCount:
    """Number of features; it follows from the means, and may be assigned nothing else."""

    def __get__(self, estimator: Any, owner: type | None = None) -> Any:
        if estimator is None:
            return self
        if is_fitted(estimator):
            return vars(estimator)["means_"].shape[-1]
        return _value(estimator, "n_features_in_")

    def __set__(self, estimator: Any, value: int) -> None:
        means = vars(estimator).get("means_")
        if means is not None and value != means.shape[-1]:
            raise AttributeError(
                f"n_features_in_ follows from means_ of shape {means.shape}, and cannot be {value}"
            )
        vars(estimator)["n_features_in_"] = value


class FittedModel:
    """The `MixtureModel` that all results are computed from."""

    def __get__(self, estimator: Any, owner: type | None = None) -> Any:
        if estimator is None:
            return self
        try:
            return model_of(estimator)
        except DataError as error:  # as an attribute error, which `hasattr` and `dir` understand
            raise AttributeError(str(error)) from error

    def __set__(self, estimator: Any, model: MixtureModel) -> None:
        if not isinstance(model, MixtureModel):
            raise DataError(f"model_ is {type(model).__name__}; expected a dgmm MixtureModel")
        set_model(estimator, model)

    def __delete__(self, estimator: Any) -> None:
        if "model_" not in vars(estimator):
            raise AttributeError(_absent(estimator, "model_"))
        for name in ("model_", *assigned.ARRAYS, "n_features_in_", "feature_names_in_", _ASSIGNED):
            vars(estimator).pop(name, None)


def set_model(estimator: Any, model: MixtureModel) -> None:
    """Set a model and the attributes that follow from it, in place of all that were assigned."""
    state = vars(estimator)
    state.pop(_ASSIGNED, None)
    _follow(state, model, ())
    state.pop("feature_names_in_", None)
    if model.feature_names != feature_names_from(None, model.n_features, "model"):
        state["feature_names_in_"] = np.array(model.feature_names, dtype=object)


def is_fitted(estimator: Any) -> bool:
    """Whether there is a model, or all that one is made of."""
    state = vars(estimator)
    return "model_" in state or not _missing(state)


def model_of(estimator: Any) -> MixtureModel:
    """The model, of the assigned arrays where there are any.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted, and the arrays that were assigned are no whole mixture.
    DataError
        If they contradict each other.
    """
    state = vars(estimator)
    since: dict[str, float] = state.get(_ASSIGNED, {})
    if not since and "model_" in state:
        model: MixtureModel = state["model_"]
        return model
    if not is_fitted(estimator):
        raise NotFittedError(_unfitted(estimator, state))
    base: MixtureModel | None = state.get("model_")
    given = {n: state[n] for n in assigned.ARRAYS if n in state and (base is None or n in since)}
    model = _assembled(estimator, base, given, max([_FLOAT64_EPS, *since.values()]))
    _follow(state, model, given)
    state.pop(_ASSIGNED, None)
    return model


def _assembled(
    estimator: Any, base: MixtureModel | None, given: Mapping[str, Array], eps: float
) -> MixtureModel:
    state = vars(estimator)
    model = base
    if given or model is None:
        own = base.parameters.family if base else family_named(estimator.covariance_type)
        model = assigned.assembled(given, base, own, eps)
    if state.get("n_features_in_", model.n_features) != model.n_features:
        raise DataError(
            f"n_features_in_ is {state['n_features_in_']}, means_ has {model.n_features} features"
        )
    return replace(model, feature_names=_names(state.get("feature_names_in_"), model.n_features))


def _follow(state: dict[str, Any], model: MixtureModel, given: Collection[str]) -> None:
    """Set the model, and all that follows from it but for what was given."""
    for name in assigned.ARRAYS:
        if name not in given:
            state[name] = getattr(model, name.removesuffix("_"))
    state["n_features_in_"], state["model_"] = model.n_features, model


def _note(estimator: Any, name: str, eps: float) -> None:
    """Remember that something was assigned; a new dictionary, which no shallow copy shares."""
    state = vars(estimator)
    state[_ASSIGNED] = {**state.get(_ASSIGNED, {}), name: eps}


def _value(estimator: Any, name: str) -> Any:
    try:
        return vars(estimator)[name]
    except KeyError:
        raise AttributeError(_absent(estimator, name)) from None


def _absent(estimator: Any, name: str) -> str:
    return f"this {type(estimator).__name__} has no attribute {name!r}: call fit first"


def _names(given: Any, n_features: int) -> tuple[str, ...]:
    names = None if given is None else np.asarray(given, dtype=object).tolist()
    return feature_names_from(names, n_features, "feature_names_in_")


def _missing(state: Mapping[str, Any]) -> list[str]:
    """What a whole mixture still lacks."""
    missing = [name for name in ("weights_", "means_") if name not in state]
    if not any(name in state for name in assigned.SPREADS):
        missing.append(" or ".join(assigned.SPREADS))
    return missing


def _unfitted(estimator: Any, state: Mapping[str, Any]) -> str:
    found = [name for name in assigned.ARRAYS if name in state]
    if not found:
        return f"this {type(estimator).__name__} is not fitted: call fit first"
    return (
        f"this {type(estimator).__name__} is not fitted: {', '.join(found)} were assigned; a "
        f"mixture needs {', '.join(_missing(state))} too"
    )
