"""A mixture as scikit-learn's own fitted estimator."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_names import feature_names_from
from dgmm.data.transforms.preprocessing import Preprocessing
from dgmm.errors import DataError
from dgmm.mixture.parameters import Parameters
from dgmm.sklearn_classes import sklearn_mixture


class FittedMixture(Protocol):
    """What the estimator is made of."""

    @property
    def parameters(self) -> Parameters:
        """Standardised."""

    @property
    def preprocess(self) -> Preprocessing | None:
        """Steps that rows go through first."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One per feature."""

    @property
    def covariance_type(self) -> str:
        """Name of the family."""

    @property
    def n_components(self) -> int:
        """Components."""

    @property
    def n_features(self) -> int:
        """Features."""

    def feature_variances(self) -> NDArray[np.float64]:
        """Variances (k, d), user units."""


def fitted_estimator(model: FittedMixture) -> Any:
    """A fitted `sklearn.mixture.GaussianMixture`; see `MixtureModel.to_sklearn`.

    Raises
    ------
    DataError
        If scikit-learn lacks the family, float64 does not hold covariances in user units, or rows
        are preprocessed.
    """
    if (covariance_type := model.parameters.family.scikit_learn_type) is None:
        raise DataError(
            f"scikit-learn has no covariances of the family {model.covariance_type!r}: use the "
            "model's own predict, predict_proba and score_samples"
        )
    if model.parameters.expected_log_weights is not None:
        raise DataError(
            "scikit-learn's GaussianMixture has no place for the expected logarithms of weights "
            "that variational inference scores with: use the model's own predict, predict_proba "
            "and score_samples"
        )
    if model.parameters.noise is not None:
        raise DataError(
            "scikit-learn's GaussianMixture has no noise component: use the model's own predict, "
            "predict_proba and score_samples, or fit without noise"
        )
    if model.preprocess is not None:
        raise DataError(
            "scikit-learn's mixture has no place for the steps of preprocess: use the model's "
            "own predict, predict_proba and score_samples"
        )

    names = ("weights", "means", "covariances", "precisions", "precisions_cholesky")
    arrays = {f"{name}_": np.array(getattr(model, name)) for name in names}
    beyond = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if beyond or not model.feature_variances().all():
        raise DataError(
            f"{', '.join(beyond) or 'covariances_'} cannot be written as float64 in the units "
            "of the data, in which scikit-learn computes: fit rows in other units"
        )
    attributes: dict[str, Any] = {**arrays, "n_features_in_": model.n_features}
    if model.feature_names != feature_names_from(None, model.n_features, "model"):
        attributes["feature_names_in_"] = np.array(model.feature_names, dtype=object)
    shape = {"n_components": model.n_components, "covariance_type": covariance_type}
    return sklearn_mixture(shape, attributes)
