"""The first stage of a job whose rows a source yields: they are read once and written plainly."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar, cast

from dgmm.config import Job
from dgmm.data.feature_units import units_of
from dgmm.data.source_dataset import DamagedRowsError, SourceDataset
from dgmm.data.sources.transformed_rows import PREPROCESS, TransformedRows
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.transforms.preprocessing import Preprocessing
from dgmm.errors import DataError
from dgmm.events import Listener
from dgmm.ingest.prepare import (
    PreparedTarget,
    counted_missing,
    is_prepared,
    opened,
    prepare,
    with_prepared_rows,
)
from dgmm.ingest.preprocess_passes import fitted_rows
from dgmm.ingest.repairing import is_repairable, repair
from dgmm.job.directory import RunDirectory
from dgmm.job.foreign_files import foreign_set_aside
from dgmm.job.identity import fingerprint
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.products import PREPARED
from dgmm.model.mixture_model import MixtureModel
from dgmm.reduction.executor import Executor
from dgmm.run_record import Preprocess
from dgmm.storage.atomic_files import plain
from dgmm.storage.folders import Folder
from dgmm.terminal_text import listed

T = TypeVar("T")


def with_rows(
    job: Job,
    dataset: StoredDataset,
    directory: RunDirectory,
    executor: Executor,
    recording: RecordingListener,
) -> StoredDataset:
    """The data set as passes read it: a source's rows are prepared first, unless they are there.

    Parameters
    ----------
    job, dataset
        What is read.
    directory, recording
        Where prepared rows go, and who hears of it.
    executor
        Where the source is read.

    Raises
    ------
    DgmmError
        As `dgmm.ingest.prepare.prepare`.
    """
    if not isinstance(dataset, SourceDataset):
        return dataset
    target = prepared_target(dataset, directory.folder)
    if is_prepared(dataset, target):
        found = _prepared_before(job, dataset, directory, executor, recording, target)
        if found is not None:
            return found
    dataset = with_fitted_steps(job, dataset, executor, recording)
    _note_features(dataset, directory)
    return _prepare(job, dataset, directory, executor, recording, target)


def _prepared_before(
    job: Job,
    dataset: SourceDataset,
    directory: RunDirectory,
    executor: Executor,
    recording: RecordingListener,
    target: PreparedTarget,
) -> StoredDataset | None:
    """The rows that an earlier attempt has prepared; None where they have to be, all of them.

    Chunks that are absent, or that the record calls damaged, are written again.
    """
    earlier = directory.record.get("prepared") or (directory.previous or {}).get("prepared")
    if earlier is not None:
        directory.record["prepared"] = earlier
    is_damaged = earlier is not None and earlier.get("is_damaged", False)
    known: SourceDataset | None = None
    try:
        known = _with_known_steps(dataset, target)
        _note_features(known, directory)
        found = _with_retries(job, known, target)
        if not is_damaged:
            return found
    except DataError as error:
        recording.warning(f"{error}. What is damaged or absent is written again")
    if known is not None and is_repairable(known, target):
        _repair(job, known, directory, executor, recording, target)
        with suppress(DataError):
            return _with_retries(job, known, target)
    for text in foreign_set_aside(directory.folder, PREPARED):
        recording.warning(text)
    directory.folder.remove(PREPARED)
    return None


def _repair(
    job: Job,
    dataset: SourceDataset,
    directory: RunDirectory,
    executor: Executor,
    recording: RecordingListener,
    target: PreparedTarget,
) -> None:
    recording.stage("prepare", f"{PREPARED} is repaired")
    retry_s = job.storage.retry_s
    n_chunks = repair(dataset, executor, target, retry_s=retry_s, note=recording.note)
    recording.end_stage()
    chunks, were = ("chunk", "was") if n_chunks == 1 else ("chunks", "were")
    recording.warning(
        f"{n_chunks:,} {chunks} of {PREPARED} {were} damaged or absent, and written again from "
        "the source"
    )
    if "prepared" in directory.record:
        directory.record["prepared"].pop("is_damaged", None)
    directory.write()


def with_repairs(work: Callable[[], T], directory: RunDirectory, recording: RecordingListener) -> T:
    """What `work` gives, which begins with `with_rows`; done anew where prepared rows are damaged.

    Once: rows that are damaged again are an error. A run that is killed meanwhile repairs them when
    it is started again.

    Raises
    ------
    DamagedRowsError
        If they are damaged again.
    """
    try:
        return work()
    except DamagedRowsError as error:
        if "prepared" not in directory.record:
            raise
        recording.warning(f"{PREPARED} is damaged: {error.found}")
        directory.record["prepared"]["is_damaged"] = True
        directory.write()
    return work()


def prepared_target(dataset: SourceDataset, folder: Folder) -> PreparedTarget:
    """Where the rows of a source lie in a run directory."""
    return PreparedTarget(folder, PREPARED, fingerprint(plain(dataset.fingerprint())))


def steps_of(dataset: StoredDataset) -> Preprocessing | None:
    """The steps that rows have behind them, fitted; None where the job asks for none."""
    source = dataset.source if isinstance(dataset, SourceDataset) else None
    return source.steps if isinstance(source, TransformedRows) else None


def user_units(dataset: StoredDataset) -> Mapping[str, str]:
    """Units of the features that the user has, before `preprocess`, as far as they are stated."""
    source = dataset.source if isinstance(dataset, SourceDataset) else None
    if isinstance(source, TransformedRows):
        return source.source.description.units
    return units_of(dataset)


def with_steps(model: MixtureModel, dataset: StoredDataset) -> MixtureModel:
    """A model of prepared rows as a user needs it: with the steps before it, and units of rows."""
    return replace(model, preprocess=steps_of(dataset), feature_units=user_units(dataset))


def note_steps(
    steps: Preprocessing | None, directory: RunDirectory, recording: RecordingListener
) -> None:
    """Record the steps' numbers, and warn of values out of their domains."""
    if steps is None:
        return
    directory.record["preprocess"] = cast("Preprocess", steps.record())
    for step, counts in zip(steps.steps, steps.n_outside, strict=True):
        if counts:
            values = (f"{n:,} of {name}" for name, n in counts.items())
            recording.warning(
                f"preprocess: {step.kind} has no result for {listed(values, 6)}: these values are "
                "missing behind it"
            )


