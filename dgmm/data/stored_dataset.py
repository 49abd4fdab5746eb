"""A data set on disk: what a job, its plan and its memory need beside the rows."""

from __future__ import annotations

from typing import Literal, Protocol, Self, runtime_checkable

from dgmm.data.dataset import Dataset


@runtime_checkable
class StoredDataset(Dataset, Protocol):
    """Rows that are read from storage; every process that has it reads for itself."""

    @property
    def zarr_format(self) -> Literal[2, 3]:
        """The Zarr format that arrays written beside it have unless the job names one."""

    @property
    def read_bytes(self) -> int:
        """Bytes that one read decodes; a task that reads holds up to four times that."""

    def with_cache(self, n_bytes: int) -> Self:
        """The same rows; each process that reads them may cache so many bytes of them."""

    def with_retries(self, seconds: float) -> Self:
        """The same rows; reads that fail transiently are tried again for so long."""
