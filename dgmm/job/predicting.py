"""`dgmm predict`: a saved model over other rows, the same outputs, the same ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from dgmm.config import Job
from dgmm.data.missing_rows import empty_rows_warning
from dgmm.data.stored_dataset import StoredDataset
from dgmm.errors import JobFileError
from dgmm.events import Listener
from dgmm.exit_codes import ExitCode
from dgmm.job.anomalies import list_anomalies
from dgmm.job.applied_model import applied_model
from dgmm.job.class_predicting import predict_classes_job
from dgmm.job.deliveries import deliver
from dgmm.job.directory import RunDirectory
from dgmm.job.lifecycle import run_recorded
from dgmm.job.metrics_and_events import RecordingListener, rows_record
from dgmm.job.output_stage import OutputStage
from dgmm.job.planning import plan_for
from dgmm.job.prepare_stage import with_repairs, with_rows
from dgmm.job.products import MODEL, missing_model, missing_outputs
from dgmm.job.rebuilding import Rescoring, completed_again, rebuild_outputs
from dgmm.job.result import RunResult
from dgmm.job.run_resources import run_resources
from dgmm.job.stages import (
    describe_data,
    open_data,
    output_format,
    rows_for_model,
    save_run_model,
    warn_of_underflow,
)
from dgmm.mixture.backends import uncached_warnings
from dgmm.model.classifier_files import classifier_at
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import model_digest
from dgmm.scoring.row_scores import select_scoring_backend
from dgmm.scoring.scoring_statistics import ScoringStatistics


def predict_job(
    job: Job, listener: Listener, *, accept_versions: bool = False, rebuild: bool = False
) -> RunResult:
    """Apply a saved model to the job's rows.

    Parameters
    ----------
    job, listener
        What to do, and who hears of it.
    accept_versions
        Resume a prediction that was begun with other versions of the software, or on another
        processor.
    rebuild
        Write the outputs of a finished prediction again, where some are missing.

    Raises
    ------
    DgmmError
        With the exit code of the command line; run.json records it too.
    """
    if job.model.path is not None and classifier_at(job.model.path) is not None:
        keys = {"accept_versions": accept_versions, "rebuild": rebuild}
        return predict_classes_job(job, listener, **keys)
    if job.data.classes is not None or job.data.groups is not None:
        raise JobFileError(
            f"data.classes and data.groups need a classifier, and model.path {job.model.path} is "
            "none: fit one with task: classify, or remove these keys"
        )
    work = partial(_predict, accept_versions=accept_versions)
    again = _rebuild if rebuild else None
    return run_recorded(
        job, listener, PredictionInputs.of, work, accept_versions=accept_versions, rebuild=again
    )


@dataclass(frozen=True, slots=True, eq=False)
class PredictionInputs:
    """The data, the model, and what tells them apart."""

    dataset: StoredDataset
    model: MixtureModel
    fingerprint: dict[str, Any]

    @classmethod
    def of(cls, job: Job, before: Mapping[str, Any]) -> Self:
        """Opened; of the data nothing but metadata is read."""
        del before
        model = applied_model(job)
        dataset = open_data(job, model)
        return cls(dataset, model, dataset.fingerprint() | {"model": model_digest(model)})


def _predict(
    job: Job,
    inputs: PredictionInputs,
    directory: RunDirectory,
    recording: RecordingListener,
    *,
    accept_versions: bool,
) -> RunResult:
    """Everything but the report."""
    model, stored, fingerprint = inputs.model, inputs.dataset, inputs.fingerprint
    _, note = rows_for_model(job, stored, model)
    directory.record["data"] = describe_data(job, stored) | {"fingerprint": fingerprint}
    directory.record["rows"]["total"] = stored.n_samples
    for text in (*stored.warnings, *([note] if note else [])):
        recording.warning(text)
    work = partial(_scored, job, inputs, directory, recording, accept_versions=accept_versions)
    return with_repairs(work, directory, recording)


def _scored(
    job: Job,
    inputs: PredictionInputs,
    directory: RunDirectory,
    recording: RecordingListener,
    *,
    accept_versions: bool,
) -> RunResult:
    """The same, from rows that are intact."""
    model, stored, fingerprint = inputs.model, inputs.dataset, inputs.fingerprint
    plan = plan_for(job, stored, model)
    with run_resources(
        job, directory, recording, plan, fingerprint, accept_versions=accept_versions
    ) as work:
        state, executor, _ = work
        readable = with_rows(job, stored, directory, executor, recording)
        dataset, _ = rows_for_model(job, readable, model)
        recording.stage("scoring", f"{dataset.n_samples:,} rows")
        written = output_format(job, stored)
        backend = state.once(
            "backend",
            lambda: select_scoring_backend(job.compute.backend, model, dataset, executor),
        )
        directory.record["backend"] = backend
        for text in uncached_warnings(backend):
            recording.warning(text)
        output_stage = OutputStage(
            *(job, directory, dataset, executor, model, state, written),
            backend=backend,
            warn=recording.warning,
        )
        total, flagging = output_stage.write(job.anomaly_rule)
        recording.end_stage()
        deliver(job, readable, model.n_labels, directory, executor, recording)
        listed = total.most_anomalous
        list_anomalies(listed, readable, flagging, directory, executor, recording)
    save_run_model(model, directory, recording)
    warn_of_underflow(total, recording)
    if total.n_empty:
        recording.warning(empty_rows_warning(total.n_empty, total.n_read))
    if total.n_filled and dataset.fill_value is not None:
        recording.warning(dataset.fill_value.scored_warning(total.n_filled, total.n_read))
    ended = directory.finish("PREDICTED", _note(directory, total), ExitCode.DONE)
    directory.forget_state()
    return ended


def _rebuild(
    job: Job, inputs: PredictionInputs, directory: RunDirectory, recording: RecordingListener
) -> RunResult:
    stored, model = inputs.dataset, inputs.model
    if missing_model(directory.folder):
        save_run_model(model, directory, recording)
        if not missing_outputs(directory.folder, directory.record):
            return completed_again(job, directory, f"{MODEL} was saved again")
    again = Rescoring(stored, model, job.anomaly_rule, inputs.fingerprint)
    return rebuild_outputs(job, again, directory, recording)


def _note(directory: RunDirectory, total: ScoringStatistics) -> str:
    """Put what was counted into the record; return the message."""
    n_rows = total.n_read - total.n_dropped
    mean = total.log_likelihood / total.weight if total.weight else None
    shown = "no row has a density" if mean is None else f"mean log-likelihood {mean:.6g}"
    directory.record |= {
        "rows": rows_record(total),
        "log_likelihood": total.log_likelihood,
        "mean_log_likelihood": mean,
        "entropy": total.entropy,
        "label_counts": total.label_counts.tolist(),
        "rows_underflowed": total.n_underflowed,
    }
    return f"predicted {n_rows:,} rows: {shown}"
