"""The first stage of a job whose rows a source yields: they are read once and written plainly."""

from __future__ import annotations

import time

from dgmm.config import Job
from dgmm.data.source_dataset import SourceDataset
from dgmm.data.stored_dataset import StoredDataset
from dgmm.errors import DataError
from dgmm.ingest.prepare import PreparedTarget, is_prepared, prepare, with_prepared_rows
from dgmm.job.directory import RunDirectory
from dgmm.job.foreign_files import foreign_set_aside
from dgmm.job.identity import fingerprint
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.products import PREPARED
from dgmm.reduction.executor import Executor
from dgmm.storage.atomic_files import plain


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
    target = PreparedTarget(directory.folder, PREPARED, fingerprint(plain(dataset.fingerprint())))
    if is_prepared(dataset, target):
        if (earlier := (directory.previous or {}).get("prepared")) is not None:
            directory.record["prepared"] = earlier
        try:
            return _with_retries(job, dataset, target)
        except DataError as error:
            recording.warning(f"{error}. {PREPARED} is written again")
            directory.folder.remove(PREPARED)
    _prepare(job, dataset, directory, executor, recording, target)
    return _with_retries(job, dataset, target)


def prepared_words(dataset: SourceDataset) -> str:
    """`336,776 rows of Parquet table in 12 parts`."""
    n_parts = len(dataset.parts)
    parts = f"{n_parts:,} part{'s' * (n_parts != 1)}"
    return f"{dataset.n_samples:,} rows of {dataset.kind} in {parts}"


def _with_retries(job: Job, dataset: SourceDataset, target: PreparedTarget) -> StoredDataset:
    return with_prepared_rows(dataset, target).with_retries(job.storage.retry_s)


def _prepare(
    job: Job,
    dataset: SourceDataset,
    directory: RunDirectory,
    executor: Executor,
    recording: RecordingListener,
    target: PreparedTarget,
) -> None:
    recording.stage("prepare", prepared_words(dataset))
    for text in foreign_set_aside(directory.folder, PREPARED):
        recording.warning(text)
    begun = time.monotonic()
    prepare(dataset, executor, target, retry_s=job.storage.retry_s, note=recording.note)
    recording.end_stage()
    directory.record["prepared"] = {
        "kind": dataset.kind,
        "parts": len(dataset.parts),
        "rows": dataset.n_samples,
        "bytes": target.n_bytes(),
        "seconds": time.monotonic() - begun,
    }
    directory.write()
