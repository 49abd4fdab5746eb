"""`dgmm run --rebuild-outputs`: the outputs of a finished run, written again from its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dgmm.config import Job
from dgmm.config.anomaly_settings import AnomalyRule
from dgmm.data.dataset import Dataset
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.transformed_dataset import as_model_takes
from dgmm.data.zarr.format_versions import group_attributes
from dgmm.errors import DataError, InputNotFoundError, OutputExistsError, UnavailableError
from dgmm.execution.open_cluster import open_executor
from dgmm.fitting.weighing import measured
from dgmm.job.anomalies import list_anomalies
from dgmm.job.deliveries import deliver
from dgmm.job.directory import RunDirectory
from dgmm.job.metrics_and_events import RecordingListener, now
from dgmm.job.output_stage import MODEL_ATTRIBUTE, OutputStage
from dgmm.job.plan_table import require_memory
from dgmm.job.planning import plan_for
from dgmm.job.prepare_stage import with_rows
from dgmm.job.products import MODEL, OUTPUTS, REBUILD_STATE, outputs_set_aside
from dgmm.job.result import RunResult, exit_code_of
from dgmm.job.resume_check import run_state
from dgmm.job.row_weights import beside_prepared_rows
from dgmm.job.run_resources import fitted_to
from dgmm.job.stages import cluster_settings, output_format, product_names
from dgmm.job.sweep_stage import chosen_type
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import load_model, model_digest, saved_digest


@dataclass(frozen=True, slots=True, eq=False)
class Rescoring:
    """What is scored again.

    Attributes
    ----------
    stored
        The data; their features are taken in the model's order.
    model
        Whose outputs are written; with a threshold where the scoring pass flags rows.
    rule
        How rows are flagged.
    fingerprint
        What tells the run's inputs from others.
    """

    stored: StoredDataset
    model: MixtureModel
    rule: AnomalyRule
    fingerprint: Mapping[str, Any]


def rebuild_outputs(
    job: Job, again: Rescoring, directory: RunDirectory, recording: RecordingListener
) -> RunResult:
    """Score all rows with the model that is there, and write and publish all output arrays.

    What is left of earlier outputs gets another name and stays.
    """
    plan = plan_for(job, again.stored, None if job.command == "run" else again.model)
    require_memory(plan, plan.memory_limit)
    before = directory.record["outputs"]
    _require_products(job, again, before)
    for text in outputs_set_aside(directory.folder):
        recording.warning(text)
    with (
        run_state(job, directory, again.fingerprint, recording, REBUILD_STATE) as state,
        open_executor(cluster_settings(job, plan)) as executor,
    ):
        fitted_to(executor, plan)
        readable = with_rows(job, again.stored, directory, executor, recording)
        rows: Dataset = readable
        if job.command == "run":
            rows = measured(beside_prepared_rows(job, readable, directory), executor)
        # The rows of a run are prepared with its steps behind them.
        behind = job.command == "run"
        dataset, _ = as_model_takes(
            rows, again.model, is_transformed=behind, may_have_more=not behind
        )
        recording.stage("scoring", f"{again.stored.n_samples:,} rows, with the model of the run")
        written = output_format(job, again.stored)
        stage = OutputStage(
            *(job, directory, dataset, executor, again.model, state, written),
            backend=backend_of(before),
            warn=recording.warning,
        )
        total, model = stage.write(again.rule)
        recording.end_stage()
        deliver(job, readable, model.n_labels, directory, executor, recording)
        listed = total.most_anomalous
        list_anomalies(listed, readable, model, directory, executor, recording)
    return directory.rebuilt(differing(before, directory.record["outputs"]))


def saved_model(directory: RunDirectory) -> MixtureModel:
    """The run's model, without the threshold that its outputs give it.

    Raises
    ------
    OutputExistsError
        If it is absent or damaged, or not the model that the run has saved.
    """
    try:
        model = load_model(directory.path / MODEL)
        model = replace(model, anomaly_threshold=None, anomaly_quantile=None)
        _require_own(model, directory)
    except (DataError, InputNotFoundError) as error:
        raise not_written_again(directory, error) from error
    return model


def not_written_again(directory: RunDirectory, error: Exception | str) -> OutputExistsError:
    """Why outputs cannot be written again, and what to do."""
    return OutputExistsError(
        f"the outputs of {directory.shown} cannot be written again: {error}. Put {MODEL}/ "
        "back, or choose another output.path to fit anew"
    )


def completed_again(job: Job, directory: RunDirectory, text: str) -> RunResult:
    """Record what of a finished run was made again, its outputs aside."""
    directory.record["warnings"].append(f"{text} ({now()})")
    directory.write()
    outcome = str(directory.record.get("outcome"))
    code = int(exit_code_of(directory.record, job))
    return RunResult(code, "done", outcome, text, directory.shown)


def _require_products(job: Job, again: Rescoring, before: Mapping[str, Any]) -> None:
    """Refuse before anything is moved what would leave out an array that the run had written.

    Raises
    ------
    UnavailableError
        With the arrays that nothing here makes.
    """
    has_rule = again.rule.value is not None
    flagged = has_rule or again.model.anomaly_threshold is not None
    steps = again.model.preprocess
    if lost := sorted(set(before) - set(product_names(job, anomaly=flagged, steps=steps))):
        raise UnavailableError(
            f"the outputs cannot be written again: the run has written {', '.join(lost)}, which no "
            "package that is installed here declares under dgmm.outputs. Install that package again"
        )


def _require_own(model: MixtureModel, directory: RunDirectory) -> None:
    """Refuse a model that is not the run's.

    Records of earlier versions tell its shape alone; outputs that are left tell its digest there.
    """
    record = directory.record
    n_labels, saved = len(record.get("label_counts", ())), record.get("model_sha256")
    of_outputs = _model_of_outputs(directory) if saved is None else None
    wanted = {
        "sha256": (saved, saved_digest(model)),
        "digest in outputs.zarr": (of_outputs, model_digest(model)),
        "number of labels": (n_labels or None, model.n_labels),
        "covariance_type": (chosen_type(record), model.covariance_type),
    }
    for what, (recorded, found) in wanted.items():
        if recorded not in (None, found):
            raise DataError(
                f"{MODEL}/ is not the model that this run has saved: its {what} is {found}, that "
                f"of the run {recorded}"
            )


def _model_of_outputs(directory: RunDirectory) -> str | None:
    """Whose outputs are there; None where there are none, or they do not say."""
    if not directory.folder.holds_folder(OUTPUTS):
        return None
    with directory.folder.folder(OUTPUTS) as group:
        return group_attributes(group).get(MODEL_ATTRIBUTE)


def backend_of(outputs: Mapping[str, Any]) -> str:
    """What scored the rows of recorded outputs; NumPy before that was recorded."""
    return next((str(array.get("backend", "numpy")) for array in outputs.values()), "numpy")


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The arrays whose values are not those that the run had written."""
    return [n for n in now if before.get(n, now[n]).get("sha256") != now[n]["sha256"]]
