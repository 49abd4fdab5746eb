"""Which inference a fit uses, and the prior that it asks for: checked values, user units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from dgmm.errors import DataError
from dgmm.fitting.inference.weight_posterior import Kind

InferenceName = Literal["maximum_likelihood", "map", "variational"]
WeightPrior = Kind
INFERENCES: tuple[InferenceName, ...] = get_args(InferenceName)
#: In words.
WORDS = {
    "map": "maximum a posteriori: the likelihood times a conjugate prior (inference: map)",
    "variational": "a distribution of the parameters (inference: variational)",
}
#: All of them, with the one that has a default for all data.
TYPE_KEY, DEFAULT_TYPE = "weight_concentration_prior_type", "dirichlet_process"
#: Settings of a prior; `maximum_likelihood` has none.
PRIOR_KEYS = (
    "mean_prior",
    "mean_precision_prior",
    "degrees_of_freedom_prior",
    "covariance_prior",
    "weight_concentration_prior",
)


@dataclass(frozen=True, slots=True)
class PriorSettings:
    """A prior as it is asked for; None takes the default of the inference and the data.

    Names are those of scikit-learn's BayesianGaussianMixture.

    Attributes
    ----------
    mean_prior
        m₀ (d,).
    mean_precision_prior
        κ: how many rows m₀ counts as.
    degrees_of_freedom_prior
        ν of the covariances' prior.
    covariance_prior
        Λ₀, of the shape of one component's covariance: (d, d), (d,) or a number.
    weight_concentration_prior
        α of the weights' Dirichlet prior, or γ of the Dirichlet process.
    weight_concentration_prior_type
        Of `variational`: sticks broken one after the other, or a Dirichlet distribution.
    """

    mean_prior: ArrayLike | None = None
    mean_precision_prior: float | None = None
    degrees_of_freedom_prior: float | None = None
    covariance_prior: ArrayLike | None = None
    weight_concentration_prior: float | None = None
    weight_concentration_prior_type: Kind = "dirichlet_process"

    def __post_init__(self) -> None:
        for name in ("mean_precision_prior", "degrees_of_freedom_prior"):
            object.__setattr__(self, name, _positive(name, getattr(self, name)))
        name = "weight_concentration_prior"
        object.__setattr__(self, name, _positive(name, self.weight_concentration_prior))
        if self.weight_concentration_prior_type not in get_args(Kind):
            raise DataError(
                f"model.{TYPE_KEY} is {self.weight_concentration_prior_type!r}; "
                f"expected one of {', '.join(get_args(Kind))}. Choose one, or leave it out"
            )
        for name in ("mean_prior", "covariance_prior"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))

    def given(self) -> list[str]:
        """Names of what is not left to defaults."""
        return [name for name in PRIOR_KEYS if getattr(self, name) is not None]


def _positive(name: str, value: Any) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 < float(value) < math.inf:
        raise DataError(
            f"model.{name} is {value!r}; expected a finite number above 0. Give one, or leave "
            "it out"
        )
    return float(value)


def _numbers(name: str, value: Any) -> Any:
    """An array as nested lists, which compare."""
    if value is None:
        return None
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"model.{name} is {value!r}; expected numbers. Give an array of them, or leave it out"
        ) from None
    if not np.isfinite(array).all():
        raise DataError(
            f"model.{name} holds NaN or infinity; expected finite numbers. Give these, or "
            "leave it out"
        )
    return array.tolist()


#: All left to defaults.
NO_PRIOR = PriorSettings()
