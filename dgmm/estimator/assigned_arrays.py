"""A mixture made of the arrays that scikit-learn's users assign to fitted attributes.

Weights and means stand for themselves. Covariances, precisions and Cholesky factors of precisions
say one thing in three ways: those that are not given follow from the others, and those that are
given have to agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dgmm.data.feature_names import feature_names_from
from dgmm.data.standardisation import Standardisation
from dgmm.errors import DataError
from dgmm.mixture.covariance import Family
from dgmm.mixture.parameters import Parameters
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.parameter_arrays import (
    check_symmetric,
    finite_array,
    numbers,
    rounding,
    weights_array,
)
from dgmm.runtime.blas_threads import limited_thread

Array = NDArray[np.float64]

#: The three ways to say how a component spreads.
SPREADS = ("covariances_", "precisions_", "precisions_cholesky_")
#: All arrays that can be assigned.
ARRAYS = ("weights_", "means_", *SPREADS)

_SHAPES = {
    "weights_": "(n_components,)",
    "means_": "(n_components, n_features)",
    **dict.fromkeys(SPREADS, "that of the covariance_type"),
}
#: Spreads that are both given may differ by this, or by so many roundings, times features and
#: condition (matrices count as symmetric within as much); and at most by the last: where one was
#: left behind by a factor of two they differ by 0.5 or more.
_RELATIVE, _ROUNDINGS, _MOST = 1e-8, 16.0, 0.3
#: The units of a fit are kept while means and deviations measured in them lie within.
_LARGEST_MEAN, _DEVIATIONS = 2.0**10, (2.0**-10, 2.0**10)
_LARGEST_EXPONENT = 1000


@limited_thread()  # factors depend on the threads of BLAS from 128 features on
def checked(name: str, value: ArrayLike, model: MixtureModel | None) -> Array:
    """A new array of what is assigned to an attribute, checked as far as it can be alone.

    Parameters
    ----------
    name, value
        One of `ARRAYS`, and what it is to be.
    model
        The mixture so far, whose shapes and family hold; None where none is fitted yet.

    Raises
    ------
    DataError
        If the values are not finite numbers of the shape, or no weights or covariances, or the
        mixture has noise.
    """
    if model is not None and model.parameters.noise is not None:
        raise DataError(
            f"{name} cannot be assigned: the mixture has noise, whose weight and box no array "
            "says. Assign all arrays to a new GaussianMixture, or fit again with weights_init, "
            "means_init and precisions_init"
        )
    array = numbers(name, value)
    shape = array.shape
    if model is None:
        dimensions = {"weights_": (1,), "means_": (2,)}.get(name, (1, 2, 3))
        if len(shape) not in dimensions or 0 in shape:
            raise DataError(f"{name} has shape {shape}; expected {_SHAPES[name]}")
    else:
        k, d, family = model.n_components, model.n_features, model.parameters.family
        due = _shapes(family, k, d)[name]
        if shape != due:
            raise DataError(
                f"{name} has shape {shape}; expected {due}, as in the fitted mixture of {k} "
                f"components and {d} features. For another shape, assign all arrays to a new "
                "GaussianMixture"
            )
    if name == "weights_":
        return weights_array(name, value, shape[0])
    array = finite_array(name, array, shape)
    if model is not None and name in SPREADS:
        scale = _deviations(family, name, array, k, d)
        _spread(family, {name: _in_units(family, name, array, scale)}, rounding(value), k)
    return array


@limited_thread()
def assembled(
    arrays: Mapping[str, Array], base: MixtureModel | None, family: Family, eps: float
) -> MixtureModel:
    """The mixture of assigned arrays.

    Parameters
    ----------
    arrays
        What was assigned, by name, in user units. Without a base: weights, means, and at least one
        of `SPREADS`.
    base
        The mixture that the other arrays are taken from, or None.
    family
        The covariance family.
    eps
        Relative rounding of the least precise type that arrays came in.

    Raises
    ------
    DataError
        If shapes or spreads contradict each other, or a covariance is not positive definite.
    """
    if base is None:
        _check_shapes(arrays, family)
        return _made(arrays, _units(arrays, family), family, eps)
    units, p = base.standardisation, base.parameters
    spreads = {name: arrays[name] for name in SPREADS if name in arrays}
    covariances, factors = p.covariances, p.precisions_cholesky
    if spreads:
        here = {n: _in_units(family, n, a, units.scale) for n, a in spreads.items()}
        covariances, factors = _spread(family, here, eps, p.n_components)
    weights, means = arrays.get("weights_", p.weights), p.means
    if "means_" in arrays:
        means = units.means_from_user(arrays["means_"])
    parameters = Parameters(family, weights, means, covariances, factors)
    if set(arrays) == {"weights_"} or _suits(parameters):
        return replace(base, parameters=parameters, anomaly_threshold=None, anomaly_quantile=None)
    user = {"weights_": base.weights, "means_": base.means}
    if not spreads:
        user |= {"covariances_": base.covariances, "precisions_cholesky_": base.precisions_cholesky}
    everything = {**user, **arrays}
    return replace(
        _made(everything, _units(everything, family), family, eps),
        feature_names=base.feature_names,
        feature_units=base.feature_units,
    )


def _shapes(family: Family, k: int, d: int) -> dict[str, tuple[int, ...]]:
    spread = family.covariance_shape(k, d)
    return {"weights_": (k,), "means_": (k, d), **dict.fromkeys(SPREADS, spread)}


def _check_shapes(arrays: Mapping[str, Array], family: Family) -> None:
    """Shapes of arrays that are a whole mixture: means_ says how many of what there are."""
    k, d = arrays["means_"].shape
    for name, due in _shapes(family, k, d).items():
        if name in arrays and arrays[name].shape != due:
            raise DataError(
                f"{name} has shape {arrays[name].shape}; expected {due}: means_ has {k} components "
                f"of {d} features, covariance_type is {family.name!r}"
            )


def _made(
    arrays: Mapping[str, Array], units: Standardisation, family: Family, eps: float
) -> MixtureModel:
    """A mixture of arrays in user units, under a standardisation."""
    k, d = arrays["means_"].shape
    here = {n: _in_units(family, n, arrays[n], units.scale) for n in SPREADS if n in arrays}
    covariances, factors = _spread(family, here, eps, k)
    means = units.means_from_user(arrays["means_"])
    parameters = Parameters(family, arrays["weights_"], means, covariances, factors)
    return MixtureModel(parameters, units, feature_names_from(None, d, "model"))


def _suits(parameters: Parameters) -> bool:
    """Whether the units that the parameters are in are still of their size."""
    p = parameters
    deviations = np.sqrt(p.family.variances(p.covariances, p.n_components, p.n_features))
    low, high = _DEVIATIONS
    near = np.abs(p.means).max() <= _LARGEST_MEAN
    return bool(near and deviations.min() >= low and deviations.max() <= high)


def _units(arrays: Mapping[str, Array], family: Family) -> Standardisation:
    """Shift and scale of the size of the mixture itself: there are no rows to measure."""
    means = arrays["means_"]
    k, d = means.shape
    shift = arrays["weights_"] @ means
    (name, *_) = [name for name in SPREADS if name in arrays]
    with np.errstate(over="ignore"):
        distances = np.abs(means - shift).max(axis=0)
    size = np.maximum(_deviations(family, name, arrays[name], k, d), distances)
    scale = _power(np.full(d, size.max()) if family.common_scale else size)
    return Standardisation(shift, scale, (size / scale) ** 2, np.zeros(d, dtype=np.bool_))


def _deviations(family: Family, name: str, spread: Array, k: int, d: int) -> Array:
    """About the largest standard deviation of each feature (d,), as powers of two; 1 if unknown."""
    with np.errstate(all="ignore"):
        diagonal = family.variances(spread, k, d)
        roots = diagonal if name == "precisions_cholesky_" else np.sqrt(diagonal)
        sizes = roots if name == "covariances_" else 1.0 / roots
    sizes = np.where(np.isfinite(sizes) & (sizes > 0), sizes, 0.0).max(axis=0)
    if family.common_scale:
        sizes = np.full(d, sizes.max())
    return _power(sizes)


def _power(sizes: Array) -> Array:
    """The powers of two just above; 1 for 0. Neither they nor their inverses overflow."""
    exponents = np.where(sizes > 0, np.frexp(sizes)[1], 0)
    return np.asarray(np.ldexp(1.0, np.clip(exponents, -_LARGEST_EXPONENT, _LARGEST_EXPONENT)))


def _in_units(family: Family, name: str, spread: Array, scale: Array) -> Array:
    """A spread in user units, in units of `scale`; powers of two change no digit."""
    with np.errstate(over="ignore", under="ignore"):
        if name == "covariances_":
            return family.rescaled(spread, 1.0 / scale)
        if name == "precisions_":
            return family.rescaled(spread, scale)
        return family.rescaled_factors(spread, 1.0 / scale)


def _spread(family: Family, given: Mapping[str, Array], eps: float, k: int) -> tuple[Array, Array]:
    """Covariances and precision factors from whichever are given, all of which have to agree."""
    for name in ("covariances_", "precisions_"):
        if name in given:
            check_symmetric(name, family, given[name], eps)
    factors = _upper(family, given)
    covariances = given.get("covariances_")
    if covariances is None:
        precisions = given["precisions_"] if factors is None else family.precisions(factors)
        covariances = _inverse(family, precisions, next(iter(given)))
    if factors is None:
        factors = family.precisions_cholesky(covariances)
    if family.is_singular(factors, k).any() or not np.isfinite(covariances).all():
        raise _indefinite(next(iter(given)))
    if len(given) > 1:
        _check_agreement(family, given, factors, eps, k)
    return covariances, factors


def _upper(family: Family, given: Mapping[str, Array]) -> Array | None:
    factors = given.get("precisions_cholesky_")
    if factors is None:
        return None
    upper = family.upper_factors(factors)
    if upper is None:
        raise DataError(
            "precisions_cholesky_ holds no Cholesky factors of precisions: expected triangular "
            "matrices with positive diagonals, or positive numbers (roots of precisions)"
        )
    return upper


def _inverse(family: Family, precisions: Array, name: str) -> Array:
    try:
        with np.errstate(divide="ignore", over="ignore"):
            return family.inverse(precisions)
    except np.linalg.LinAlgError:
        raise _indefinite(name) from None


def _indefinite(name: str) -> DataError:
    return DataError(f"{name}: a covariance or precision is not positive definite")


def _check_agreement(
    family: Family, given: Mapping[str, Array], factors: Array, eps: float, k: int
) -> None:
    """Refuse spreads of which one was changed and another was left behind.

    With U the factors and Λ = U Uᵀ of unit diagonal, covariances C that agree have Uᵀ C U = I, and
    precisions are Λ, but for rounding times the condition.
    """
    d = factors.shape[-1] if factors.ndim > 1 else 1
    identity = np.eye(d)
    precisions = family.precisions(factors)
    inverse = given["covariances_"] if "covariances_" in given else family.inverse(precisions)
    for j in range(k):
        L = family.full_covariance(precisions, j, d)
        C = family.full_covariance(inverse, j, d)
        roots = np.sqrt(np.diagonal(L))
        size = roots[:, None] * roots
        condition = np.abs(L / size).sum(axis=1).max() * np.abs(C * size).sum(axis=1).max()
        allowed = min(_MOST, max(_RELATIVE, _ROUNDINGS * eps) * d * condition)
        differences = {}
        if "covariances_" in given:
            half = family.whiten(factors, j, C)
            differences["covariances_"] = family.whiten(factors, j, half.T) - identity
        if "precisions_" in given:
            P = family.full_covariance(given["precisions_"], j, d)
            differences["precisions_"] = (P - L) / size
        for name, difference in differences.items():
            if not np.abs(difference).max() <= allowed:
                others = " and ".join(other for other in given if other != name)
                raise DataError(
                    f"{name} contradicts {others} in component {j}: assign one of "
                    f"{', '.join(SPREADS)}, from which the others follow, or all that you change "
                    "so that they agree"
                )
