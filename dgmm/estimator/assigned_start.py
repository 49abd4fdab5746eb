"""Estimators that begin EM where labels or responsibilities of rows say."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.open_dataset import opened_rows
from dgmm.data.standardisation import Standardisation
from dgmm.errors import DataError
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.initialisation.assigned_rows import ByRow, parameters_of_assigned_rows
from dgmm.mixture.covariance import family_named
from dgmm.model.mixture_model import MixtureModel
from dgmm.parameter_names import speaks_python
from dgmm.reduction.blocks import BlockRange


@speaks_python
class AssignedStart:
    """The way from known components of rows to a start."""

    @classmethod
    def from_labels(cls, X: Any, labels: Any, **parameters: Any) -> Self:
        """An estimator whose EM begins at the components of given labels or responsibilities.

        Its `weights_init`, `means_init` and `precisions_init` come of one M-step over all rows.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them; rows that lack values are left out of this step.
        labels : array_like of shape (n,) or (n, k)
            The component of each row, numbered from 0, −1 where none is known; or responsibilities,
            at least 0 and at most 1 in a row's sum.
        **parameters
            Of the estimator (`covariance_type`, `random_state`, ...).

        Returns
        -------
        GaussianMixture
            Not fitted yet; `n_components` is that of the labels.

        Raises
        ------
        DataError
            (a ValueError) If labels are of other rows or no labels, or a component has fewer rows
            than its covariance needs.

        Examples
        --------
        >>> import numpy as np
        >>> from dgmm import GaussianMixture
        >>> X = np.random.default_rng(0).normal([[0.0], [9.0]], 1.0, size=(2, 500)).reshape(-1, 1)
        >>> known = np.repeat([1, -1, 0, -1], [100, 400, 100, 400])
        >>> mixture = GaussianMixture.from_labels(X, known).fit(X)
        >>> mixture.means_.round().astype(int).ravel().tolist()
        [9, 0]
        """
        estimator: Any = cls(**parameters)
        family = family_named(estimator.covariance_type)
        with opened_rows(X) as rows, ThreadExecutor(estimator.n_threads) as executor:
            R = _responsibilities(labels, rows.n_samples)
            first = next(iter(rows.read_blocks(BlockRange(0, 1)))).values
            seen = first[np.isfinite(first).all(axis=1)]
            units = Standardisation.from_sample(seen, common_scale=family.common_scale)
            found = parameters_of_assigned_rows(
                *(rows, executor, units, family, ByRow(R), range(R.shape[1])),
                estimator.reg_covar_relative,
            )
            model = MixtureModel(found, units, rows.feature_names)
        estimator.n_components = R.shape[1]
        estimator.weights_init, estimator.means_init = model.weights, model.means
        estimator.precisions_init = model.precisions
        return estimator  # type: ignore[no-any-return] # the estimator mixes this class in


def _responsibilities(labels: Any, n: int) -> NDArray[np.float64]:
    """(n, k), of labels one-hot.

    Raises
    ------
    DataError
        If they are neither, or not of n rows.
    """
    given = np.asarray(labels)
    if given.ndim not in (1, 2) or len(given) != n:
        raise DataError(
            f"labels have the shape {given.shape}; expected ({n},), or ({n}, k) responsibilities"
        )
    if given.ndim == 2:
        R = np.asarray(given, dtype=np.float64)
        sums = R.sum(axis=1)
        if not (np.isfinite(R).all() and (R >= 0).all() and (sums <= 1 + 1e-9).all()):
            raise DataError(
                "responsibilities are at least 0 and sum to at most 1 in each row; these do not"
            )
        return R
    if given.dtype.kind not in "iu":
        raise DataError(f"labels are {given.dtype}; expected integers, −1 where none is known")
    k = int(given.max(initial=-1)) + 1
    if k < 1 or given.min() < -1:
        raise DataError("labels are −1 where none is known, and else from 0; these are not")
    return np.asarray(given[:, None] == np.arange(k), dtype=np.float64)
