"""What fitting and predicting have in common: data, cluster, scoring pass, report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dgmm.config import Job
from dgmm.data.dataset import Dataset
from dgmm.data.formats import open_stored
from dgmm.data.in_place_dataset import InPlaceDataset
from dgmm.data.source_dataset import SourceDataset
from dgmm.data.sources.plain_rows import PlainRows
from dgmm.data.sources.transformed_rows import TransformedRows
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.transformed_dataset import as_model_takes
from dgmm.data.transforms.asked_step import RESIDUAL, residual_names
from dgmm.data.transforms.preprocessing import Preprocessing
from dgmm.data.zarr.format_versions import ZarrFormat
from dgmm.data.zarr.output_array import run_of
from dgmm.data.zarr.output_store import finish_outputs
from dgmm.errors import DataError, JobFileError, OutputFailedError, StoppedError
from dgmm.events import Listener
from dgmm.execution.open_cluster import CLUSTERS, ClusterSettings, open_executor
from dgmm.execution.scheduler_address import exposure
from dgmm.job.deliveries import deliveries
from dgmm.job.directory import RunDirectory
from dgmm.job.foreign_files import foreign_set_aside
from dgmm.job.identity import data_source
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.plan import Plan
from dgmm.job.products import MODEL
from dgmm.job.resume_check import accepted_workers
from dgmm.job.row_weights import beside_plain_rows
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import save_model, saved_digest
from dgmm.reduction.executor import OpenExecutor
from dgmm.report import NUMBERS, PAGE, write_report
from dgmm.scoring.output_registry import CLASS_POSTERIORS, CLASSES, COMPLETED, ROW_OUTPUTS, SWITCHED
from dgmm.scoring.scoring_statistics import ScoringStatistics
from dgmm.storage.folders import Entry
from dgmm.storage.retry import retry_budget
from dgmm.terminal_text import listed, printable

_IMAGE_ATTRIBUTES = ("sample_dims", "sample_shape", "sample_chunks", "sample_coordinates")
_SHOWN = 10


def open_data(job: Job, model: MixtureModel | None = None) -> StoredDataset:
    """The job's data set; nothing but metadata and the chunk listing is read.

    Parameters
    ----------
    job
        Its data section.
    model
        Whose features are taken where the job names none.

    Raises
    ------
    JobFileError
        If rows would have to be prepared, and `data.prepare` is never; or if results are asked for
        in a form that the data do not have.
    """
    source = data_source(job, () if model is None else model.input_names)
    with retry_budget(job.storage.retry_s):
        dataset = beside_plain_rows(job, open_stored(job.data.format, source))
    dataset = _as_prepared(job, dataset.with_retries(job.storage.retry_s))
    deliveries(job, dataset)
    return dataset


def _as_prepared(job: Job, dataset: StoredDataset) -> StoredDataset:
    """The data set as `preprocess` and `data.prepare` have it."""
    if job.preprocess is not None:
        asked = tuple(step.asked() for step in job.preprocess)
        own = dataset.source if isinstance(dataset, SourceDataset | InPlaceDataset) else None
        plain = PlainRows(dataset, "preprocess") if own is None else own
        kind = job.data.weights.kind if job.command == "run" else None
        return SourceDataset.of(TransformedRows(plain, asked, kind, job.output.residual))
    if job.data.prepare == "always" and isinstance(dataset, InPlaceDataset):
        return SourceDataset.of(dataset.source)
    if job.data.prepare == "always" and not isinstance(dataset, SourceDataset):
        return SourceDataset.of(PlainRows(dataset))
    if isinstance(dataset, SourceDataset) and job.data.prepare == "never":
        raise JobFileError(
            f"data.prepare is never, and the rows of {dataset.kind} cannot be read in place: they "
            "are decoded and selected once and written to prepared.zarr. Remove data.prepare"
        )
    return dataset


def rows_for_model(
    job: Job, dataset: StoredDataset, model: MixtureModel
) -> tuple[Dataset, str | None]:
    """The job's rows as its model scores them, and a warning if features were moved or left out.

    Raises
    ------
    DataError
        If features of the model are absent, or in other units; the path of the data is named.
    """
    try:
        return as_model_takes(dataset, model, may_have_more=True)
    except DataError as error:
        paths = [job.data.path] if isinstance(job.data.path, str) else job.data.path
        raise DataError(f"{listed(map(printable, paths), 3)}: {error}") from None


def describe_data(job: Job, dataset: StoredDataset) -> dict[str, Any]:
    """What run.json records of the data."""
    return {
        "path": job.data.path,
        "array": job.data.array,
        "n_samples": dataset.n_samples,
        "n_features": dataset.n_features,
        "dtype": str(dataset.dtype),
        "feature_names": list(dataset.feature_names),
        "attributes": {
            key: dataset.attributes[key] for key in _IMAGE_ATTRIBUTES if key in dataset.attributes
        },
        "fingerprint": dataset.fingerprint(),
    }


def cluster_settings(job: Job, plan: Plan) -> ClusterSettings:
    """The job's cluster section as `open_executor` takes it, `auto` as its plan has it."""
    c = job.cluster
    return ClusterSettings(
        kind=plan.kind,
        n_workers=plan.n_places if c.n_workers == "auto" else int(c.n_workers),
        threads_per_worker=c.threads_per_worker,
        memory_limit=c.memory_limit,
        address=c.address,
        scheduler_file=c.scheduler_file,
    )


