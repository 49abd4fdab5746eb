"""What a job has to do with the model of an earlier run: compare it with new rows, or adapt it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from dgmm.config.settings import Settings
from dgmm.config.values import LocalPath, refusal

#: In place of a path: the newest finished run beside this one.
LAST = "last"

Positive = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0)]
Share = Annotated[float, Field(strict=True, gt=0, lt=1)]
Ratio = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=1)]
AdaptedParameters = Literal["weights", "means", "covariances"]


class MonitorSettings(Settings):
    """Drift: whether the model of an earlier run still describes the new rows."""

    against: LocalPath | None = None
    """The earlier model: `last`, that of the newest finished run of the same features in the
    directory that holds `output.path`; or a run directory or model directory. null does not
    look."""
    on_drift: Literal["warn", "error"] = "warn"
    """An alarm: `warn` warns and exits 0, `error` exits 20 once everything is written."""
    hellinger: Share = 0.07
    """Hellinger distance between a component and its successor, one step of EM on the new rows,
    above which there is an alarm."""
    weight: Share = 0.02
    """Change of a component's weight above which there is an alarm."""
    anomaly_ratio: Ratio = 2.0
    """Rate of rows below the earlier model's anomaly threshold, over the expected rate, above
    which there is an alarm."""
    significance: Positive = 3.0
    """What 8·B·n/p has to exceed too, B a component's Bhattacharyya distance, n its rows, p its
    parameters. Raise it r times where rows are correlated in runs of r; the tests of weights and
    of the rate of anomalies (4 standard errors) become as much stricter."""


def _each_once(names: list[AdaptedParameters]) -> list[AdaptedParameters]:
    if len({*names}) < len(names):
        raise refusal("expected each name once")
    return names


class AdaptSettings(Settings):
    """Maximum a posteriori adaptation of an earlier model to new rows, in place of a fit."""

    relevance: Positive | None = None
    """Rows that a component of the earlier model counts as, such as 16: of n new rows it takes over
    the share n / (n + relevance). null fits."""
    parameters: Annotated[
        list[AdaptedParameters], Field(min_length=1), AfterValidator(_each_once)
    ] = Field(default=["means"])
    """What is adapted: `weights`, `means`, `covariances`; all else stays."""
