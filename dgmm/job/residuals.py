"""Where the residuals of `pca` come from: prepared with the rows of a run, or computed anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dgmm.config import Job
from dgmm.data.dataset import Dataset
from dgmm.data.rows_with_residuals import RowsWithResiduals
from dgmm.data.transformed_dataset import TransformedDataset
from dgmm.data.transforms.asked_step import residual_place
from dgmm.data.zarr.vector import open_zarr_vector
from dgmm.job.directory import RunDirectory
from dgmm.job.products import PREPARED


def with_residuals(
    job: Job, dataset: Dataset, names: Sequence[str], directory: RunDirectory
) -> Dataset:
    """The rows with what outputs of these names need beside them.

    A run reads the residuals that were prepared: the components that its rows lack are gone. A
    prediction transforms rows as it reads them.

    Raises
    ------
    DataError
        If an array of residuals is damaged or absent.
    """
    wanted = [name for name in names if residual_place(name) is not None]
    if not wanted:
        return dataset
    if isinstance(dataset, TransformedDataset):
        return replace(dataset, has_residuals=True)
    path, seconds = str(directory.path / PREPARED), job.storage.retry_s
    found = (open_zarr_vector(path, name).with_retries(seconds) for name in wanted)
    return RowsWithResiduals(dataset, tuple(found))
