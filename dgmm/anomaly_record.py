"""What run.json has of anomalies: how rows were flagged, and the table of the lowest ones."""

from __future__ import annotations

from typing import Literal, TypedDict


class _AnomalyRule(TypedDict, total=False):
    rule: Literal["quantile", "rate", "log_density", "model"]
    share: float


class Anomaly(_AnomalyRule):
    """Which rows are flagged: those with a log density below the threshold.

    `rule`: where that comes from (`anomalies` of the job); `quantile`: the share of the rows that
    it was found on, null of a log density that was given. `share`: of rows that have weights and a
    log density that was given, the share of all weight that is flagged.
    """

    quantile: float | str | None
    threshold: float | str | None
    n_anomalies: int


class AnomalyTable(TypedDict):
    """The rows of lowest log density with their reasons, in the folder `path`."""

    path: str
    files: list[str]
    rows: int
    bytes: int
    columns: list[str]
