"""What reads the stored rows of a Zarr array, wherever it lies."""

from __future__ import annotations

from typing import Any, Protocol, Self

from numpy.typing import NDArray

from dgmm.data.zarr.absent_chunks import AbsentChunks
from dgmm.data.zarr.layout import ArrayLayout


class RowReader(Protocol):
    """Reads rows as they are stored, and knows how they lie in chunks."""

    @property
    def folder(self) -> str:
        """What messages call the array: its folder, or `X`."""

    @property
    def zarr_format(self) -> int:
        """The version in which the array is stored."""

    @property
    def digest(self) -> str:
        """What tells its metadata from those of others."""

    @property
    def layout(self) -> ArrayLayout:
        """How the rows lie in chunks."""

    @property
    def absent(self) -> AbsentChunks:
        """Chunks that did not exist."""

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Rows [start, stop) as stored (b, d), native byte order, C order, the caller's own."""

    def with_retries(self, seconds: float) -> Self:
        """The same; reads that fail transiently are tried again for so long."""

    def check_unchanged(self, chunks_digest: str) -> None:
        """Raise a DataError if chunks have changed since they had this digest."""
