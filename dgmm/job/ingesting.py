"""`dgmm ingest`: the first stage of a job alone, into its run directory or any other place."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from dgmm.config import Job
from dgmm.data.source_dataset import SourceDataset
from dgmm.data.sources.plain_rows import PlainRows
from dgmm.data.stored_dataset import StoredDataset
from dgmm.errors import JobFileError, OutputExistsError
from dgmm.events import Listener
from dgmm.execution.open_cluster import open_executor
from dgmm.exit_codes import ExitCode
from dgmm.ingest.prepare import PreparedTarget, counted_missing, is_prepared, opened, prepare
from dgmm.job.accepted_cost import known_cost
from dgmm.job.directory import RunDirectory
from dgmm.job.fit_inputs import FitInputs
from dgmm.job.identity import fingerprint
from dgmm.job.lifecycle import run_recorded
from dgmm.job.lock_beside import locked_beside
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.output_path import open_run_folder
from dgmm.job.plan_table import require_memory
from dgmm.job.planning import plan_for
from dgmm.job.predicting import PredictionInputs
from dgmm.job.prepare_stage import prepared_words, with_fitted_steps, with_rows
from dgmm.job.result import RunResult
from dgmm.job.run_resources import fitted_to, run_resources
from dgmm.job.stages import cluster_settings, describe_data, open_data
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import load_model
from dgmm.runtime.blas_threads import limited_thread
from dgmm.runtime.resource_errors import shortages_named
from dgmm.storage.atomic_files import plain

Inputs = FitInputs | PredictionInputs


def ingest_job(job: Job, listener: Listener, *, accept_versions: bool = False) -> RunResult:
    """Prepare the job's rows in its run directory; `run_job` and `predict_job` go on from there.

    Parameters
    ----------
    job, listener
        What to do, and who hears of it.
    accept_versions
        Resume what was begun with other versions of the software, or on another processor.

    Raises
    ------
    JobFileError
        If the rows are read in place.
    DgmmError
        With the exit code of the command line; run.json records it too.
    """
    read = FitInputs.of if job.command == "run" else PredictionInputs.of
    work = partial(_ingest, accept_versions=accept_versions)
    return run_recorded(job, listener, read, work, accept_versions=accept_versions)


@limited_thread()
def ingest_to(job: Job, listener: Listener, *, to: str) -> RunResult:
    """Write the job's rows to a Zarr group of its own, plain arrays too.

    Parameters
    ----------
    job, listener
        What is read and where, and who hears of it.
    to
        Path of the group; while it is written `.part` is added.

    Raises
    ------
    OutputExistsError
        If something else lies there, or another process writes there.
    DgmmError
        As `dgmm.ingest.prepare.prepare`.
    """
    model = None if job.model.path is None else load_model(job.model.path)
    found = open_data(job, model)
    dataset = found if isinstance(found, SourceDataset) else SourceDataset.of(PlainRows(found))
    path = Path(to).absolute()
    with open_run_folder(path.parent) as folder, shortages_named(), locked_beside(folder, path):
        target = PreparedTarget(folder, path.name, fingerprint(plain(dataset.fingerprint())))
        was_there = is_prepared(dataset, target)
        if folder.holds(path.name) and not was_there:
            raise OutputExistsError(
                f"{to} exists and holds something else than these rows. Choose another path, or "
                "remove it"
            )
        for text in dataset.warnings:
            listener.warning(text)
        if not was_there:
            _prepare(job, dataset, model, target, listener)
        missing = _missing(opened(target))
    message = f"{dataset.n_samples:,} rows of {dataset.n_features} features are in {to}{missing}"
    said = f"{message} (prepared before)" if was_there else message
    return RunResult(int(ExitCode.DONE), "done", "PREPARED", said, path, was_finished=was_there)


def _prepare(
    job: Job,
    dataset: SourceDataset,
    model: MixtureModel | None,
    target: PreparedTarget,
    listener: Listener,
) -> None:
    plan = plan_for(job, dataset, model)
    require_memory(plan, plan.memory_limit)
    with open_executor(cluster_settings(job, plan)) as executor:
        fitted_to(executor, plan)
        dataset = with_fitted_steps(job, dataset, executor, listener)
        listener.stage("prepare", prepared_words(dataset))
        prepare(dataset, executor, target, retry_s=job.storage.retry_s, note=listener.note)


def _ingest(
    job: Job,
    inputs: Inputs,
    directory: RunDirectory,
    recording: RecordingListener,
    *,
    accept_versions: bool,
) -> RunResult:
    dataset = inputs.dataset
    if not isinstance(dataset, SourceDataset):
        raise JobFileError(
            f"the rows of {job.data.path} are a plain array and read in place: nothing is to be "
            "prepared. --to PATH copies them, and so does data.prepare: always"
        )
    directory.record["data"] = describe_data(job, dataset) | {"fingerprint": inputs.fingerprint}
    directory.record["rows"]["total"] = dataset.n_samples
    for text in dataset.warnings:
        recording.warning(text)
    plan = plan_for(job, dataset, getattr(inputs, "model", None))
    with run_resources(
        *(job, directory, recording, plan, inputs.fingerprint), accept_versions=accept_versions
    ) as work:
        rows = with_rows(job, dataset, directory, work.executor, recording)
        cost = known_cost(job, rows, work.executor)
    if cost is not None:
        directory.record["missing"] = cost.record()
    if cost is not None and cost.is_high:
        recording.warning(f"{cost.describe()}: dgmm run will ask for --accept-cost")
    message = f"{dataset.n_samples:,} rows are prepared{_missing(rows)}"
    return directory.pause(f"{message}; dgmm {job.command} goes on")


def _missing(rows: StoredDataset) -> str:
    """What rows lack, for the end of a sentence; empty where they lack nothing."""
    counts = counted_missing(rows)
    if counts is None or not (counts.patterns.n_partial or counts.n_empty):
        return ""
    return f": {counts.describe()}"
