"""The monitor of a job: one pass of an earlier model over the new rows, before the fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dgmm.config import Job
from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.transformed_dataset import as_model_takes
from dgmm.drift_record import ComponentDrift, DriftThresholds, FeatureDrift
from dgmm.drift_record import Drift as DriftRecord
from dgmm.errors import DataError, JobFileError
from dgmm.fitting.drift.alarms import Alarm, Thresholds
from dgmm.fitting.drift.drift_pass import DriftStatistics, drift_pass, drift_pass_name
from dgmm.fitting.drift.measure import Drift
from dgmm.fitting.weighing import weighed
from dgmm.job.directory import RunDirectory
from dgmm.job.earlier_run import EarlierModel, LastRun
from dgmm.job.fit_settings import fit_settings
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.run_resources import RunResources
from dgmm.model.model_files import saved_digest
from dgmm.scoring.row_scores import select_scoring_backend
from dgmm.storage.atomic_files import plain
from dgmm.terminal_text import printable

#: Features of a component that are recorded.
_MOST_FEATURES = 3


def rows_of_earlier(
    job: Job, dataset: Dataset, earlier: EarlierModel, key: str
) -> tuple[Dataset, str | None]:
    """The job's rows as an earlier model takes them, by the names of its features; what was moved.

    `key` is the job's key that names the model.

    Raises
    ------
    JobFileError
        If the model's rows are behind other steps.
    DataError
        If features of the model are absent, or in other units.
    """
    path = printable(earlier.path)
    steps = earlier.model.preprocess
    asked = None if job.preprocess is None else [step.asked().record() for step in job.preprocess]
    own = None if steps is None else list(steps.asked)
    if plain(asked) != plain(own):
        raise JobFileError(
            f"{key} {path} was fitted to rows behind the steps {own}, the job's preprocess is "
            f"{asked}: make them agree"
        )
    try:
        return as_model_takes(dataset, earlier.model, is_transformed=True, may_have_more=True)
    except DataError as error:
        raise DataError(f"{key} {path}: {error}") from None


def monitor(
    job: Job,
    rows: Dataset,
    earlier: EarlierModel | None,
    last: LastRun | None,
    directory: RunDirectory,
    recording: RecordingListener,
    work: RunResources,
) -> None:
    """Measure drift where the job asks for it, record it, and warn of alarms.

    Parameters
    ----------
    job, rows
        The job, and its rows as they are fitted.
    earlier, last
        The model that they are compared with; None where `last` is no run yet, and then why.
    directory, recording, work
        Where it is recorded, who hears of it, and what it is computed with.
    """
    if job.monitor.against is None:
        return
    thresholds = Thresholds(
        *(job.monitor.hellinger, job.monitor.weight, job.monitor.anomaly_ratio),
        job.monitor.significance,
    )
    if earlier is None:
        reason = "" if last is None else last.reason
        directory.record["drift"] = _without_model(thresholds, reason)
        recording.note(f"drift is not measured: {reason}")
        directory.write()
        return
    recording.stage("drift", f"one step of EM of {earlier.path} on {rows.n_samples:,} rows")
    found = earlier_statistics(job, rows, earlier, "monitor.against", recording, work)
    counts = job.data.weights.kind == "counts"
    drift = Drift.of(earlier.model, found, earlier.before, counts_are_rows=counts)
    alarms = thresholds.alarms(drift)
    record = drift_record(earlier, drift, thresholds, alarms)
    directory.record["drift"] = record
    recording.drift(record)
    for text in record["alarms"]:
        recording.warning(f"drift: {text}")
    recording.end_stage()
    directory.write()


def earlier_statistics(
    job: Job,
    rows: Dataset,
    earlier: EarlierModel,
    key: str,
    recording: RecordingListener,
    work: RunResources,
) -> DriftStatistics:
    """What one pass of an earlier model over all rows finds; made once in a run."""
    state, executor = work.state, work.executor
    dataset, note = rows_of_earlier(job, rows, earlier, key)
    if note is not None:
        recording.warning(note)
    model, missing = earlier.model, MissingPolicy(job.data.missing)
    name = drift_pass_name(model, missing)
    weighed(rows, executor, fit_settings(job)[0], recording, state)  # are they weights at all?
    backend = state.once(
        f"{name}-backend",
        lambda: select_scoring_backend(job.compute.backend, model, dataset, executor),
    )
    return state.once(
        name,
        lambda: drift_pass(
            *(dataset, executor, model),
            missing=missing,
            backend=backend,
            progress=state.of_pass(name),
        ),
    )


def drift_record(
    earlier: EarlierModel, drift: Drift, thresholds: Thresholds, alarms: Sequence[Alarm]
) -> DriftRecord:
    """As run.json has it."""
    needed = thresholds.significance_needed(drift.n_parameters)
    components: list[ComponentDrift] = [
        {
            "component": j,
            "weight": float(drift.weights[j]),
            "new_weight": float(drift.new_weights[j]),
            "rows": float(drift.rows[j]),
            "shift": _known(drift.shifts[j]),
            "bhattacharyya": _known(drift.distances[j]),
            "hellinger": _known(drift.hellinger[j]),
            "significance": _known(drift.significances[j]),
            "significance_needed": float(needed[j]),
            "weight_errors": float(drift.weight_errors[j]),
            "alarms": [a.kind for a in alarms if a.component == j and a.kind != "anomalies"],
            "features": _features(drift, j, earlier.model.feature_names),
        }
        for j in range(len(drift.weights))
    ]
    record = _without_model(thresholds, "")
    is_known = drift.rate is not None and drift.new_rate is not None
    record |= {
        "against": earlier.path,
        "model_sha256": saved_digest(earlier.model),
        "rows": drift.n_rows,
        "fitted_rows": drift.n_rows_before,
        "components": components,
        "anomalies": {
            "rate": drift.rate or 0.0,
            "new_rate": drift.new_rate or 0.0,
            "standard_errors": drift.rate_errors or 0.0,
            "is_alarm": Alarm("anomalies") in alarms,
        }
        if is_known
        else None,
        "alarms": [_words(alarm, drift, earlier.model.n_components) for alarm in alarms],
    }
    return record


def _features(drift: Drift, j: int, names: Sequence[str]) -> list[FeatureDrift]:
    """Those that have changed most in a component."""
    shifts, scales = drift.feature_shifts, drift.feature_scales
    if shifts is None or scales is None:
        return []
    return [
        {"feature": names[f], "shift": float(shifts[j, f]), "scale": float(scales[j, f])}
        for f in drift.features(j, _MOST_FEATURES)
    ]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _without_model(thresholds: Thresholds, reason: str) -> DriftRecord:
    own: DriftThresholds = {
        "hellinger": thresholds.hellinger,
        "weight": thresholds.weight,
        "anomaly_ratio": thresholds.anomaly_ratio,
        "significance": thresholds.significance,
        "standard_errors": thresholds.standard_errors,
    }
    return {
        "against": None,
        "reason": reason,
        "model_sha256": None,
        "rows": None,
        "fitted_rows": None,
        "thresholds": own,
        "components": [],
        "anomalies": None,
        "alarms": [],
    }


def _words(alarm: Alarm, drift: Drift, k: int) -> str:
    """What has changed, how far, and how sure that is."""
    if alarm.component is None:
        return (
            f"{drift.new_rate or 0.0:.3g} of the rows lie below the anomaly threshold, expected "
            f"{drift.rate or 0.0:.3g} ({drift.rate_errors or 0.0:.1f} standard errors)"
        )
    j = alarm.component
    if alarm.kind == "weight":
        named = "noise" if j == k else f"component {j}"
        return (
            f"{named} has the weight {drift.new_weights[j]:.3g}, before "
            f"{drift.weights[j]:.3g} ({abs(drift.weight_errors[j]):.1f} standard errors)"
        )
    return (
        f"component {j} is at a Hellinger distance of {drift.hellinger[j]:.3g} from where it was, "
        f"its mean moved by {drift.shifts[j]:.3g} sd (8·B·n/p {drift.significances[j]:.3g})"
    )
