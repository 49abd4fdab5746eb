"""Estimators that begin EM where labels or responsibilities of rows say."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.open_dataset import opened_rows
from dgmm.data.sample_weight import with_sample_weight
from dgmm.data.standardisation import Standardisation
from dgmm.data.summary.summarise import summarise
from dgmm.errors import DataError
from dgmm.estimator.start_of_fit import settings_of
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em.regularisation import regularisation_of_start
from dgmm.fitting.em.saved_progress import NO_SAVED_PROGRESS
from dgmm.fitting.initialisation.assigned_rows import ByRow, parameters_of_assigned_rows
from dgmm.fitting.preparation import sample_rows
from dgmm.fitting.settings import FitSettings, whole_number
from dgmm.fitting.weighing import weighed
from dgmm.mixture.covariance import family_named
from dgmm.model.mixture_model import MixtureModel
from dgmm.parameter_names import in_words_of_python
from dgmm.reduction.executor import Executor


class AssignedStart:
    """The way from known components of rows to a start."""

    @classmethod
    @in_words_of_python
    def from_labels(
        cls, X: Any, labels: Any, *, sample_weight: ArrayLike | None = None, **parameters: Any
    ) -> Self:
        """An estimator whose EM begins at the components of given labels or responsibilities.

        Its `weights_init`, `means_init` and `precisions_init` come of one M-step over all rows.

        Parameters
        ----------
        X : array_like, table, str or zarr.Array of shape (n, d)
            Rows, as `fit` takes them; rows that lack values are left out of this step.
        labels : array_like of shape (n,) or (n, k)
            The component of each row, numbered from 0, −1 where none is known; or responsibilities,
            at least 0 and at most 1 in a row's sum.
        sample_weight : array_like of shape (n,), optional
            Weights of the rows, as `fit` takes them.
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
        own, n = settings_of(estimator), estimator.n_threads
        family = family_named(own.covariance_type)
        n = None if n is None else whole_number("n_threads", n, 1)
        with opened_rows(X) as unweighted, ThreadExecutor(n) as executor:
            R = _responsibilities(labels, unweighted.n_samples)
            rows = with_sample_weight(unweighted, sample_weight, estimator.weight_kind)
            rows, units = _in_units_of_a_fit(rows, executor, own)
            added = regularisation_of_start(units, own.reg_covar, own.reg_covar_relative)
            found = parameters_of_assigned_rows(
                *(rows, executor, units, family, ByRow(R), range(R.shape[1])), added
            )
            model = MixtureModel(found, units, rows.feature_names)
        estimator.n_components = R.shape[1]
        estimator.weights_init, estimator.means_init = model.weights, model.means
        estimator.precisions_init = model.precisions
        return estimator  # type: ignore[no-any-return] # the estimator mixes this class in


def _in_units_of_a_fit(
    given: Dataset, executor: Executor, settings: FitSettings
) -> tuple[Dataset, Standardisation]:
    """Rows with their weights as EM has them, and the units of a sample of all of them.

    Of the first rows alone the units, and what `reg_covar_relative` adds, would be those of one
    component where rows are sorted.

    Raises
    ------
    DataError
        If every row lacks a value, or weights are none.
    """
    rows, weights = weighed(given, executor, settings, SilentListener(), NO_SAVED_PROGRESS)
    summary = summarise(
        *(rows, executor),
        missing="drop",
        sample_rows=sample_rows(settings, rows.n_features),
        seed=settings.seed,
        weights=weights,
    )
    common = family_named(settings.covariance_type).common_scale
    units = Standardisation.from_sample(
        summary.sample, common_scale=common, weights=summary.sample_weights
    )
    return rows, units


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
        if given.dtype.kind not in "biuf" or not given.shape[1]:
            raise DataError(
                f"responsibilities are {given.shape[1]} columns of {given.dtype}; expected numbers "
                "in at least one"
            )
        R = np.asarray(given, dtype=np.float64)
        sums = R.sum(axis=1)
        if not (np.isfinite(R).all() and (R >= 0).all() and (sums <= 1 + 1e-9).all()):
            raise DataError(
                "responsibilities are at least 0 and sum to at most 1 in each row; these do not"
            )
        return R
    if given.dtype.kind not in "iu":
        raise DataError(f"labels are {given.dtype}; expected integers, −1 where none is known")
    k = int(given.max()) + 1 if n else 0
    if k < 1 or int(given.min()) < -1:
        raise DataError("labels are −1 where none is known, and else from 0; these are not")
    if k > n:
        raise DataError(
            f"the largest label is {k - 1}, of {n:,} rows; expected components numbered from 0 "
            "without a gap: numpy.unique(labels, return_inverse=True)[1] numbers them"
        )
    return np.asarray(given[:, None] == np.arange(k), dtype=np.float64)
