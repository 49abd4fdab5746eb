"""Numbers that were prepared with rows, one a row each: their weights, and residuals of `pca`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dgmm.config import Job
from dgmm.data.forwarding_dataset import ForwardingDataset, StoredRows
from dgmm.data.row_block import RowBlock
from dgmm.data.source_dataset import damage_named
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.zarr.vector import open_zarr_vector
from dgmm.job.directory import RunDirectory
from dgmm.job.products import PREPARED
from dgmm.reduction.blocks import BlockRange


@dataclass(frozen=True, slots=True)
class PreparedVector(StoredRows, ForwardingDataset):
    """Numbers of one array of `prepared.zarr`: damaged ones can be written again."""

    rows: StoredDataset

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield blocks of one column.

        Raises
        ------
        DamagedRowsError
            If a chunk of it is damaged.
        """
        with damage_named():
            yield from self.rows.read_blocks(blocks)


def prepared_vector(job: Job, directory: RunDirectory, name: str) -> StoredDataset:
    """An array beside the prepared rows, read with the job's retries.

    Raises
    ------
    DamagedRowsError
        If it is damaged, or lacks chunks.
    """
    with damage_named():
        found = open_zarr_vector(str(directory.path / PREPARED), name)
    return PreparedVector(found.with_retries(job.storage.retry_s))
