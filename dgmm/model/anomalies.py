"""What a fitted mixture says of rows that it does not expect: which they are, and why."""

from __future__ import annotations

from typing import Any

from dgmm.data.result_forms import as_given
from dgmm.errors import DataError
from dgmm.model.scored_rows import NamedMixture, explained, scored_rows
from dgmm.parameter_names import speaks_python
from dgmm.scoring.anomaly_reasons import N_REASONS, AnomalyReasons
from dgmm.scoring.row_scores import is_anomalous


@speaks_python
class AnomalousRows:
    """Methods of a model for rows of low density."""

    __slots__ = ()

    def is_anomaly(self: NamedMixture, X: Any) -> Any:
        """Rows whose log density lies below the saved threshold, or is −inf.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as the estimator takes them.

        Returns
        -------
        ndarray of bool, shape (n,)
            Whether a row is an anomaly.

        Raises
        ------
        DataError
            (a ValueError) If the model has no threshold, or the rows cannot be used.
        """
        if self.anomaly_threshold is None:
            raise DataError(
                "the model has no anomaly threshold: a job with anomalies.quantile, anomalies.rate "
                "or anomalies.log_density saves one"
            )
        log_density = scored_rows(X, self, "log_density")
        return as_given(X, is_anomalous(log_density, self.anomaly_threshold), "anomaly")

    def explain_anomalies(
        self: NamedMixture, X: Any, n_features: int = N_REASONS
    ) -> AnomalyReasons:
        """The features of each row whose values the other features did not expect.

        Of the row's most probable component, the nearest one where its density underflows: the
        feature without which the squared Mahalanobis distance is smallest, then the one without
        which the rest of it is, and so on.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as the estimator takes them; not only anomalies.
        n_features : int
            How many features of each row, at most.

        Returns
        -------
        AnomalyReasons
            Arrays (n, n_features): the features with what was observed and expected, in the units
            of the data; `columns()` gives them as columns of a table.

        Raises
        ------
        DataError
            (a ValueError) If the rows cannot be used, or hold NaN or infinity.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], 5000)
        >>> reasons = GaussianMixture(1).fit(X).model_.explain_anomalies([[1, -2]])
        >>> reasons.names[0].tolist(), reasons.expected[0, 0].round(1).item()
        (['x1', 'x0'], 0.9)
        """
        return explained(X, self, n_features)
