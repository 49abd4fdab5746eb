"""Scores of rows by a fitted estimator, and densities that compare where rows lack values."""

from __future__ import annotations

from typing import Any, Literal

from numpy.typing import ArrayLike, NDArray

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.open_dataset import opened_rows
from dgmm.data.result_forms import as_given
from dgmm.data.sample_weight import with_sample_weight
from dgmm.data.selected_features import in_model_order
from dgmm.data.summary.weight_summary import weigh
from dgmm.data.weight_kind import WeightKind
from dgmm.data.weighted_dataset import WeightedDataset
from dgmm.estimator import fitted_attributes as fitted
from dgmm.estimator.fitted_mixture import FittedMixture
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.settings import whole_number
from dgmm.parameter_names import speaks_python
from dgmm.python_warnings import warn
from dgmm.scoring.anomaly_reasons import N_REASONS, AnomalyReasons
from dgmm.scoring.explained_rows import explained_rows
from dgmm.scoring.in_memory import scores
from dgmm.scoring.output_registry import COMPLETED


@speaks_python
class FittedScores(FittedMixture):
    """What a fitted mixture computes of every row."""

    missing: str
    weight_kind: WeightKind
    n_threads: int | None
    backend: Literal["auto", "numpy", "numba"]

    def completed_log_density(self, X: Any) -> Any:
        """Log density of each row as expected once its missing values are known: rows compare.

        log p(x_o) − Σ r_k h_k, with the entropy h_k = ½ log det(2πe C_k) of what is missing given
        what is observed. Of complete rows it is `score_samples`. A job's anomalies go by it.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them; they may lack values with `missing="marginalise"`.

        Returns
        -------
        ndarray of float64, shape (n,)
            In nats, of densities per unit volume in the units of the data; −inf where the density
            underflows, NaN for a row that is dropped as missing. A Series or DataArray as of
            `predict`.

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
        >>> mixture = GaussianMixture(1, missing="marginalise").fit(X)
        >>> whole, part, far = mixture.completed_log_density([[0, 0], [0, np.nan], [9, np.nan]])
        >>> bool(whole > part > far)
        True
        """
        return self._scores(X, COMPLETED)

    def explain_anomalies(self, X: Any, n_features: int = N_REASONS) -> AnomalyReasons:
        """The features of each row whose values the other features did not expect.

        Of the row's most probable component, the nearest one where its density underflows: the
        feature without which the squared Mahalanobis distance is smallest, then the one without
        which the rest of it is, and so on. Over the values that a row has.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them; not only anomalies.
        n_features : int
            How many features of each row, at most.

        Returns
        -------
        AnomalyReasons
            Arrays (n, n_features): the features with what was observed and expected, in the units
            of the data; `columns()` gives them as columns of a table.

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
        >>> X = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], 5000)
        >>> reasons = GaussianMixture(1).fit(X).explain_anomalies([[1, -2]])
        >>> reasons.names[0].tolist(), reasons.expected[0, 0].round(1).item()
        (['x1', 'x0'], 0.9)
        """
        model = fitted.model_of(self)
        with opened_rows(X) as opened, self._executor(opened) as executor:
            return explained_rows(
                *(self._in_order(opened), executor, model, n_features),
                missing=MissingPolicy(self.missing),
                warn=lambda text: warn([text]),
            )

    def _in_order(self, opened: Dataset) -> Dataset:
        """Rows with the model's features in its order; of what is unclear there is a warning.

        Rows come as they are fitted: behind the steps, in whatever unit.
        """
        model = fitted.model_of(self)
        units = model.feature_units if model.preprocess is None else {}
        dataset, note = in_model_order(opened, model.feature_names, units)
        warn((*dataset.warnings, *([note] if note else [])))
        return dataset

    def _scores(self, X: Any, name: str, sample_weight: ArrayLike | None = None) -> Any:
        return as_given(X, self._arrays(X, name, sample_weight)[name], name)

    def _arrays(
        self, X: Any, name: str, sample_weight: ArrayLike | None = None
    ) -> dict[str, NDArray[Any]]:
        """One array of scores of rows X, and the rows' weights where they have any."""
        model = fitted.model_of(self)
        with opened_rows(X) as opened, self._executor(opened) as executor:
            dataset = with_sample_weight(self._in_order(opened), sample_weight, self.weight_kind)
            if isinstance(dataset, WeightedDataset):
                known = weigh(dataset, executor, n_components=1)
                dataset = dataset.in_units_of(known.scoring_unit)
            return scores(
                *(dataset, executor, model, (name,)),
                missing=MissingPolicy(self.missing),
                backend=self.backend,
                warn=lambda text: warn([text]),
            )

    def _executor(self, dataset: Dataset) -> ThreadExecutor:
        n = self.n_threads
        return ThreadExecutor(
            None if n is None else whole_number("n_threads", n, 1),
            caller_computes=isinstance(dataset, ArrayDataset),
        )
