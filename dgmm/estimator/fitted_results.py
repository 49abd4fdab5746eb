"""What a fitted estimator says about rows: labels, posteriors, densities, criteria; and draws."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.open_dataset import as_dataset
from dgmm.data.selected_features import in_model_order
from dgmm.errors import DataError
from dgmm.estimator import fitted_attributes as fitted
from dgmm.estimator.fitted_mixture import FittedMixture
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.settings import whole_number
from dgmm.mixture import criteria
from dgmm.parameter_names import speaks_python
from dgmm.python_warnings import warn
from dgmm.random_streams import RandomState, Stage, seed_from, stream
from dgmm.scoring.in_memory import WEIGHTS, scores

Array = NDArray[np.float64]


@speaks_python
class FittedResults(FittedMixture):
    """scikit-learn's methods that need a fitted mixture."""

    missing: str
    n_threads: int | None
    backend: Literal["auto", "numpy", "numba"]
    random_state: RandomState

    def predict(self, X: Any) -> NDArray[np.int32]:
        """Most probable component of each row.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them; columns of a table in any order.

        Returns
        -------
        ndarray of int32, shape (n,)
            Component, from 0 to k − 1; −1 for a row that is dropped as missing.

        Raises
        ------
        NotFittedError
            (a ValueError) If there is no mixture.
        DataError
            (a ValueError) If the rows cannot be used: another number of features, or NaN or
            infinity with `missing="error"`.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.repeat([[0.0], [8.0]], 50, axis=0) + np.linspace(-1, 1, 100)[:, None]
        >>> mixture = GaussianMixture(2, random_state=0).fit(X)
        >>> labels = mixture.predict([[0.1], [7.9], [8.0]])
        >>> bool(labels[0] != labels[1] == labels[2])
        True
        """
        return self._scores(X, "labels")

    def predict_proba(self, X: Any) -> Array:
        """Posterior probability of every component for each row.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them.

        Returns
        -------
        ndarray of float64, shape (n, k)
            Probabilities, which sum to 1 along a row; NaN for a row that is dropped as missing.

        Raises
        ------
        NotFittedError
            (a ValueError) If there is no mixture.
        DataError
            (a ValueError) If the rows cannot be used.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.repeat([[0.0], [8.0]], 50, axis=0) + np.linspace(-1, 1, 100)[:, None]
        >>> mixture = GaussianMixture(2, random_state=0).fit(X)
        >>> mixture.predict_proba([[0.1], [7.9]]).max(axis=1).round(6).tolist()
        [1.0, 1.0]
        """
        return self._scores(X, "responsibilities")

    def score_samples(self, X: Any) -> Array:
        """Logarithm of the mixture's density at each row.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them.

        Returns
        -------
        ndarray of float64, shape (n,)
            Log densities in nats, of densities per unit volume in the units of the data; −inf where
            the density underflows, NaN for a row that is dropped as missing.

        Raises
        ------
        NotFittedError
            (a ValueError) If there is no mixture.
        DataError
            (a ValueError) If the rows cannot be used.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.random.default_rng(0).normal(size=(1000, 2))
        >>> mixture = GaussianMixture(1).fit(X)
        >>> near, far = mixture.score_samples([[0.0, 0.0], [3.0, 3.0]])
        >>> bool(near > far)
        True
        """
        return self._scores(X, "log_density")

    def score(self, X: Any, y: object = None) -> float:  # noqa: ARG002 - scikit-learn's signature
        """Mean log density of the rows that are not dropped, weighted where they have weights.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them.
        y : object
            Accepted for scikit-learn's sake; without effect.

        Returns
        -------
        float
            Mean log-likelihood, in nats per row.

        Raises
        ------
        NotFittedError
            (a ValueError) If there is no mixture.
        DataError
            (a ValueError) If the rows cannot be used, or all are dropped.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.random.default_rng(0).normal(size=(1000, 2))
        >>> mixture = GaussianMixture(1).fit(X)
        >>> bool(np.isclose(mixture.score(X), mixture.score_samples(X).mean()))
        True
        """
        log_density, weights = self._weighted_log_density(X)
        return float(np.average(log_density, weights=weights))

    def bic(self, X: Any) -> float:
        """Bayesian information criterion (Schwarz 1978) of the mixture on rows.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them.

        Returns
        -------
        float
            −2 · log-likelihood + free parameters · log n; smaller is better.

        Raises
        ------
        NotFittedError
            (a ValueError) If there is no mixture.
        DataError
            (a ValueError) If the rows cannot be used, or all are dropped.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.random.default_rng(0).normal(size=(1000, 2))
        >>> one, two = (GaussianMixture(k, random_state=0).fit(X) for k in (1, 2))
        >>> one.bic(X) < two.bic(X)
        True
        """
        return self._criteria(X).bic

    def aic(self, X: Any) -> float:
        """Akaike information criterion (Akaike 1974) of the mixture on rows.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them.

        Returns
        -------
        float
            −2 · log-likelihood + 2 · free parameters; smaller is better.

        Raises
        ------
        NotFittedError
            (a ValueError) If there is no mixture.
        DataError
            (a ValueError) If the rows cannot be used, or all are dropped.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.random.default_rng(0).normal(size=(1000, 2))
        >>> mixture = GaussianMixture(1).fit(X)
        >>> bool(np.isclose(mixture.aic(X), -2 * 1000 * mixture.score(X) + 2 * 5))
        True
        """
        return self._criteria(X).aic

    def sample(self, n_samples: int = 1) -> tuple[Array, NDArray[np.int32]]:
        """Draw rows from the mixture.

        Parameters
        ----------
        n_samples : int
            How many rows, at least 1.

        Returns
        -------
        X : ndarray of float64, shape (n_samples, d)
            Rows in the units of the data, ordered by component.
        y : ndarray of int32, shape (n_samples,)
            The component of each.

        Raises
        ------
        NotFittedError
            (a ValueError) If there is no mixture.
        DataError
            (a ValueError) If `n_samples` is not a whole number of at least 1.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.random.default_rng(0).normal(size=(1000, 2))
        >>> drawn, component = GaussianMixture(1, random_state=0).fit(X).sample(3)
        >>> drawn.shape, component.tolist()
        ((3, 2), [0, 0, 0])
        """
        model, n = fitted.model_of(self), whole_number("n_samples", n_samples, 1)
        return model.sample(n, stream(Stage.SAMPLING, seed_from(self.random_state)))

    def _criteria(self, X: Any) -> criteria.Criteria:
        log_density, weights = self._weighted_log_density(X)
        free, n = fitted.model_of(self).n_parameters, float(len(log_density))
        if weights is not None:
            log_density, n = log_density * weights, float(weights.sum())
        return criteria.criteria(float(log_density.sum()), 0.0, free, n)

    def _weighted_log_density(self, X: Any) -> tuple[Array, Array | None]:
        """Log densities (m,) of the rows that count, and their weights (m,) where they have any."""
        found = self._arrays(X, "log_density")
        log_density, weights = found["log_density"], found.get(WEIGHTS)
        counted = ~np.isnan(log_density)
        if not counted.any():
            raise DataError(f"no row is left: all {len(log_density):,} hold NaN or infinite values")
        if weights is None:
            return log_density[counted], None
        counted &= weights > 0
        if not counted.any():
            raise DataError(f"no row is left: all {len(log_density):,} are incomplete or weigh 0")
        return log_density[counted], weights[counted]

    def _scores(self, X: Any, name: str) -> NDArray[Any]:
        return self._arrays(X, name)[name]

    def _arrays(self, X: Any, name: str) -> dict[str, NDArray[Any]]:
        """One array of scores of rows X, and the rows' weights where they have any."""
        model = fitted.model_of(self)
        dataset, note = in_model_order(as_dataset(X), model.feature_names)
        warn((*dataset.warnings, *([note] if note else [])))
        with self._executor() as executor:
            return scores(
                *(dataset, executor, model, (name,)),
                missing=MissingPolicy(self.missing),
                backend=self.backend,
                warn=lambda text: warn([text]),
            )

    def _executor(self) -> ThreadExecutor:
        n = self.n_threads
        return ThreadExecutor(None if n is None else whole_number("n_threads", n, 1))
