"""Where the residuals of `pca` come from: prepared with the rows of a run, or computed anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dgmm.config import Job
from dgmm.data.dataset import Dataset
from dgmm.data.rows_with_residuals import RowsWithResiduals
from dgmm.data.transformed_dataset import TransformedDataset
from dgmm.data.transforms.asked_step import residual_place
from dgmm.job.directory import RunDirectory
from dgmm.job.prepared_vectors import prepared_vector


def with_residuals(
    job: Job, dataset: Dataset, names: Sequence[str], directory: RunDirectory
) -> Dataset:
    """The rows with what outputs of these names need beside them.

    A run reads the residuals that were prepared: the components that its rows lack are gone. A
    prediction transforms rows as it reads them.

    Raises
    ------
    DamagedRowsError
        If an array of residuals is damaged, or lacks chunks.
    """
    wanted = [name for name in names if residual_place(name) is not None]
    if not wanted:
        return dataset
    if isinstance(dataset, TransformedDataset):
        return replace(dataset, has_residuals=True)
    found = (prepared_vector(job, directory, name) for name in wanted)
    return RowsWithResiduals(dataset, tuple(found))
