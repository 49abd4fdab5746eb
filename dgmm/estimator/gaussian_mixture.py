"""`GaussianMixture`, scikit-learn's interface: arrays and Zarr in, results in memory."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dgmm.data.cache_budget import with_cached_rows
from dgmm.data.open_dataset import opened_rows
from dgmm.data.sample_weight import with_sample_weight
from dgmm.data.weight_kind import WeightKind
from dgmm.estimator import fitted_attributes as fitted
from dgmm.estimator.fitted_results import FittedResults
from dgmm.estimator.start_of_fit import settings_of, start_of_fit
from dgmm.fitting.em.acceleration import Acceleration
from dgmm.fitting.fit import Fit, fit
from dgmm.fitting.prior_settings import InferenceName, WeightPrior
from dgmm.fitting.warm_start import LastFit
from dgmm.parameter_names import speaks_python
from dgmm.python_warnings import WarningListener, warn
from dgmm.random_streams import RandomState
from dgmm.sklearn_classes import ConvergenceWarning, EstimatorBase

Array = NDArray[np.float64]


@speaks_python
class GaussianMixture(FittedResults, EstimatorBase):
    """A Gaussian mixture with scikit-learn's parameters, attributes and methods.

    Rows are NumPy arrays, tables (pandas, polars, Arrow, Dask), labelled arrays and data sets
    (xarray), AnnData, or Zarr arrays by path or object, which are read block by block. Arrays of
    Dask, xarray or HDF5 that are not in memory are loaded up to 256 MiB; larger ones are written to
    a temporary Zarr array. Results are in memory: labels and densities of pandas' tables are Series
    with their index, results of labelled arrays such arrays with their coordinates.

    Where scikit-learn is installed this is one of its estimators (`BaseEstimator`, with its repr),
    and its `NotFittedError` and `ConvergenceWarning` catch those of this class.

    Parameters
    ----------
    n_components : int
        Number of Gaussians, k.
    covariance_type : {"full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"}
        Shape of the covariances: one each, one for all, axis-parallel, round, or one of the last
        two for all.
    tol : float
        EM has converged when the mean log-likelihood changes by less, in nats per row, and with
        acceleration the gain still to come is estimated to be less too.
    reg_covar : float
        Added to every variance, in the units of the data squared.
    max_iter, n_init : int
        Most EM iterations of one start (0 only initialises), and starts; the best is selected.
    init_params : {"kmeans", "k-means++", "random", "random_from_data", "hierarchical", \
"kmeans_parallel"}
        How the first parameters are found; k-means‖ reads all rows, the others a sample of them.
    weights_init : array_like of shape (k,), optional
        Weights to start from.
    means_init : array_like of shape (k, d), optional
        Means to start from, in the units of the data.
    precisions_init : array_like, optional
        Inverse covariances to start from, of the family's shape, in the units of the data.
    random_state : int, Generator, RandomState, optional
        Where random draws begin; equal integers give equal bits.
    warm_start : bool
        Begin where the last `fit` ended, if its mixture is of the shape asked for. With the same
        rows and regularisation the first step is compared with the last one of that fit, so that
        calls of `fit` with a small `max_iter` converge; with other rows it is not.
    verbose, verbose_interval : int
        Without effect; accepted for scikit-learn's sake.
    reg_covar_relative : float or "held_out"
        The same, as a share of each feature's robust variance. "held_out": what held-out rows
        prefer where there are fewer than ten for each free parameter, else 1e-6.
    acceleration : {"squarem", "none"}
        `squarem` tries longer steps and takes back what does not help; `none` takes EM's own.
    on_collapse : {"reseed", "drop"}
        A component that collapses starts anew where rows fit badly, or ends.
    missing : {"error", "drop", "marginalise"}
        Rows with NaN or infinity: an error; label −1 and NaN scores; or fitted and scored by the
        values that they have (infinity stays an error). Rows without any value are left out.
    sample_rows, n_sample_starts : int, optional
        As in a job file; None is `auto`.
    backend : {"auto", "numpy", "numba"}
        What the passes of a fit are computed with: as in a job file.
    n_threads : int, optional
        Threads that passes run on; by default all CPUs.
    weight_kind : {"importance", "counts"}
        What `sample_weight` means: ratios alone, or how many equal rows each row stands for.
    noise : bool
        Whether a uniform density, label k, takes the rows of no Gaussian (docs/noise.md).
    inference : {"maximum_likelihood", "map", "variational"}
        What is maximised: the likelihood, that times a prior density, or the variational bound.
    mean_prior, mean_precision_prior, degrees_of_freedom_prior, covariance_prior, \
