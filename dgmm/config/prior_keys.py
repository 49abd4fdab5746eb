"""Keys of `model` that say what is estimated: maximum likelihood, or the mode under a prior."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from dgmm.config.settings import Settings
from dgmm.config.values import refusal

_Number = Annotated[float, Field(strict=False, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0)]
Row = Annotated[list[_Number], Field(min_length=1)]
_MATRIX_SCHEMA = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "array", "minItems": 1, "items": {"type": "number"}},
        {"type": "array", "minItems": 1, "items": {"type": "array", "items": {"type": "number"}}},
    ]
}


def _matrix(value: Any) -> Any:
    """A number, a list of numbers, or a list of lists of them, all of one length."""
    rows = value if isinstance(value, list) else [value]
    if rows and all(isinstance(row, list) and len(row) == len(rows) for row in rows):
        rows = [item for row in rows for item in row]
    if not rows or not all(_is_number(item) for item in rows):
        raise refusal("expected a number, a list of numbers, or a square matrix: a list of rows")
    return value


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and abs(value) < float("inf")


Matrix = Annotated[Any, BeforeValidator(_matrix), WithJsonSchema(_MATRIX_SCHEMA)]


class PriorKeys(Settings):
    """What is estimated, and the prior of `map`; names are those of scikit-learn's
    BayesianGaussianMixture.
    """

    inference: Literal["maximum_likelihood", "map", "variational"] = "maximum_likelihood"
    """What is maximised: the likelihood, or with `map` that times a prior density (normal-inverse-
    Wishart, Dirichlet), which keeps covariances of few rows from collapsing; `variational` fits a
    distribution of the parameters, and leaves out components that the rows do not need."""
    mean_prior: Row | None = None
    """Mean of the prior of means, a number for each feature; null takes that of the data."""
    mean_precision_prior: Positive | None = None
    """How many rows `mean_prior` counts as; null is 0.01, of `variational` 1."""
    degrees_of_freedom_prior: Positive | None = None
    """Degrees of freedom of the prior of covariances; null is the number of features plus 2, of
    `variational` that number."""
    covariance_prior: Matrix | None = None
    """Scale of the prior of covariances, in the data's units squared: a matrix for `full` and
    `tied`, a list for `diag`, a number for `spherical`. null takes the data's covariance divided by
    n_components^(2/features); for `diag` and `spherical` the features' mean variance; of
    `variational` the data's covariance itself."""
    weight_concentration_prior: Positive | None = None
    """Concentration of the Dirichlet prior of weights, of `map` at least 1; null is 1 there,
    without influence, and 1/n_components of `variational`. Smaller ones leave
    fewer components."""
    weight_concentration_prior_type: Literal["dirichlet_process", "dirichlet_distribution"] = (
        "dirichlet_process"
    )
    """Prior of the weights of `variational`: a stick broken piece by piece, or a Dirichlet
    distribution."""
