"""`dgmm run --rebuild-outputs`: the outputs of a finished run, written again from its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dgmm.config import Job
from dgmm.data.dataset import Dataset
from dgmm.data.stored_dataset import StoredDataset
from dgmm.errors import DataError, InputNotFoundError, OutputExistsError
from dgmm.execution.open_cluster import open_executor
from dgmm.job.directory import RunDirectory
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.output_stage import OutputStage
from dgmm.job.plan_table import require_memory
from dgmm.job.planning import plan_for
from dgmm.job.products import MODEL, OUTPUTS, REBUILD_STATE, set_aside
from dgmm.job.result import RunResult
from dgmm.job.resume_check import run_state
from dgmm.job.stages import cluster_settings, output_format
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import load_model


@dataclass(frozen=True, slots=True, eq=False)
class Rescoring:
    """What is scored again.

    Attributes
    ----------
    stored, dataset
        The data, and the same with features in the model's order.
    model
        Whose outputs are written; with a threshold where the scoring pass flags rows.
    quantile
        Share of rows to flag once their densities are known, or None.
    fingerprint
        What tells the run's inputs from others.
    """

    stored: StoredDataset
    dataset: Dataset
    model: MixtureModel
    quantile: float | None
    fingerprint: Mapping[str, Any]


def rebuild_outputs(
    job: Job, again: Rescoring, directory: RunDirectory, recording: RecordingListener
) -> RunResult:
    """Score all rows with the model that is there, and write and publish all output arrays.

    What is left of earlier outputs gets another name and stays.
    """
    plan = plan_for(job, again.stored, None if job.command == "run" else again.model)
    before = directory.record["outputs"]
    if directory.folder.holds(OUTPUTS):
        aside = set_aside(directory.folder, OUTPUTS)
        recording.warning(f"what was left of {OUTPUTS} is now {aside}: remove it, or keep it")
    with (
        run_state(job, directory, again.fingerprint, recording, REBUILD_STATE) as state,
        open_executor(cluster_settings(job, plan.n_places)) as executor,
    ):
        plan = plan.found(
            executor.task_memory_limit, executor.threads_per_worker, executor.pause_share
        )
        require_memory(plan, executor.task_memory_limit)
        recording.stage("scoring", f"{again.dataset.n_samples:,} rows, with the model of the run")
        written = output_format(job, again.stored)
        stage = OutputStage(
            *(job, directory, again.dataset, executor, again.model, state, written),
            backend=_backend_of(before),
        )
        stage.write(quantile=again.quantile)
        recording.end_stage()
    return directory.rebuilt(_differing(before, directory.record["outputs"]))


def saved_model(directory: RunDirectory) -> MixtureModel:
    """The run's model, without the threshold that its outputs give it.

    Raises
    ------
    OutputExistsError
        If it is absent or damaged.
    """
    try:
        model = load_model(directory.path / MODEL)
    except (DataError, InputNotFoundError) as error:
        raise OutputExistsError(
            f"the outputs of {directory.shown} cannot be written again: {error}. Put {MODEL}/ "
            "back, or choose another output.path to fit anew"
        ) from error
    return replace(model, anomaly_threshold=None, anomaly_quantile=None)


def _backend_of(outputs: Mapping[str, Any]) -> str:
    """What scored the rows of recorded outputs; NumPy before that was recorded."""
    return next((str(array.get("backend", "numpy")) for array in outputs.values()), "numpy")


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The arrays whose values are not those that the run had written."""
    return [n for n in now if before.get(n, now[n]).get("sha256") != now[n]["sha256"]]
