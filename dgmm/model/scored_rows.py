"""Scores of the rows that a Python user hands to a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.feature_names import are_positions
from dgmm.data.open_dataset import opened_rows
from dgmm.data.transformed_dataset import as_model_takes
from dgmm.data.transforms.preprocessing import Preprocessing
from dgmm.execution.threads import ThreadExecutor
from dgmm.python_warnings import warn
from dgmm.scoring.anomaly_reasons import AnomalyReasons
from dgmm.scoring.explained_rows import explained_rows
from dgmm.scoring.in_memory import scores
from dgmm.scoring.row_scores import ScoredMixture

_MARGINALISE = (
    ', or score what rows with NaN have: GaussianMixture.from_model(model, missing="marginalise")'
)
_OUTSIDE = "; values out of the domain of a step of the model's preprocess are NaN behind it"


class NamedMixture(ScoredMixture, Protocol):
    """A mixture that knows what its features are called."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name per feature."""

    @property
    def preprocess(self) -> Preprocessing | None:
        """Steps that rows go through first."""

    @property
    def feature_units(self) -> Mapping[str, str]:
        """Unit of each of the user's features that has one, by name."""


def _further(model: NamedMixture) -> str:
    """What more a user may do where rows hold NaN, or why they do."""
    if model.preprocess is not None:  # an estimator takes rows as they are fitted: behind the steps
        return _OUTSIDE
    return _MARGINALISE if model.parameters.expected_log_weights is None else ""


def taken_rows(rows: Dataset, model: NamedMixture) -> Dataset:
    """Rows as the model scores them.

    There is a warning if stored columns without names were moved, since x0, x1, … may be names.

    Raises
    ------
    DataError
        As `as_model_takes`.
    """
    dataset, note = as_model_takes(rows, model, notes_positions=False)
    if note is not None and are_positions(rows.feature_names):
        warn([note])
    return dataset


def scored_rows(X: Any, model: NamedMixture, name: str) -> NDArray[Any]:
    """One array of scores of rows X, on all CPUs of this process.

    Raises
    ------
    DataError
        If the rows cannot be used, or hold NaN or infinity.
    """
    with opened_rows(X) as rows, ThreadExecutor() as executor:
        dataset = taken_rows(rows, model)
        further = _further(model)
        return scores(
            *(dataset, executor, model, (name,)),
            remedy=f"Drop such rows first{further}",
            warn=lambda text: warn([text]),
        )[name]


def explained(X: Any, model: NamedMixture, n_features: int) -> AnomalyReasons:
    """The reasons of rows X, in the units that they come in.

    Raises
    ------
    DataError
        If the rows cannot be used, or hold NaN or infinity.
    """
    with opened_rows(X) as rows, ThreadExecutor() as executor:
        return explained_rows(
            *(taken_rows(rows, model), executor, model, n_features),
            steps=model.preprocess,
            remedy=f"Drop such rows first{_further(model)}",
            warn=lambda text: warn([text]),
        )
