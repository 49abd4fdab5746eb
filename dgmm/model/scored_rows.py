"""Scores of the rows that a Python user hands to a model."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from dgmm.data.open_dataset import opened_rows
from dgmm.data.selected_features import in_model_order
from dgmm.execution.threads import ThreadExecutor
from dgmm.python_warnings import warn
from dgmm.scoring.in_memory import scores
from dgmm.scoring.row_scores import ScoredMixture


class NamedMixture(ScoredMixture, Protocol):
    """A mixture that knows what its features are called."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name per feature."""


def scored_rows(X: Any, model: NamedMixture, name: str) -> NDArray[Any]:
    """One array of scores of rows X, on all CPUs of this process.

    Raises
    ------
    DataError
        If the rows cannot be used, or hold NaN or infinity.
    """
    with opened_rows(X) as rows, ThreadExecutor() as executor:
        dataset = in_model_order(rows, model.feature_names)[0]
        return scores(
            *(dataset, executor, model, (name,)),
            remedy="Drop such rows first",
            warn=lambda text: warn([text]),
        )[name]
