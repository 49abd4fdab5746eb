"""The inference of a fit: its prior, with what the data give where the settings leave it open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.errors import DataError
from dgmm.fitting.inference import MAXIMUM_LIKELIHOOD, Inference
from dgmm.fitting.inference.maximum_a_posteriori import MaximumAPosteriori
from dgmm.fitting.inference.prior import ConjugatePrior
from dgmm.fitting.inference.variational import Variational
from dgmm.fitting.inference.weight_posterior import WeightPosterior
from dgmm.fitting.initialisation.first_parameters import estimate_of_labels
from dgmm.fitting.noise_start import rows_for_starts
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.covariance import Family, Moments
from dgmm.mixture.parameters import Parameters

Array = NDArray[np.float64]

#: κ of Fraley & Raftery (2007): m₀ counts as a hundredth of a row.
MEAN_PRECISION = 0.01
#: What a scale of so many dimensions has to be.
_POSITIVE = (
    "a number above 0",
    "numbers above 0",
    "eigenvalues above 0, none of which is lost in rounding beside the largest",
)


def with_inference(prepared: PreparedFit, settings: FitSettings) -> PreparedFit:
    """The same with the inference that is asked for in its problem.

    Raises
    ------
    DataError
        If a prior is none: another shape, not positive definite, too few degrees of freedom.
    """
    if settings.inference == "maximum_likelihood":
        return prepared
    inference, problem = inference_of(prepared, settings), prepared.problem
    policy = replace(problem.collapse, prunes=inference.prunes)
    problem = replace(problem, inference=inference, collapse=policy)
    return replace(prepared, problem=problem)


def inference_of(prepared: PreparedFit, settings: FitSettings) -> Inference:
    """What the settings ask for, of these data."""
    if settings.inference == "maximum_likelihood":
        return MAXIMUM_LIKELIHOOD
    data = OneGaussian.of(prepared)
    asked, family = settings.prior, prepared.family
    if settings.inference == "variational":
        return _variational(data, settings, float(prepared.n_rows))
    return MaximumAPosteriori(
        prior=ConjugatePrior(
            family=family,
            mean=_mean(data, settings),
            mean_precision=asked.mean_precision_prior or MEAN_PRECISION,
            degrees_of_freedom=_degrees_of_freedom(data, 2, settings),
            scale=_scale(data, settings, _volume_of_one(data, settings)),
        ),
        n_rows=float(prepared.n_rows),
        weight_concentration=_at_least_1(asked.weight_concentration_prior),
        log_volume=float(np.log(prepared.standardisation.scale).sum()),
    )


def _variational(data: OneGaussian, settings: FitSettings, n_rows: float) -> Variational:
    """With scikit-learn's defaults: κ = 1, ν = d, the data's mean and covariance, 1/k."""
    asked = settings.prior
    prior = ConjugatePrior(
        family=data.family,
        mean=_mean(data, settings),
        mean_precision=asked.mean_precision_prior or 1.0,
        degrees_of_freedom=_degrees_of_freedom(data, 0, settings),
        scale=_scale(data, settings, data.covariances),
    )
    concentration = asked.weight_concentration_prior or 1.0 / settings.n_components
    weights = WeightPosterior(asked.weight_concentration_prior_type, concentration)
    return Variational(prior, weights, n_rows)


@dataclass(frozen=True, slots=True, eq=False)
class OneGaussian:
    """Mean (d,) and covariance of all data as one component's, standardised units.

    Of the sample, which is all rows where they are few; where values are missing of the Gaussian
    that was fitted to what was observed. The divisor is m − 1 for m rows, as in mclust and
    scikit-learn; of weighted rows `_n_measured` gives m.
    """

    family: Family
    units: Standardisation
    mean: Array
    covariances: Array

    @classmethod
    def of(cls, prepared: PreparedFit) -> OneGaussian:
        """Of a prepared fit; covariances as they are in the data, regularised."""
        family = prepared.family
        rows, weights = rows_for_starts(prepared, prepared.sample, prepared.summary.sample_weights)
        if prepared.fill is None:
            labels = np.zeros(len(rows), np.intp)
            whole = estimate_of_labels(family, rows, labels, 1, weights)
            mean, covariances = whole.means[0], whole.covariances
        else:
            mean, covariances = _in_family(prepared.fill.gaussian, family)
        m = _n_measured(prepared)
        covariances = covariances * (m / (m - 1) if m > 1 else 1.0)
        added = family.regularised(covariances, prepared.regularisation)
        return cls(family, prepared.standardisation, mean, added)

    @property
    def n_features(self) -> int:
        """d."""
        return len(self.mean)


def _n_measured(prepared: PreparedFit) -> float:
    """Rows that the sample is worth: Σw of counts where it is all rows, so that copies are equal.

    Else (Σw)²/Σw² of its weights (Kish, 1965), with which m/(m − 1) makes the covariance unbiased.
    """
    summary, m = prepared.summary, len(prepared.sample)
    if prepared.problem.counts_are_rows and m == summary.n_kept:
        return summary.weight
    weights = summary.sample_weights
    return m if weights is None else float(weights.sum() ** 2 / (weights**2).sum())


def _in_family(gaussian: Parameters, family: Family) -> tuple[Array, Array]:
    """Mean (d,) and covariance of one Gaussian of any family, in the shape of another."""
    d = gaussian.n_features
    root = np.asarray(
        np.linalg.cholesky(gaussian.family.full_covariance(gaussian.covariances, 0, d)),
        dtype=np.float64,
    )
    second, scatter = family.second_moment(root, np.ones(d)), None
    if family.empty_scatter(d) is not None:
        scatter = family.scatter(root)
    moments = Moments(np.ones(1), np.zeros((1, d)), second[None], scatter)
    return gaussian.means[0], family.covariances(moments)


def _mean(data: OneGaussian, settings: FitSettings) -> Array:
    asked = settings.prior.mean_prior
    if asked is None:
        return data.mean
    return data.units.means_from_user(_shaped("mean_prior", asked, (data.n_features,)))


def _degrees_of_freedom(data: OneGaussian, more: int, settings: FitSettings) -> float:
    """By default d and so many more; of a Wishart distribution more than d − 1 in any family."""
    asked, d = settings.prior.degrees_of_freedom_prior, data.n_features
    is_wishart = settings.inference == "variational"
    least = d - 1.0 if is_wishart else data.family.least_degrees_of_freedom(d)
    if asked is not None and not asked > least:
        raise DataError(
            f"model.degrees_of_freedom_prior is {asked:g}; expected more than {least:g} for {d} "
            "features: raise model.degrees_of_freedom_prior, or leave it out"
        )
    return float(d + more) if asked is None else asked


def _volume_of_one(data: OneGaussian, settings: FitSettings) -> Array:
    """The data's covariance over k^(2/d), so that k components fill its volume."""
    even = data.family.even_scale(data.covariances, data.units.scale)
    return np.asarray(even / settings.n_components ** (2.0 / data.n_features))