weight_concentration_prior, weight_concentration_prior_type : optional
        The prior, as in a job file and scikit-learn's BayesianGaussianMixture.

    Attributes
    ----------
    weights_ : ndarray of shape (k,)
        Weights of the components, which sum to 1; with noise to 1 less `model_.noise_weight`.
    means_ : ndarray of shape (k, d)
        Means, in the units of the data.
    covariances_ : ndarray
        Covariances in the units of the data, of shape (k, d, d) for `full`, (d, d) for `tied`,
        (k, d) for `diag`, (k,) for `spherical`.
    precisions_, precisions_cholesky_ : ndarray
        Inverse covariances, and U with precision U Uᵀ; shapes as of `covariances_`.
    model_ : MixtureModel
        The fitted model, which results are computed from; another one can be assigned.
    n_features_in_ : int
        Number of features, d, which follows from `means_`.
    feature_names_in_ : ndarray of shape (d,)
        Names of the features, where the data name them.
    converged_, n_iter_ : bool, int
        Whether the best start of the last fit converged, and after how many EM iterations.
    lower_bound_ : float
        The objective of its last E-step, per row, a lower bound of that of the final parameters:
        the mean log-likelihood, with `map` and the log prior density over the number of rows.
    lower_bounds_ : list of float
        The same for every iteration.

    Raises
    ------
    DataError
        (a ValueError) By `fit`, if a parameter is not one of those above.

    Notes
    -----
    EM for Gaussian mixtures is that of Bishop, Pattern Recognition and Machine Learning (2006),
    section 9.2; its acceleration is SQUAREM (Varadhan and Roland 2008).

    The fitted arrays are read-only, but can be assigned whole. What is assigned to `weights_`,
    `means_`, `covariances_`, `precisions_` or `precisions_cholesky_` is what `predict`, `score`,
    `sample` and `bic` compute with, and `fit` with `warm_start` begins at. It is a DataError where
    it is no mixture. Of the last three one is enough: the others follow when the mixture is next
    used, and keep their values until then; if several are assigned, they have to agree. With
    `weights_`, `means_` and one of the three assigned, an estimator needs no `fit`. The anomaly
    threshold of a model that a job has written does not outlive the assignment.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(-5, 1, (500, 2)), rng.normal(5, 1, (500, 2))])
    >>> mixture = GaussianMixture(2, random_state=0).fit(X)
    >>> np.bincount(mixture.predict(X)).tolist()
    [500, 500]
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        random_state: RandomState = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        reg_covar_relative: float | Literal["held_out"] = 0.0,
        acceleration: Acceleration = "squarem",
        on_collapse: Literal["reseed", "drop"] = "reseed",
        missing: Literal["error", "drop", "marginalise"] = "error",
        sample_rows: int | None = None,
        n_sample_starts: int | None = None,
        backend: Literal["auto", "numpy", "numba"] = "auto",
        n_threads: int | None = None,
        weight_kind: WeightKind = "importance",
        noise: bool = False,
        inference: InferenceName = "maximum_likelihood",
        mean_prior: ArrayLike | None = None,
        mean_precision_prior: float | None = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: ArrayLike | None = None,
        weight_concentration_prior: float | None = None,
        weight_concentration_prior_type: WeightPrior = "dirichlet_process",
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.reg_covar_relative = reg_covar_relative
        self.acceleration = acceleration
        self.on_collapse = on_collapse
        self.missing = missing
        self.sample_rows = sample_rows
        self.n_sample_starts = n_sample_starts
        self.backend = backend
        self.n_threads = n_threads
        self.weight_kind = weight_kind
        self.noise = noise
        self.inference = inference
        self.mean_prior = mean_prior
        self.mean_precision_prior = mean_precision_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior
        self.weight_concentration_prior = weight_concentration_prior
        self.weight_concentration_prior_type = weight_concentration_prior_type

    def fit(
        self,
        X: Any,
        y: object = None,  # noqa: ARG002 - scikit-learn's signature
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit the mixture to rows by EM.

        Parameters
        ----------
        X : array_like, table, DataArray, Dataset, AnnData, str or zarr.Array of shape (n, d)
            Rows; a text is the path of a Zarr array, which is read block by block.
        y : object
            Accepted for scikit-learn's sake; without effect.
        sample_weight : array_like of shape (n,), optional
            Weights of the rows, finite and not negative; rows of weight 0 count as absent.
            `weight_kind` says what they mean.

        Returns
        -------
        GaussianMixture
            The estimator itself, with its fitted attributes set.

        Raises
        ------
        DataError
            (a ValueError) If the data or the parameters cannot be used, or stored rows changed
            while they were read.
        ComponentError
            (a ValueError) If no mixture can be made of the rows.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.random.default_rng(0).normal([3.0, 5.0], 1.0, size=(10_000, 2))
        >>> GaussianMixture(1).fit(X).means_.round(1).tolist()
        [[3.0, 5.0]]
        """
        settings = settings_of(self)
        with opened_rows(X) as unweighted, self._executor(unweighted) as executor:
            dataset = with_sample_weight(unweighted, sample_weight, self.weight_kind)
            warn(dataset.warnings)
            settings, given, adjust = start_of_fit(self, settings, dataset.n_features)
            rows = with_cached_rows(dataset, executor.n_threads)
            result = fit(rows, executor, settings, WarningListener(), given, adjust)
            dataset.check_unchanged()
        self._set_fitted(result)
        self._end = LastFit.of(result.model, result.chosen, result.summary, settings)
        return self

    def fit_predict(self, X: Any, y: object = None, sample_weight: ArrayLike | None = None) -> Any:
        """Fit the mixture to rows and label them.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them.
        y : object
            Accepted for scikit-learn's sake; without effect.
        sample_weight : array_like of shape (n,), optional
            As `fit` takes it; rows of weight 0 are labelled too, where their values allow.

        Returns
        -------
        ndarray, Series or DataArray of int32, shape (n,)
            What `predict` returns for the same rows, and −1 for rows of weight 0 that it would
            refuse.

        Raises
        ------
        DataError, ComponentError
            As `fit` does.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.repeat([[0.0], [8.0]], 50, axis=0) + np.linspace(-1, 1, 100)[:, None]
        >>> labels = GaussianMixture(2, random_state=0).fit_predict(X)
        >>> len(set(labels[:50].tolist())), len(set(labels.tolist()))
        (1, 2)
        """
        self.fit(X, y, sample_weight)
        return self._scores(X, "labels", sample_weight)

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn's tools ask about the estimator."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing != "error"
        return tags

    def _set_fitted(self, result: Fit) -> None:
        """Set the fitted attributes."""
        chosen = result.chosen
        fitted.set_model(self, result.model)
        self.converged_ = chosen.outcome is not None and chosen.outcome.has_converged
        self.n_iter_, self.lower_bound_ = chosen.n_iter, chosen.objective
        self.lower_bounds_ = list(chosen.history)
        if not self.converged_ and chosen.outcome is not None:
            warn([f"{chosen.outcome.name}: {chosen.outcome.value}"], ConvergenceWarning)
