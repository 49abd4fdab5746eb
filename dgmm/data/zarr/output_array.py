"""One array of a run's outputs: whole chunks, checksummed, made durable."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from dgmm.data.zarr.bounded_reading import bound_decoding
from dgmm.data.zarr.folder_store import RUN_FILE, FolderStore
from dgmm.data.zarr.format_versions import ZarrFormat, format_in
from dgmm.errors import OutputFailedError
from dgmm.storage.folders import Folder
from dgmm.storage.regular_files import read_regular

_MOST_BYTES = 1024


class OutputArray:
    """One array of a run's outputs, opened once in each process; picklable.

    Its folder is held open: what is written goes there, whatever becomes of the path.

    Parameters
    ----------
    path : str or Path
        The group's folder.
    name : str
        The array's name in it.
    run : str, optional
        Identity of the run that writes the group (`run_of`): another run may write at that path.
    """

    def __init__(self, path: str | Path, name: str, run: str | None = None) -> None:
        self.path = str(path)
        self.name = name
        self.run = run

    def __reduce__(self) -> tuple[type[OutputArray], tuple[str, str, str | None]]:
        return type(self), (self.path, self.name, self.run)

    @cached_property
    def _held(self) -> Folder:
        # Outputs that are only read may have been moved by their user and linked to.
        is_read = self.run is None
        failures = output_failures(f"{self} cannot be opened")
        with failures, Folder(self.path, follow=is_read) as group:
            if not is_read and run_of(group) != self.run:
                raise OutputFailedError(
                    f"{self.path} belongs to another run: the run directory was replaced while "
                    "this one worked. Nothing is written there"
                )
            return group.folder(self.name)

    @cached_property
    def _array(self) -> zarr.Array[Any]:
        with output_failures(f"{self} cannot be opened"):
            array: zarr.Array[Any] = zarr.open_array(
                FolderStore(self._held), mode="r+", zarr_format=_format_on_disk(self._held)
            )
        # A chunk of fill values is written like any other, so that a missing file always means
        # lost rows. zarr does not keep this in the metadata: every opener has to ask for it.
        return array.with_config({"write_empty_chunks": True})

    @cached_property
    def _bounded(self) -> zarr.Array[Any]:
        """For reading: what it unpacks ends where a chunk does."""
        with output_failures(f"{self} cannot be opened"):
            store = FolderStore(self._held, read_only=True)
            array: zarr.Array[Any] = zarr.open_array(
                store, mode="r", zarr_format=_format_on_disk(self._held)
            )
        bound_decoding(array)
        return array

    def __str__(self) -> str:
        return str(Path(self.path) / self.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and columns where there are any."""
        return tuple(self._array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a value."""
        dtype: np.dtype[Any] = self._array.dtype
        return dtype

    @property
    def chunk_rows(self) -> int:
        """Rows of one chunk; what is written begins at a multiple of it."""
        return int(self._array.chunks[0])

    def write(self, start_row: int, values: NDArray[Any]) -> None:
        """Write whole chunks, from `start_row` on.

        Parameters
        ----------
        start_row : int
            A multiple of `chunk_rows`.
        values : (rows, …)
            Of the array's type; a multiple of `chunk_rows` rows, or up to the array's last row.

        Raises
        ------
        ValueError
            If the rows are not whole chunks of this array.
        OutputFailedError
            If they cannot be written (disk full, no permission).
        """
        stop = start_row + len(values)
        is_aligned = start_row % self.chunk_rows == 0 and (
            stop % self.chunk_rows == 0 or stop == self.shape[0]
        )
        if not is_aligned or not 0 <= start_row < stop <= self.shape[0]:
            raise ValueError(
                f"{self}: rows {start_row} to {stop} are not whole chunks of "
                f"{self.chunk_rows} of {self.shape[0]} rows"
            )
        if values.shape[1:] != self.shape[1:] or values.dtype != self.dtype:
            raise ValueError(
                f"{self}: rows of shape {values.shape[1:]} and type {values.dtype}; "
                f"expected {self.shape[1:]} and {self.dtype}"
            )
        with output_failures(f"{self}: rows {start_row} to {stop} cannot be written"):
            self._array[start_row:stop] = values

    def sync(self, start: int, stop: int) -> None:
        """Make the chunks of rows [start, stop) durable: their files, then their folders.

        Raises
        ------
        OutputFailedError
            If a chunk is missing or the disk refuses.
        """
        with output_failures(f"{self}: rows {start} to {stop} cannot be made durable"):
            store, folders = FolderStore(self._held), {""}
            for key in self._chunk_keys(start, stop):
                with store.entry(key) as chunk:
                    chunk.sync()
                parts = key.split("/")[:-1]
                folders |= {"/".join(parts[:n]) for n in range(1, len(parts) + 1)}
            for name in folders:  # a new file's name is durable only once its folder is
                with store.entry(f"{name}/.".strip("/")) as entry:
                    entry.folder.sync()

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows [start, stop) as they were written.

        Raises
        ------
        OutputFailedError
            If a chunk was never written, or is damaged.
        """
        where, store = f"{self}: rows {start} to {stop}", FolderStore(self._held)
        keys = self._chunk_keys(start, stop)
        missing = next((key for key in keys if store.status(key) is None), None)
        if missing is not None:
            raise OutputFailedError(
                f"{where}: chunk {self}/{missing} does not exist. Run the job again"
            )
        try:
            return np.asarray(self._bounded[start:stop])
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - codecs raise anything on damaged bytes
            raise OutputFailedError(
                f"{where} cannot be read: {type(error).__name__}: {error}. Run the job again"
            ) from None

    def _chunk_keys(self, start: int, stop: int) -> Iterator[str]:
        rows = range(start // self.chunk_rows, -(-stop // self.chunk_rows))
        others = (
            range(-(-size // chunk))
            for size, chunk in zip(self.shape[1:], self._array.chunks[1:], strict=True)
        )
        is_version_3 = self._array.metadata.zarr_format == 3
        for place in product(rows, *others):
            parts = map(str, place)
            yield "/".join(("c", *parts)) if is_version_3 else ".".join(parts)


def run_of(group: Folder) -> str | None:
    """Which run writes a group that is not finished."""
    if not group.holds(RUN_FILE):
        return None
    return read_regular(group / RUN_FILE, _MOST_BYTES).decode("ascii", "replace")


def _format_on_disk(folder: Folder) -> ZarrFormat:
    """The version of an array whose metadata are a regular file: a FIFO would be waited for."""
    zarr_format = format_in(folder)
    if zarr_format is None:
        raise FileNotFoundError(errno.ENOENT, "it holds no metadata of an array")
    return zarr_format


@contextmanager
def output_failures(what: str) -> Iterator[None]:
    """The operating system's refusals in words."""
    try:
        yield
    except OSError as error:
        raise OutputFailedError(f"{what}: {error.strerror or error}") from error