@contextmanager
def opened_executor(
    job: Job,
    directory: RunDirectory,
    listener: RecordingListener,
    plan: Plan,
    *,
    accept_versions: bool = False,
) -> Iterator[OpenExecutor]:
    """The job's executor; what it runs on stands in run.json before work starts.

    The plan has the kind of cluster and its workers, or threads, for a job that leaves these to
    it; what they became is in run.json. Workers that join while the job runs are compared with
    the driver too; what differs is recorded at its end.

    Raises
    ------
    OutputExistsError
        If it has workers whose bits are not those of an earlier attempt, unless that is accepted.
    """
    listener.stage("cluster", _where(job, plan))
    if plan.why and plan.kind is not None:
        directory.record["cluster"] = {"kind": plan.kind, "why": plan.why}
    if job.cluster.address is not None and (text := exposure(job.cluster.address)) is not None:
        listener.warning(text)
    with open_executor(cluster_settings(job, plan)) as executor:
        environment = executor.environment()
        for text in accepted_workers(directory, environment, accept_versions=accept_versions):
            listener.warning(text)
        directory.record["environment"] = environment
        reported = list(executor.warnings)
        for text in reported:
            listener.warning(text)
        if executor.dashboard is not None:
            listener.note(f"dashboard: {executor.dashboard}")
        directory.write()
        try:
            yield executor
        finally:
            directory.record["environment"] = executor.environment()
            for text in executor.warnings:
                if text not in reported:
                    listener.warning(text)


def _where(job: Job, plan: Plan) -> str:
    c = job.cluster
    if c.address is not None:
        return f"scheduler at {c.address}"
    if c.scheduler_file is not None:
        return f"scheduler of {c.scheduler_file}"
    where = CLUSTERS.named(plan.kind or c.kind).where
    return f"{where} (auto: {plan.why})" if plan.why else where


def product_names(
    job: Job, *, anomaly: bool, steps: Preprocessing | None = None
) -> tuple[str, ...]:
    """Arrays that the job writes: what its keys ask for, and all registered ones.

    `steps` are those of a model that is applied; a job that fits has its own.
    """
    completed = job.data.missing == "marginalise" and job.output.log_density
    own = {"anomaly": anomaly, COMPLETED: completed, "imputed_sd": job.output.imputed}
    never = dict.fromkeys((RESIDUAL, CLASSES, CLASS_POSTERIORS), False)
    wanted = {**own, **job.output.model_dump(), **never}
    names = (name for name in ROW_OUTPUTS.names() if name not in SWITCHED or wanted[name])
    return (*names, *residual_products(job, steps))


def residual_products(job: Job, steps: Preprocessing | None) -> tuple[str, ...]:
    """The residuals that the job writes: one for each `pca` that its rows go through."""
    if not job.output.residual:
        return ()
    if job.command == "run":
        return residual_names(step.asked().kind for step in job.preprocess or ())
    return () if steps is None else steps.residual_names


def output_format(job: Job, dataset: StoredDataset) -> ZarrFormat:
    """The Zarr format of what the job writes."""
    wanted = job.output.zarr_format
    return dataset.zarr_format if wanted == "auto" else wanted


def output_attributes(dataset: Dataset) -> dict[str, Any]:
    """The attributes of the output group; the image geometry travels with it."""
    kept = {k: dataset.attributes[k] for k in _IMAGE_ATTRIBUTES if k in dataset.attributes}
    return {"written_by": "dgmm", "dropped_label": -1, **kept}


def publish_outputs(part: Entry, path: Entry, run: str) -> list[str]:
    """Finish the group's metadata and give it its name: readers see all of it or nothing.

    Returns
    -------
    list of str
        What to say of files there that are not dgmm's.

    Raises
    ------
    OutputFailedError
        If it belongs to another run, or cannot be renamed.
    """
    if not part.folder.holds(part.name):  # a job that asks for no array, or it is published
        return []
    with part.folder.folder(part.name) as group:
        if run_of(group) != run:
            raise OutputFailedError(f"{part} belongs to another run: remove it, and run again")
    try:
        said = foreign_set_aside(path.folder, path.name)
        finish_outputs(part)
        path.folder.replace(part.name, path.name)
    except OSError as error:
        raise OutputFailedError(f"cannot rename {part} to {path}: {error}") from error
    return said


def save_run_model(
    model: MixtureModel, directory: RunDirectory, listener: Listener, **about: Any
) -> None:
    """Save a run's model, and record its checksum; `about` is for people."""
    for text in foreign_set_aside(directory.folder, MODEL):
        listener.warning(text)
    directory.record["model_sha256"] = saved_digest(model)
    save_model(model, directory.folder / MODEL, **about)


def warn_of_underflow(total: ScoringStatistics, listener: Listener) -> None:
    """Warn of the rows that the mean log-likelihood and the criteria leave out."""
    if total.n_underflowed:
        listener.warning(
            f"{total.n_underflowed:,} rows lie so far out that their density underflows: "
            "log_density is -inf there, and likelihood and criteria are of the other rows"
        )


def write_report_if_asked(job: Job, directory: RunDirectory, listener: Listener) -> None:
    """Write report.html and report.json where the job wants them and one is not there.

    The run is done before: a report that fails is a warning in run.json, and `dgmm report` tries
    again.
    """
    if job.output.report is False or all(directory.folder.holds(name) for name in (PAGE, NUMBERS)):
        return
    listener.stage("report", PAGE)
    try:
        begun = time.monotonic()
        write_report(directory.folder)
        directory.record["timings"]["report"] = time.monotonic() - begun
    except StoppedError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a figure stumbles over, the results stand
        text = f"no report: {error}. `dgmm report {job.output.path}` tries again"
        directory.record["warnings"].append(text)
        listener.warning(text)
    directory.write()
