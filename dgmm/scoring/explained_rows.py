"""Reasons of all rows of a data set, for those who can hold them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, Protocol

import numpy as np

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import REMEDY, MissingPolicy
from dgmm.data.transforms.preprocessing import Preprocessing
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.runtime.blas_threads import limited_thread
from dgmm.scoring.anomaly_reasons import AnomalyReasons, ExplainingMixture, anomaly_reasons
from dgmm.scoring.in_memory import scores
from dgmm.scoring.row_scores import ScoredMixture


class ExplainedMixture(ScoredMixture, ExplainingMixture, Protocol):
    """What scores rows and explains them."""


@limited_thread()
def explained_rows(
    dataset: Dataset,
    executor: Executor,
    model: ExplainedMixture,
    n_features: int,
    *,
    steps: Preprocessing | None = None,
    missing: MissingPolicy = MissingPolicy.ERROR,
    remedy: str = REMEDY,
    warn: Callable[[str], None] | None = None,
) -> AnomalyReasons:
    """The reasons of every row; one that is left out has component −1 and none.

    Parameters
    ----------
    dataset, executor, model
        Rows, where they are scored, and the mixture that they are rows of.
    n_features
        Features of each row, at most.
    steps
        Steps that the rows have behind them, whose units are not the user's; or None.
    missing, remedy
        What is done with missing values, and the end of that error's message.
    warn
        Hears what a user should know of the rows.

    Raises
    ------
    DataError
        If `missing` refuses a row, or the number of features is none.
    """
    most = _number_of_features(n_features)
    found = scores(
        *(dataset, executor, model, ("labels",)), missing=missing, remedy=remedy, warn=warn
    )
    labels = found["labels"]
    parts = []
    for block in dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks)):
        rows = np.asarray(block.values, dtype=np.float64)
        own = anomaly_reasons(model, rows, labels[block.start : block.stop], most)
        parts.append(own.in_units_before(steps, rows))
    return _joined(parts)


def _number_of_features(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
        raise DataError(f"n_features is {value!r}; expected an integer of at least 1")
    return int(value)


def _joined(parts: Sequence[AnomalyReasons]) -> AnomalyReasons:
    fields = (
        *("components", "squared_distances", "features", "losses"),
        *("observed", "expected", "deviations"),
    )
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in fields)
    return AnomalyReasons(parts[0].feature_names, *arrays)
