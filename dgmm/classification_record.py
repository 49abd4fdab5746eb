"""What run.json records of a job that classifies: its classes, and how often it is right."""

from __future__ import annotations

from typing import TypedDict


class ClassRecord(TypedDict):
    """The mixture of one class, fitted to `rows` rows; likelihood is that of the last E-step."""

    name: int | str
    rows: int
    prior: float
    n_components: int
    n_parameters: int
    outcome: str
    n_iter: int
    start: str
    mean_log_likelihood: float | str


class CalibrationBin(TypedDict):
    """Rows whose predicted class has a posterior between `low` and `high`."""

    low: float
    high: float
    rows: int
    mean_posterior: float | None
    accuracy: float | None


class EvaluationRecord(TypedDict):
    """Predictions against known classes.

    `log_loss` is in nats per row, null where a row has no density under its class.
    `calibration_error` is the mean gap between posterior and accuracy over the bins of
    `calibration`, weighted by rows. `confusion` has a list for each class: rows by predicted class;
    `recall` the share of each class that is predicted right.
    """

    rows: int
    accuracy: float | None
    log_loss: float | None
    calibration_error: float | None
    names: list[int | str]
    confusion: list[list[int]]
    recall: list[float | None]
    calibration: list[CalibrationBin]


class GroupsRecord(TypedDict, total=False):
    """Groups of rows, predicted by sums of log densities.

    `mixed` have rows of several classes; `path` is a table with a line for each.
    """

    n_groups: int
    mixed: int
    path: str
    all_rows: EvaluationRecord
    held_out: EvaluationRecord


class ShrinkageRecord(TypedDict):
    """A share of each feature's variance, added to all because classes or components have few rows.

    `held_out`: mean log-likelihood of held-out rows of the sample at each share that was tried,
    null where a mixture could not be fitted.
    """

    share: float
    held_out: dict[str, float | None]


class Classification(TypedDict, total=False):
    """A job that classifies, or applies a classifier.

    `all_rows`: the saved classifier, on all rows with a class, of which it has seen those that were
    fitted; `held_out`: each row by a classifier that has not seen its fold.
    """

    classes: list[ClassRecord]
    rows_without_class: int
    folds: int
    passes: int
    shrinkage: ShrinkageRecord
    all_rows: EvaluationRecord
    held_out: EvaluationRecord
    groups: GroupsRecord
