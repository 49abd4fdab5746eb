"""Where a job's weights of rows are: beside plain rows, or beside those that a source prepared."""

from __future__ import annotations

from pathlib import Path

from dgmm.config import Job
from dgmm.data.source_dataset import SourceDataset
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.weighted_dataset import WeightedStoredDataset
from dgmm.data.zarr.vector import open_zarr_vector
from dgmm.ingest.prepared_arrays import WEIGHTS
from dgmm.job.directory import RunDirectory
from dgmm.job.prepared_vectors import prepared_vector


def beside_plain_rows(job: Job, dataset: StoredDataset) -> StoredDataset:
    """Plain rows with the weights that a job which fits names; the rows of a source as they are.

    Raises
    ------
    DataError
        If the weights are no array of one number per row, or lack chunks.
    DataNotFoundError
        If they are absent.
    """
    weights, name = job.data.weights, job.data.weights.array or job.data.weights.column
    is_source = isinstance(dataset, SourceDataset)
    if job.command != "run" or weights.kind is None or name is None or is_source:
        return dataset
    group = Path(str(job.data.path)).absolute()
    if job.data.array is None:  # the path is that of the rows themselves
        group = group.parent
    found = open_zarr_vector(str(group), name, absent_chunks=job.data.absent_chunks)
    return _joined(dataset, found.with_retries(job.storage.retry_s), job)


def beside_prepared_rows(
    job: Job, dataset: StoredDataset, directory: RunDirectory
) -> StoredDataset:
    """The rows of a source with the weights that were prepared with them; others as they are.

    Raises
    ------
    DamagedRowsError
        If the weights are damaged, or lack chunks.
    """
    if not isinstance(dataset, SourceDataset) or not dataset.description.has_weights:
        return dataset
    return _joined(dataset, prepared_vector(job, directory, WEIGHTS), job)


def _joined(dataset: StoredDataset, weights: StoredDataset, job: Job) -> StoredDataset:
    kind = job.data.weights.kind
    if kind is None:
        raise RuntimeError("a job with weights has passed without their kind")
    WeightedStoredDataset.check_sizes(dataset, weights)
    return WeightedStoredDataset(dataset, weights, kind)
