"""scikit-learn's interface to the same rooms: arrays and Zarr in, results in memory."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dgmm.data.opening import as_dataset
from dgmm.data.selected_features import in_model_order
from dgmm.data.standardisation import Standardisation
from dgmm.errors import DataError
from dgmm.estimator import fitted_attributes as fitted
from dgmm.estimator.fitted_mixture import FittedMixture
from dgmm.estimator.python_warnings import WarningListener, warn
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em.acceleration import Acceleration
from dgmm.fitting.fit import Fit, StartTransform, UserStart, fit
from dgmm.fitting.preparation import FitSettings, whole_number
from dgmm.fitting.start_arrays import with_arrays
from dgmm.fitting.warm_start import LastFit
from dgmm.job.memory_plan import keep_rows
from dgmm.mixture import criteria
from dgmm.mixture.covariance import family_named
from dgmm.mixture.parameters import Parameters
from dgmm.parameter_names import speaks_python
from dgmm.random_streams import RandomState, Stage, seed_from, stream
from dgmm.scoring.in_memory import scores
from dgmm.sklearn_classes import ConvergenceWarning, EstimatorBase

Array = NDArray[np.float64]


@speaks_python
class GaussianMixture(FittedMixture, EstimatorBase):
    """A Gaussian mixture with scikit-learn's parameters, attributes and methods.

    Rows are NumPy arrays, tables (pandas, polars, Arrow), or Zarr arrays by path or object; Zarr on
    disk is read block by block. Arrays of Dask, xarray or HDF5 that are not in memory are loaded up
    to 256 MiB. Results are arrays in memory; a job (`dgmm run`) writes them to disk.

    Where scikit-learn is installed this is one of its estimators (`BaseEstimator`, with its repr),
    and its `NotFittedError` and `ConvergenceWarning` catch those of this class.

    Parameters
    ----------
    n_components : int
    covariance_type : {"full", "tied", "diag", "spherical"}
    tol : float
        Bound of the change of the mean log-likelihood, nats per row, and with acceleration of the
        gain that is estimated to be still to come.
    reg_covar : float
        Added to every variance, user units.
    max_iter, n_init : int
    init_params : {"kmeans", "k-means++", "random", "random_from_data", "hierarchical", \
"kmeans_parallel"}
    weights_init, means_init, precisions_init : array_like, optional
        A start of one's own, whole or in part: (k,), (k, d), and precisions of the family's shape.
    random_state : int, Generator, RandomState, optional
        Equal integers give equal bits.
    warm_start : bool
        Begin where the last `fit` ended, if its mixture is of the shape asked for. With the same
        rows and regularisation the first step is compared with the last one of that fit, so that
        calls of `fit` with a small `max_iter` converge; with other rows it is not.
    verbose, verbose_interval : int
        Accepted for scikit-learn's sake; without effect.
    reg_covar_relative, acceleration, on_collapse, sample_rows, sample_starts
        As in a job file (None is `auto`); `acceleration="none"` takes scikit-learn's own steps.
    missing : {"error", "drop"}
        Rows with NaN or infinity: an error, or label −1 and NaN scores.
    n_threads : int, optional
        Threads that passes run on; by default all CPUs.

    Attributes
    ----------
    weights_, means_, covariances_, precisions_, precisions_cholesky_
        In user units, shapes as in scikit-learn; read-only arrays, which can be assigned whole.
    model_
        The fitted `dgmm.model.mixture_model.MixtureModel`; another one can be assigned.
    n_features_in_, feature_names_in_
        The former follows from `means_`; the latter only where the data name their features.
    converged_, n_iter_, lower_bound_, lower_bounds_
        Of the best start of the last fit. `lower_bound_` is the mean log-likelihood of its last
        E-step, a bound from below of that of the final parameters.

    Notes
    -----
    What is assigned to weights_, means_, covariances_, precisions_ or precisions_cholesky_ is what
    `predict`, `score`, `sample` and `bic` compute with, and `fit` with `warm_start` begins at. It
    is a DataError where it is no mixture. Of the last three one is enough: the others follow when
    the mixture is next used, and keep their values until then; if several are assigned, they have
    to agree. With weights_, means_ and one of the three assigned, an estimator needs no `fit`. The
    anomaly threshold of a model that a job has written does not outlive the assignment.

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
        reg_covar_relative: float = 0.0,
        acceleration: Acceleration = "squarem",
        on_collapse: Literal["reseed", "drop"] = "reseed",
        missing: Literal["error", "drop"] = "error",
        sample_rows: int | None = None,
        sample_starts: int | None = None,
        n_threads: int | None = None,
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
        self.sample_starts = sample_starts
        self.n_threads = n_threads

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Fit the mixture to rows X (n, d) or a Zarr path.

        Raises
        ------
        DataError
            (a ValueError) If the data or the parameters cannot be used, or stored rows changed.
        """
        settings = self._settings()
        dataset = as_dataset(X)
        warn(dataset.warnings)
        settings, given, adjust = self._start(settings, dataset.n_features)
        with self._executor() as executor:
            rows = keep_rows(dataset, executor.n_threads)
            result = fit(rows, executor, settings, WarningListener(), given, adjust)
        dataset.check_unchanged()
        self._keep(result)
        self._end = LastFit.of(result.model, result.chosen, result.summary, settings)
        return self

    def fit_predict(self, X: Any, y: object = None) -> NDArray[np.int32]:
        """Fit, then label the same rows."""
        return self.fit(X, y).predict(X)

    def predict(self, X: Any) -> NDArray[np.int32]:
        """Most probable component (n,) of each row; −1 for rows dropped as missing."""
        return self._scores(X, "labels")

    def predict_proba(self, X: Any) -> Array:
        """Posteriors (n, k)."""
        return self._scores(X, "responsibilities")

    def score_samples(self, X: Any) -> Array:
        """Log density (n,) of each row, nats."""
        return self._scores(X, "log_density")

    def score(self, X: Any, y: object = None) -> float:  # noqa: ARG002 - scikit-learn's signature
        """Mean log density of the rows that are not dropped, nats per row."""
        return float(self._kept_log_density(X).mean())

    def bic(self, X: Any) -> float:
        """Bayesian information criterion on X; smaller is better."""
        return self._criteria(X).bic

    def aic(self, X: Any) -> float:
        """Akaike information criterion on X; smaller is better."""
        return self._criteria(X).aic

    def sample(self, n_samples: int = 1) -> tuple[Array, NDArray[np.int32]]:
        """Draw rows (n, d) and their components (n,); a ValueError below 1 row."""
        model, n = fitted.model_of(self), whole_number("n_samples", n_samples, 1)
        return model.sample(n, stream(Stage.SAMPLING, seed_from(self.random_state)))

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn's tools ask about the estimator."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "drop"
        return tags

    def _criteria(self, X: Any) -> criteria.Criteria:
        log_density = self._kept_log_density(X)
        total, free = float(log_density.sum()), fitted.model_of(self).n_parameters
        return criteria.criteria(total, 0.0, free, len(log_density))

    def _kept_log_density(self, X: Any) -> Array:
        """Log densities of the rows that are not dropped, of which there must be one."""
        log_density = self.score_samples(X)
        kept = log_density[~np.isnan(log_density)]
        if len(kept) == 0:
            raise DataError(f"no row is left: all {len(log_density):,} hold NaN or infinite values")
        return kept

    def _scores(self, X: Any, name: str) -> NDArray[Any]:
        model = fitted.model_of(self)
        dataset, note = in_model_order(as_dataset(X), model.feature_names)
        warn((*dataset.warnings, *([note] if note else [])))
        with self._executor() as executor:
            found = scores(
                *(dataset, executor, model, (name,)),
                drop=self.missing == "drop",
                warn=lambda text: warn([text]),
            )
            return found[name]

    def _executor(self) -> ThreadExecutor:
        n = self.n_threads
        return ThreadExecutor(None if n is None else whole_number("n_threads", n, 1))

    def _settings(self) -> FitSettings:
        others = {f.name for f in fields(FitSettings)} - {"method", "seed"}
        same = {name: getattr(self, name) for name in others}
        return FitSettings(**same, method=self.init_params, seed=seed_from(self.random_state))

    def _start(
        self, settings: FitSettings, n_features: int
    ) -> tuple[FitSettings, UserStart | None, StartTransform | None]:
        """Where EM begins: at the last mixture, at arrays, or where a method and arrays say."""
        whole = replace(settings, n_init=1, method="given")
        if self.warm_start and fitted.is_fitted(self):
            last = fitted.model_of(self)
            asked = (settings.n_components, n_features, settings.covariance_type)
            if (last.n_components, last.n_features, last.covariance_type) == asked:
                end = getattr(self, "_end", None)
                # Attributes that were set since have made another model.
                same = end is not None and end.model is last
                return whole, end if same else last.standardised_parameters, None
        arrays = (self.weights_init, self.means_init, self.precisions_init)
        if all(array is not None for array in arrays):
            return whole, lambda standardisation: self._adjusted(None, standardisation), None
        has_part = any(array is not None for array in arrays)
        return settings, None, self._adjusted if has_part else None

    def _adjusted(self, drawn: Parameters | None, standardisation: Standardisation) -> Parameters:
        """A method's start with the given arrays put in their places."""
        return with_arrays(
            drawn,
            standardisation,
            family_named(self.covariance_type),
            self.n_components,
            weights=self.weights_init,
            means=self.means_init,
            precisions=self.precisions_init,
        )

    def _keep(self, result: Fit) -> None:
        """Set the fitted attributes."""
        chosen = result.chosen
        fitted.keep(self, result.model)
        self.converged_ = chosen.outcome is not None and chosen.outcome.has_converged
        self.n_iter_, self.lower_bound_ = chosen.n_iter, chosen.mean_log_likelihood
        self.lower_bounds_ = list(chosen.history)
        if not self.converged_ and chosen.outcome is not None:
            warn([f"{chosen.outcome.name}: {chosen.outcome.value}"], ConvergenceWarning)
