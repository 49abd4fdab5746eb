"""What a fitted estimator says about rows: labels, posteriors, densities, criteria; and draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dgmm.estimator import fitted_attributes as fitted
from dgmm.estimator.assigned_start import AssignedStart
from dgmm.estimator.counted_rows import CountedRows
from dgmm.estimator.fitted_scores import FittedScores
from dgmm.fitting.settings import whole_number
from dgmm.mixture.criteria import Criteria
from dgmm.parameter_names import speaks_python
from dgmm.random_streams import RandomState, Stage, seed_from, stream
from dgmm.scoring.in_memory import WEIGHTS

Array = NDArray[np.float64]


@speaks_python
class FittedResults(FittedScores, AssignedStart):
    """scikit-learn's methods that need a fitted mixture."""

    random_state: RandomState

    def predict(self, X: Any) -> Any:
        """Most probable component of each row.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them; columns of a table in any order.

        Returns
        -------
        ndarray of int32, shape (n,)
            Component, from 0 to k − 1; −1 for a row that is dropped as missing. A Series with the
            index of a pandas table, a DataArray with the coordinates of an xarray one.

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

    def predict_proba(self, X: Any) -> Any:
        """Posterior probability of every component for each row.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them.

        Returns
        -------
        ndarray of float64, shape (n, k)
            Probabilities, which sum to 1 along a row; NaN for a row that is dropped as missing. A
            DataArray of an xarray one, an array of all others.

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

    def score_samples(self, X: Any) -> Any:
        """Logarithm of the mixture's density at each row.

        With `missing="marginalise"` it is that of the values that a row has. Densities of rows with
        different numbers of values do not compare: the more values, the lower they are as a rule,
        and their units differ. To rank rows take `completed_log_density`.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them.

        Returns
        -------
        ndarray of float64, shape (n,)
            Log densities in nats, of densities per unit volume in the units of the data; −inf where
            the density underflows, NaN for a row that is dropped as missing. A Series or DataArray
            as of `predict`.

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

    def score(
        self,
        X: Any,
        y: object = None,  # noqa: ARG002 - scikit-learn's signature
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Mean log density of the rows that are not dropped, weighted where they have weights.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them.
        y : object
            Accepted for scikit-learn's sake; without effect.
        sample_weight : array_like of shape (n,), optional
            Weights of the rows, of which those of weight 0 do not count.

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
        return self._counted(X, sample_weight).mean_log_density

    def bic(self, X: Any, sample_weight: ArrayLike | None = None) -> float:
        """Bayesian information criterion (Schwarz 1978) of the mixture on rows.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them.
        sample_weight : array_like of shape (n,), optional
            Weights of the rows, of which those of weight 0 do not count.
            Of counts their sum takes the place of n; of importance weights, which are then scaled
            to add up to it, (Σw)²/Σw² does, and the criterion is approximate.

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
        return self._criteria(X, sample_weight).bic

    def aic(self, X: Any, sample_weight: ArrayLike | None = None) -> float:
        """Akaike information criterion (Akaike 1974) of the mixture on rows.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them.
        sample_weight : array_like of shape (n,), optional
            Weights of the rows, of which those of weight 0 do not count.
            Of counts their sum takes the place of n; of importance weights, which are then scaled
            to add up to it, (Σw)²/Σw² does, and the criterion is approximate.

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
        return self._criteria(X, sample_weight).aic

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

    def _criteria(self, X: Any, sample_weight: ArrayLike | None) -> Criteria:
        rows = self._counted(X, sample_weight)
        return rows.criteria(fitted.model_of(self).n_parameters, self.weight_kind)

    def _counted(self, X: Any, sample_weight: ArrayLike | None) -> CountedRows:
        found = self._arrays(X, "log_density", sample_weight)
        return CountedRows.of(found["log_density"], found.get(WEIGHTS))
