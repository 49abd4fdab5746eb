"""A fitted mixture: everything that prediction needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.result_forms import as_given
from dgmm.data.standardisation import Standardisation
from dgmm.data.transforms.preprocessing import Preprocessing
from dgmm.errors import DataError
from dgmm.mixture.criteria import n_parameters
from dgmm.mixture.noise import Noise
from dgmm.mixture.parameters import Parameters
from dgmm.model.anomalies import AnomalousRows
from dgmm.model.component_order import OrderedComponents
from dgmm.model.derived_mixtures import DerivedMixtures
from dgmm.model.scored_rows import scored_rows
from dgmm.parameter_names import speaks_python
from dgmm.runtime.blas_threads import limited_thread

Array = NDArray[np.float64]


@speaks_python
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MixtureModel(AnomalousRows, DerivedMixtures, OrderedComponents):
    """A mixture with the standardisation it was fitted under.

    Rows X (n, d) come as to the estimator, a DataFrame with its columns in any order, and results
    go back as from it; only those are whole in memory. A value that is not finite is a DataError.
    Rows are scored on all CPUs of the process; bits do not depend on how many these are.

    Attributes
    ----------
    parameters
        In standardised units: y = (x − shift)/scale.
    standardisation
        Shift and scale.
    feature_names
        One name a column, in the order of the columns.
    anomaly_threshold
        Rows of lower log density are anomalies, as are all of density 0; None without any.
    anomaly_quantile
        Share of the fitted rows below the threshold; None of one that was given.
    preprocess
        Steps that rows go through first, as the job's `preprocess` had them; None without. Means,
        covariances, densities and `sample` are then of the transformed features; the steps'
        `inverse` gives rows and means in the user's.
    feature_units
        Units of the user's features, as far as the data stated them; rows in others are refused.
    clusters
        The cluster of each component where components are merged, numbered from 0; None where a
        component is a cluster.

    Examples
    --------
    >>> from dgmm import GaussianMixture
    >>> X = np.random.default_rng(0).normal([3.0, 5.0], 1.0, size=(10_000, 2))
    >>> model = GaussianMixture(1).fit(X).model_
    >>> model.predict([[2.0, 4.0]]).tolist(), model.means.round(1).tolist()
    ([0], [[3.0, 5.0]])
    """

    parameters: Parameters
    standardisation: Standardisation
    feature_names: tuple[str, ...]
    anomaly_threshold: float | None = None
    anomaly_quantile: float | None = None
    preprocess: Preprocessing | None = None
    feature_units: Mapping[str, str] = field(default_factory=dict)
    clusters: tuple[int, ...] | None = None

    def __repr__(self) -> str:
        size = f"k = {self.n_components}, d = {self.n_features}"
        return f"<MixtureModel: {self.covariance_type}, {size}>"

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the user's features: before `preprocess`."""
        return self.feature_names if self.preprocess is None else self.preprocess.input_names

    @property
    def covariance_type(self) -> str:
        """Name of the covariance family."""
        return self.parameters.family.name

    @property
    def n_components(self) -> int:
        """Number of components, k."""
        return self.parameters.n_components

    @property
    def n_labels(self) -> int:
        """Labels of rows, and posteriors of each: k, and with noise one more, the last."""
        return self.parameters.n_labels

    @property
    def n_features(self) -> int:
        """Number of features, d."""
        return self.parameters.n_features

    @property
    def n_parameters(self) -> int:
        """Free numbers."""
        noise = self.parameters.noise is not None
        return n_parameters(self.parameters.family, self.n_components, self.n_features, noise=noise)

    @property
    def weights(self) -> Array:
        """Mixing weights (k,), which sum to 1 less that of the noise."""
        return _read_only(self.parameters.weights)

    @property
    def noise(self) -> Noise | None:
        """Weight and box of the noise in the user's units; None without."""
        own, units = self.parameters.noise, self.standardisation
        return None if own is None else own.rescaled(units.shift, units.scale)

    @property
    def noise_weight(self) -> float:
        """Mixing weight of the noise; 0 without."""
        return 0.0 if self.parameters.noise is None else self.parameters.noise.weight

    @property
    def means(self) -> Array:
        """Means (k, d) in the user's units."""
        return _read_only(self.standardisation.means_to_user(self.parameters.means))

    @property
    def covariances(self) -> Array:
        """Covariances in the user's units; shape by family. Infinite or 0 where float64 ends."""
        with np.errstate(over="ignore", under="ignore"):
            p = self.parameters
            return _read_only(p.family.rescaled(p.covariances, self.standardisation.scale))

    @property
    @limited_thread()
    def precisions(self) -> Array:
        """Precisions in the user's units; shape by family. Infinite or 0 where float64 ends."""
        p = self.parameters
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            precisions = p.family.precisions(p.precisions_cholesky)
            return _read_only(p.family.rescaled(precisions, 1.0 / self.standardisation.scale))

    @property
    def precisions_cholesky(self) -> Array:
        """Upper Cholesky factors of the precisions in the user's units; shape by family."""
        with np.errstate(over="ignore", under="ignore"):
            p = self.parameters
            return _read_only(
                p.family.rescaled_factors(p.precisions_cholesky, self.standardisation.scale)
            )

    @property
    def log_volume(self) -> float:
        """Σ log scale: log density in user units = standardised log density − this."""
        return float(np.log(self.standardisation.scale).sum())

    def component_covariance(self, k: int) -> Array:
        """Covariance of component k as a (d, d) matrix, user units."""
        return self.parameters.family.full_covariance(self.covariances, k, self.n_features)

    def feature_variances(self) -> Array:
        """Variances (k, d), user units."""
        return self.parameters.family.variances(
            self.covariances, self.n_components, self.n_features
        )

    @property
    def user_means(self) -> Array:
        """Means (k, features that the user has), in the user's units.

        Behind `preprocess` they are what its steps take to the means: of a logarithm geometric
        means; of components the nearest rows. Clipping is not undone.
        """
        if self.preprocess is None:
            return self.means
        return _read_only(self.preprocess.inverse(self.means))

    def with_threshold(self, threshold: float, quantile: float | None) -> MixtureModel:
        """The same mixture with an anomaly threshold."""
        return replace(self, anomaly_threshold=threshold, anomaly_quantile=quantile)

    @limited_thread()
    def standardised_parameters(self, standardisation: Standardisation) -> Parameters:
        """Parameters under another standardisation, for a fit that starts here, of equal d."""
        if standardisation.n_features != self.n_features:
            raise DataError(
                f"the given model has {self.n_features} features, the data have "
                f"{standardisation.n_features}"
            )
        family = self.parameters.family
        ratio = self.standardisation.scale / standardisation.scale
        means = standardisation.means_from_user(self.means)
        covariances = family.rescaled(self.parameters.covariances, ratio)
        noise = self.noise
        if noise is not None:
            low, high = (standardisation.means_from_user(x) for x in (noise.low, noise.high))
            noise = replace(noise, low=low, high=high)
        return Parameters.of(family, self.weights, means, covariances, noise)

    def score_samples(self, X: Any) -> Any:
        """Logarithm of the mixture's density at each row.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as the estimator takes them.

        Returns
        -------
        ndarray of float64, shape (n,)
            In nats, in the units of the data; −inf where the density underflows.

        Raises
        ------
        DataError
            (a ValueError) If the rows cannot be used, or hold NaN or infinity.
        """
        return self._scores(X, "log_density")

    def predict_proba(self, X: Any) -> Any:
        """Posterior probability of every component for each row.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as the estimator takes them.

        Returns
        -------
        ndarray of float64, shape (n, k)
            Probabilities, which sum to 1 along a row.

        Raises
        ------
        DataError
            (a ValueError) If the rows cannot be used, or hold NaN or infinity.
        """
        return self._scores(X, "responsibilities")

    def predict(self, X: Any) -> Any:
        """Most probable component of each row.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as the estimator takes them.

        Returns
        -------
        ndarray of int32, shape (n,)
            From 0 to k − 1.

        Raises
        ------
        DataError
            (a ValueError) If the rows cannot be used, or hold NaN or infinity.
        """
        return self._scores(X, "labels")

    @limited_thread()
    def sample(self, n_samples: int, rng: np.random.Generator) -> tuple[Array, NDArray[np.int32]]:
        """Draw rows from the mixture.

        Parameters
        ----------
        n_samples : int
            How many rows.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        X : ndarray of float64, shape (n_samples, d)
            Rows in the units of the data, ordered by component.
        y : ndarray of int32, shape (n_samples,)
            The component of each.
        """
        X, y = self.parameters.sample(n_samples, rng)
        return self.standardisation.means_to_user(X), y

    def to_sklearn(self) -> Any:
        """The same mixture as a fitted `sklearn.mixture.GaussianMixture`.

        It has what `predict`, `predict_proba`, `score`, `sample` and `bic` need, and skl2onnx; not
        `converged_`, `n_iter_` and `lower_bound_`, which a model does not know. Far from the origin
        its densities are less exact: it computes in user units.

        Returns
        -------
        sklearn.mixture.GaussianMixture
            A fitted estimator.

        Raises
        ------
        ImportError
            If scikit-learn is not installed.
        DataError
            If scikit-learn lacks the family, float64 does not hold covariances in user units, or
            rows are preprocessed.
        """
        from dgmm.model.scikit_learn_form import fitted_estimator  # noqa: PLC0415 - loads scikit-learn

        return fitted_estimator(self)

    def _scores(self, X: Any, name: str) -> Any:
        return as_given(X, scored_rows(X, self, name), name)


def _read_only(array: Array) -> Array:
    """A view that cannot be written to: writing would change a copy, and no result."""
    view = array.view()
    view.flags.writeable = False
    return view
