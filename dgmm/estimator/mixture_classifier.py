"""`GaussianMixtureClassifier`: a mixture per class, with scikit-learn's interface."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.cache_budget import with_cached_rows
from dgmm.data.classed_dataset import ClassedDataset
from dgmm.data.feature_names import feature_names_from
from dgmm.data.open_dataset import opened_rows
from dgmm.errors import DataError
from dgmm.estimator.class_names import classes_of, labels_of, names_of, whole
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.classes.class_settings import ClassSettings
from dgmm.fitting.classes.fit_classes import FittedClasses, fit_classes
from dgmm.fitting.settings import FitSettings
from dgmm.model.classifier import Classifier
from dgmm.parameter_names import speaks_python_with
from dgmm.python_warnings import WarningListener, warn
from dgmm.random_streams import RandomState, seed_from
from dgmm.sklearn_classes import ClassifierBase, ConvergenceWarning, NotFittedError

Array = NDArray[np.float64]
#: What `auto` is where rows are many for the parameters.
_USUAL_SHARE = 1e-6
#: Advice of `GaussianMixture` for rows that lack values; a classifier takes complete rows alone.
_OWN_ADVICE = {
    'Set missing="drop", or': "Leave such rows out first, or",
    ", or score what rows with NaN have: "
    'GaussianMixture.from_model(model, missing="marginalise")': "",
}


@speaks_python_with(_OWN_ADVICE)
class GaussianMixtureClassifier(ClassifierBase):
    """Classification by Bayes' rule: a Gaussian mixture is fitted to the rows of each class.

    All mixtures are fitted in the same passes, in common units, as by a job with `task: classify`,
    whose bits these are.

    Parameters
    ----------
    n_components : int
        Gaussians of each mixture.
    covariance_type : {"full", "tied", "diag", "spherical"}
        Shape of their covariances.
    tol : float
        EM has converged when the mean log-likelihood changes by less.
    max_iter : int
        Most iterations of EM.
    n_init : int
        Starts of each mixture; the best one is kept.
    priors : {"data", "uniform"} or mapping
        Probability of each class: its share of the rows, the same for all, or a number by name.
    reg_covar : float
        Added to the diagonal of every covariance, in the data's units squared.
    reg_covar_relative : float or "auto"
        The same as a share of each feature's robust variance. `auto` is 1e-6, and is chosen by
        held-out rows where a class has fewer than ten rows for each free parameter and `reg_covar`
        is 0.
    n_sample_starts : int, optional
        As of `GaussianMixture`.
    random_state : int, Generator, RandomState or None
        Start of every random draw.
    backend : {"auto", "numpy", "numba"}
        What computes passes.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        Classes, ascending: the order of columns.
    classifier_ : Classifier
        Priors, and the mixture of each class.
    n_features_in_ : int
        Features of the rows.
    feature_names_in_ : ndarray of shape (d,)
        Their names, where the data name them.
    converged_, n_iter_ : bool, int
        Whether the mixtures of all classes converged, and the most EM iterations of one.

    Raises
    ------
    DataError
        (a ValueError) By `fit`, where a parameter means nothing.

    Examples
    --------
    >>> from dgmm import GaussianMixtureClassifier
    >>> X = np.random.default_rng(0).normal(size=(300, 2)) + np.repeat([[0], [5], [10]], 100, 0)
    >>> y = np.repeat(["a", "b", "c"], 100)
    >>> GaussianMixtureClassifier(random_state=0).fit(X, y).predict([[5.0, 5.0]]).tolist()
    ['b']
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-4,
        max_iter: int = 200,
        n_init: int = 1,
        priors: Literal["data", "uniform"] | Mapping[Any, float] = "data",
        reg_covar: float = 0.0,
        reg_covar_relative: float | Literal["auto"] = "auto",
        n_sample_starts: int | None = None,
        random_state: RandomState = None,
        backend: Literal["auto", "numpy", "numba"] = "auto",
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.priors = priors
        self.reg_covar = reg_covar
        self.reg_covar_relative = reg_covar_relative
        self.n_sample_starts = n_sample_starts
        self.random_state = random_state
        self.backend = backend

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Fit a mixture to the rows of each class.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `GaussianMixture` takes them.
        y : array_like of shape (n,)
            Their classes.

        Returns
        -------
        GaussianMixtureClassifier
            The estimator itself, with its fitted attributes set.

        Raises
        ------
        DataError
            (a ValueError) If rows or classes cannot be used, or a class has too few rows.
        ComponentError
            (a ValueError) If no mixture can be made of a class.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixtureClassifier
        >>> X = np.linspace(-1, 1, 100)[:, None] + np.repeat([[0.0], [9.0]], 50, axis=0)
        >>> own = GaussianMixtureClassifier(random_state=0).fit(X, np.repeat([3, 4], 50))
        >>> own.classes_.tolist()
        [3, 4]
        """
        settings = self._settings()
        with opened_rows(X) as dataset, ThreadExecutor() as executor:
            labels = labels_of(y, dataset.n_samples)
            warn(dataset.warnings)
            classes, codes = classes_of(labels)
            names = names_of(classes)
            rows = ClassedDataset(
                with_cached_rows(dataset, executor.n_threads),
                ArrayDataset(codes.astype(np.int32).reshape(-1, 1)),
            )
            priors = self.priors
            if isinstance(priors, Mapping):
                priors = {str(whole(k)): v for k, v in priors.items()}
            found = fit_classes(
                *(rows, executor, settings, ClassSettings(priors), names),
                WarningListener(),
            )
            dataset.check_unchanged()
        self._set_fitted(classes, found)
        warn(found.ends, ConvergenceWarning)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Posterior probability of each class at each row, (n, C).

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `GaussianMixture` takes them.

        Returns
        -------
        ndarray of float64, shape (n, C)
            Columns in the order of `classes_`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        DataError
            (a ValueError) If the rows cannot be used.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixtureClassifier
        >>> X = np.linspace(-1, 1, 100)[:, None] + np.repeat([[0.0], [9.0]], 50, axis=0)
        >>> own = GaussianMixtureClassifier(random_state=0).fit(X, np.repeat([3, 4], 50))
        >>> own.predict_proba([[9.0]]).round(3).tolist()
        [[0.0, 1.0]]
        """
        return self._fitted().predict_proba(X)

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each row, (n,).

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `GaussianMixture` takes them.

        Returns
        -------
        ndarray of shape (n,)
            Of the type of `classes_`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        DataError
            (a ValueError) If the rows cannot be used.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixtureClassifier
        >>> X = np.linspace(-1, 1, 100)[:, None] + np.repeat([[0.0], [9.0]], 50, axis=0)
        >>> own = GaussianMixtureClassifier(random_state=0).fit(X, np.repeat([3, 4], 50))
        >>> own.predict([[9.0], [0.0]]).tolist()
        [4, 3]
        """
        codes = self._fitted().predict_codes(X)
        return np.asarray(self.classes_)[codes]

    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Share of rows whose class is predicted.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `GaussianMixture` takes them.
        y : array_like of shape (n,)
            Their classes.
        sample_weight : array_like of shape (n,), optional
            What each row counts.

        Returns
        -------
        float
            Accuracy.

        Raises
        ------
        NotFittedError
            Before `fit`.
        DataError
            (a ValueError) If the rows cannot be used.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixtureClassifier
        >>> X = np.linspace(-1, 1, 100)[:, None] + np.repeat([[0.0], [9.0]], 50, axis=0)
        >>> own = GaussianMixtureClassifier(random_state=0).fit(X, np.repeat([3, 4], 50))
        >>> own.score(X, np.repeat([3, 4], 50))
        1.0
        """
        predicted = self.predict(X)
        is_right = predicted == labels_of(y, len(predicted))
        weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
        return float(np.average(is_right, weights=weights))

    def _set_fitted(self, classes: NDArray[Any], found: FittedClasses) -> None:
        """Set the fitted attributes."""
        self.classes_, self.classifier_ = classes, found.classifier
        names = found.classifier.feature_names
        self.n_features_in_ = len(names)
        vars(self).pop("feature_names_in_", None)
        if names != feature_names_from(None, len(names), "classifier"):
            self.feature_names_in_ = np.array(names, dtype=object)
        self.converged_ = found.outcome.has_converged
        self.n_iter_ = max(one.chosen.n_iter for one in found.classes)

    def _fitted(self) -> Classifier:
        found: Classifier | None = getattr(self, "classifier_", None)
        if found is None:
            raise NotFittedError("this classifier is not fitted: call fit(X, y) first")
        return found

    def _settings(self) -> FitSettings:
        share: Any = self.reg_covar_relative  # what a user gave, of any type
        is_auto = isinstance(share, str) and share == "auto"
        if not is_auto and (isinstance(share, bool) or not isinstance(share, Real)):
            raise DataError(
                f"reg_covar_relative is {share!r}; expected auto or a finite number of at least 0"
            )
        return FitSettings(
            self.n_components,
            self.covariance_type,
            tol=self.tol,
            max_iter=self.max_iter,
            n_init=self.n_init,
            reg_covar=self.reg_covar,
            reg_covar_relative=_USUAL_SHARE if is_auto else float(share),
            shrinkage="auto" if is_auto and not self.reg_covar else "none",
            n_sample_starts=self.n_sample_starts,
            backend=self.backend,
            seed=seed_from(self.random_state),
        )