def with_fitted_steps(
    job: Job, dataset: SourceDataset, executor: Executor, recording: Listener
) -> SourceDataset:
    """The data set with its steps fitted to the rows, where it has any."""
    if not isinstance(dataset.source, TransformedRows) or dataset.source.steps is not None:
        return dataset
    kinds = ", ".join(step.kind for step in dataset.source.asked)
    recording.stage(PREPROCESS, kinds)
    return fitted_rows(dataset, executor, retry_s=job.storage.retry_s, note=recording.note)


def prepared_words(dataset: SourceDataset) -> str:
    """`336,776 rows of Parquet table in 12 parts`."""
    n_parts = len(dataset.parts)
    parts = f"{n_parts:,} part{'s' * (n_parts != 1)}"
    return f"{dataset.n_samples:,} rows of {dataset.kind} in {parts}"


def _with_retries(job: Job, dataset: SourceDataset, target: PreparedTarget) -> StoredDataset:
    return with_prepared_rows(dataset, target).with_retries(job.storage.retry_s)


def _with_known_steps(dataset: SourceDataset, target: PreparedTarget) -> SourceDataset:
    """The data set with the steps that stand beside the rows that were prepared."""
    source = dataset.source
    if not isinstance(source, TransformedRows):
        return dataset
    steps = Preprocessing.of_record(opened(target).attributes.get(PREPROCESS))
    return SourceDataset.of(source.with_steps(steps))


def _note_features(dataset: SourceDataset, directory: RunDirectory) -> None:
    """Record how many features there are, which `pca` with a share of the variance chooses."""
    names = list(dataset.feature_names)
    own = {"n_features": len(names), "feature_names": names}
    directory.record["data"] = (directory.record["data"] or {}) | own


def _prepare(
    job: Job,
    dataset: SourceDataset,
    directory: RunDirectory,
    executor: Executor,
    recording: RecordingListener,
    target: PreparedTarget,
) -> StoredDataset:
    recording.stage("prepare", prepared_words(dataset))
    for text in foreign_set_aside(directory.folder, PREPARED):
        recording.warning(text)
    begun = time.monotonic()
    prepare(dataset, executor, target, retry_s=job.storage.retry_s, note=recording.note)
    recording.end_stage()
    rows = _with_retries(job, dataset, target)
    if (missing := counted_missing(rows)) is not None:
        recording.note(f"prepare: {missing.describe()}")
    directory.record["prepared"] = {
        "kind": dataset.kind,
        "parts": len(dataset.parts),
        "rows": dataset.n_samples,
        "bytes": target.n_bytes(),
        "seconds": time.monotonic() - begun,
    }
    directory.write()
    return rows
