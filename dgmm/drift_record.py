"""What run.json records of drift: an earlier run's model on the rows of this one."""

from __future__ import annotations

from typing import Literal, TypedDict

from dgmm.comparison_record import LabelMatrixRecord


class EarlierRun(TypedDict):
    """The run that `last` stands for, found once: `path` is null where there was none, and `reason`
    says why.
    """

    path: str | None
    model_digest: str | None
    reason: str


class Adaptation(TypedDict):
    """A model that was adapted: `shares` has n/(n + relevance) of each component."""

    path: str
    relevance: float
    parameters: list[str]
    shares: list[float]


class DriftThresholds(TypedDict):
    """What is an alarm: as `monitor` has it, and the standard errors that follow."""

    hellinger: float
    weight: float
    anomaly_ratio: float
    significance: float
    standard_errors: float


class FeatureDrift(TypedDict):
    """A feature of a component: how far its mean moved, in standard deviations, and its new
    standard deviation over the old one.
    """

    feature: str
    shift: float
    scale: float


class _FeaturesOfComponent(TypedDict, total=False):
    """The features that changed most, at most three; earlier records have no such key."""

    features: list[FeatureDrift]


class ComponentDrift(_FeaturesOfComponent):
    """A component and its successor, one step of EM on the new rows.

    `rows` is n_k; `shift` the difference of the means in standard deviations, √(δᵀΛδ);
    `bhattacharyya` B and `hellinger` √(1 − e^−B) their distance; `significance` 8·B·n/p. These are
    null where the successor has too few rows, and of noise, the last. `weight_errors` is the
    difference of the weights in standard errors.
    """

    component: int
    weight: float
    new_weight: float
    rows: float
    shift: float | str | None
    bhattacharyya: float | str | None
    hellinger: float | None
    significance: float | str | None
    significance_needed: float
    weight_errors: float
    alarms: list[Literal["component", "weight"]]


class AnomalyDrift(TypedDict):
    """Share of rows below the earlier model's anomaly threshold, and that of the rows fitted."""

    rate: float
    new_rate: float
    standard_errors: float
    is_alarm: bool


class _LabelsOfDrift(TypedDict, total=False):
    """How the earlier model and this run's label rows of the sample; earlier records have none."""

    labels: LabelMatrixRecord


class Drift(_LabelsOfDrift):
    """Drift of the new rows from an earlier model; `against` is null where there was none.

    `rows` are the new rows that count, `fitted_rows` those that the model was fitted to (null where
    that is not known); of weighted ones what they are worth. `alarms` says in words what changed.
    """

    against: str | None
    reason: str
    model_sha256: str | None
    rows: float | None
    fitted_rows: float | None
    thresholds: DriftThresholds
    components: list[ComponentDrift]
    anomalies: AnomalyDrift | None
    alarms: list[str]
