"""What the estimator has once it is fitted, and the ways to models and to scikit-learn and back."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from dgmm.data.missing_rows import MissingPolicy
from dgmm.estimator import fitted_attributes as fitted
from dgmm.model.mixture_model import MixtureModel
from dgmm.random_streams import seed_from
from dgmm.scoring.partial_rows import require_marginals

#: Records of the fit; nothing is computed from them.
_RECORD = ("converged_", "n_iter_", "lower_bound_", "lower_bounds_")
#: Starts that scikit-learn has too.
_PEERS_STARTS = {"kmeans", "k-means++", "random", "random_from_data"}


class FittedMixture:
    """Fitted attributes, each of which is computed with or follows from those that are."""

    weights_ = fitted.FittedArray()
    means_ = fitted.FittedArray()
    covariances_ = fitted.FittedArray()
    precisions_ = fitted.FittedArray()
    precisions_cholesky_ = fitted.FittedArray()
    model_ = fitted.FittedModel()
    n_features_in_ = fitted.FeatureCount()
    feature_names_in_ = fitted.FittedNames()

    @classmethod
    def from_model(cls, model: MixtureModel, **parameters: Any) -> Self:
        """A fitted estimator with the mixture of a model, as `load_model` opens it.

        Results have the bits of the model's own. `converged_`, `n_iter_`, `lower_bound_` and
        `lower_bounds_` are absent: they are in the `run.json` of the job.

        Parameters
        ----------
        model : MixtureModel
            Its numbers of components and features, family, feature names and units are taken over.
        **parameters
            Further parameters of the estimator (`random_state`, `missing`, `n_threads`, ...).

        Returns
        -------
        GaussianMixture
            A fitted estimator.

        Raises
        ------
        DataError
            (a ValueError) If it is no `MixtureModel`, or one of variational inference, which
            cannot score rows that lack values, with `missing="marginalise"`.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.random.default_rng(0).normal(size=(300, 2))
        >>> model = GaussianMixture(2, random_state=0).fit(X).model_
        >>> mixture = GaussianMixture.from_model(model, random_state=0)
        >>> bool((mixture.predict(X) == model.predict(X)).all())
        True
        """
        estimator: Any = cls(**parameters)
        estimator.model_ = model
        if estimator.missing == "marginalise":
            require_marginals(model.parameters, MissingPolicy.MARGINALISE)
        estimator.n_components = model.n_components
        estimator.covariance_type = model.covariance_type
        estimator.noise = model.parameters.noise is not None
        return estimator  # type: ignore[no-any-return] # the estimator mixes this class in

    def to_sklearn(self) -> Any:
        """The same mixture as a fitted `sklearn.mixture.GaussianMixture`, with its parameters.

        It has what `predict`, `predict_proba`, `score`, `sample` and `bic` need, and skl2onnx.
        Parameters that scikit-learn does not have are left out; starts that it does not have become
        `kmeans`, a NumPy Generator a seed drawn from it.

        Returns
        -------
        sklearn.mixture.GaussianMixture
            A fitted estimator; far from the origin its densities are less exact than dgmm's.

        Raises
        ------
        ImportError
            If scikit-learn is not installed.
        NotFittedError, DataError
            (ValueErrors) If there is no mixture, scikit-learn has no covariances of its family, or
            float64 does not hold them in the units of the data.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.random.default_rng(0).normal(size=(300, 2))
        >>> mixture = GaussianMixture(2, random_state=0).fit(X)
        >>> peer = mixture.to_sklearn()
        >>> bool((peer.predict(X) == mixture.predict(X)).all())
        True
        """
        mixture = fitted.model_of(self).to_sklearn()
        names = set(mixture.get_params()) - {"n_components", "covariance_type"}
        parameters = {name: getattr(self, name) for name in names}
        if parameters["init_params"] not in _PEERS_STARTS:
            parameters["init_params"] = "kmeans"
        if isinstance(parameters["random_state"], np.random.Generator):
            parameters["random_state"] = seed_from(parameters["random_state"]) % 2**32
        mixture.set_params(**parameters)
        for name in _RECORD:
            if hasattr(self, name):
                setattr(mixture, name, getattr(self, name))
        return mixture

    @property
    def n_parameters(self) -> int:
        """Free parameters of the fitted mixture: k − 1 weights, k·d means, and the covariances."""
        model: MixtureModel = self.model_
        return model.n_parameters

    def __sklearn_is_fitted__(self) -> bool:
        """What scikit-learn's `check_is_fitted` asks."""
        return fitted.is_fitted(self)