def _scale(data: OneGaussian, settings: FitSettings, default: Array) -> Array:
    """Λ₀, as it is asked for."""
    asked, family, d = settings.prior.covariance_prior, data.family, data.n_features
    units = data.units.scale
    if asked is None:
        return default
    shape = family.covariance_shape(1, d)
    own = shape if family.is_shared else shape[1:]
    array = _shaped("covariance_prior", asked, own).reshape(shape)
    scale = family.rescaled(array, 1.0 / units)
    asymmetric = family.asymmetric_entry(array, float(np.finfo(np.float64).eps))
    if asymmetric is not None:
        i, j = asymmetric[-2:]
        value, opposite = float(array[asymmetric]), float(np.swapaxes(array, -1, -2)[asymmetric])
        raise DataError(
            f"model.covariance_prior is not symmetric: entry [{i}][{j}] is {value!r}, and "
            f"[{j}][{i}] is {opposite!r}. Make the two equal, or leave it out"
        )
    if family.is_singular(family.precisions_cholesky(scale), 1).any():
        raise DataError(
            f"model.covariance_prior is not positive definite: expected {_POSITIVE[len(own)]}. "
            "Give the covariance that a component is likely to have, or leave it out"
        )
    return scale


def _at_least_1(concentration: float | None) -> float:
    if concentration is not None and concentration < 1.0:
        raise DataError(
            f"model.weight_concentration_prior is {concentration:g}; expected at least 1 with "
            "inference map: below, the most probable weights are not unique. Raise "
            "model.weight_concentration_prior, or set model.inference to variational"
        )
    return concentration or 1.0


def _shaped(name: str, value: Any, shape: tuple[int, ...]) -> Array:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != shape:
        expected = f"an array of shape {shape}" if shape else "a number"
        raise DataError(
            f"model.{name} has the shape {array.shape}; expected {expected}. Give it so, or "
            "leave it out"
        )
    return array
