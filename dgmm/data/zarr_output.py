"""Output arrays that many tasks write at once: whole chunks, checksummed, made durable.

A chunk is written by one task, in one piece; arrays have no shards, because two writers in one
shard lose rows without an error.
"""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
import zarr.storage
from numpy.typing import DTypeLike, NDArray

from dgmm.data.bounded_reading import bound_decoding
from dgmm.data.zarr_versions import METADATA, ZarrFormat, creation_options, format_of
from dgmm.errors import OutputExistsError, OutputFailedError


def create_outputs(
    path: str | Path, attributes: Mapping[str, Any], zarr_format: ZarrFormat = 3
) -> None:
    """Create the empty group of a run's outputs; a group that is there already is replaced.

    Raises
    ------
    OutputExistsError
        If the path holds something that is no Zarr group.
    OutputFailedError
        If it cannot be written.
    """
    folder = Path(path)
    with _failures(f"{folder} cannot be created"):
        if folder.exists() and not _is_replaceable(folder):
            raise OutputExistsError(f"{folder} exists and is no Zarr group; move it away")
        store = zarr.storage.LocalStore(folder)
        zarr.create_group(
            store, overwrite=True, zarr_format=zarr_format, attributes=dict(attributes)
        )
        _sync_metadata(folder)


def create_array(
    path: str | Path,
    name: str,
    *,
    shape: Sequence[int],
    chunks: Sequence[int],
    dtype: DTypeLike,
    dimension_names: Sequence[str],
    fill_value: float,
    attributes: Mapping[str, Any] | None = None,
    zarr_format: ZarrFormat = 3,
) -> OutputArray:
    """Create one array of the group at `path`: zstd level 1 and a checksum of each chunk.

    In version 3 a CRC-32C of the compressed bytes, in version 2 zstd's own of the values, which
    every reader of zstd checks.

    Parameters
    ----------
    shape, chunks, dimension_names
        One entry a dimension; the first is rows.
    fill_value
        What readers other than dgmm see where nothing was written; in version 2 integers have
        none, because xarray would read values equal to it as missing.

    Raises
    ------
    OutputFailedError
        If it cannot be written.
    """
    with _failures(f"{path}/{name} cannot be created"):
        zarr.create_array(
            zarr.storage.LocalStore(path),
            name=name,
            shape=tuple(shape),
            chunks=tuple(chunks),
            dtype=np.dtype(dtype),
            config={"write_empty_chunks": True},
            zarr_format=zarr_format,
            **creation_options(
                zarr_format, dtype, dimension_names, fill_value, dict(attributes or {})
            ),
        )
        _sync_metadata(Path(path) / name)
    return OutputArray(path, name)


def finish_outputs(path: str | Path) -> None:
    """Write the group's consolidated metadata, so that opening it reads one file.

    Raises
    ------
    OutputFailedError
        If it cannot be written.
    """
    with _failures(f"{path}: its metadata cannot be written"), warnings.catch_warnings():
        # Consolidated metadata are an extension of version 3 that every reader of it ignores or
        # understands; xarray warns where they are absent, zarr where they are written.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        zarr_format = format_of(Path(path))
        zarr.consolidate_metadata(zarr.storage.LocalStore(path), zarr_format=zarr_format)
        _sync_file(Path(path) / ("zarr.json" if zarr_format == 3 else ".zmetadata"))
        _sync_folders(Path(path))


class OutputArray:
    """One array of a run's outputs, opened once in each process; picklable.

    Parameters
    ----------
    path : str or Path
        The group's folder.
    name : str
        The array's name in it.
    """

    def __init__(self, path: str | Path, name: str) -> None:
        self.path = str(path)
        self.name = name

    def __reduce__(self) -> tuple[type[OutputArray], tuple[str, str]]:
        return type(self), (self.path, self.name)

    @cached_property
    def _array(self) -> zarr.Array[Any]:
        store = zarr.storage.LocalStore(self._folder)
        with _failures(f"{self._folder} cannot be opened"):
            zarr_format = _format_on_disk(self._folder)
            array: zarr.Array[Any] = zarr.open_array(store, mode="r+", zarr_format=zarr_format)
        # A chunk of fill values is written like any other, so that a missing file always means
        # lost rows. zarr does not keep this in the metadata: every opener has to ask for it.
        return array.with_config({"write_empty_chunks": True})

    @cached_property
    def _bounded(self) -> zarr.Array[Any]:
        """For reading: what it unpacks ends where a chunk does."""
        with _failures(f"{self._folder} cannot be opened"):
            zarr_format = _format_on_disk(self._folder)
            store = zarr.storage.LocalStore(self._folder, read_only=True)
            array: zarr.Array[Any] = zarr.open_array(store, mode="r", zarr_format=zarr_format)
        bound_decoding(array)
        return array

    @property
    def _folder(self) -> Path:
        return Path(self.path) / self.name

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
                f"{self._folder}: rows {start_row} to {stop} are not whole chunks of "
                f"{self.chunk_rows} of {self.shape[0]} rows"
            )
        if values.shape[1:] != self.shape[1:] or values.dtype != self.dtype:
            raise ValueError(
                f"{self._folder}: rows of shape {values.shape[1:]} and type {values.dtype}; "
                f"expected {self.shape[1:]} and {self.dtype}"
            )
        with _failures(f"{self._folder}: rows {start_row} to {stop} cannot be written"):
            self._array[start_row:stop] = values

    def sync(self, start: int, stop: int) -> None:
        """Make the chunks of rows [start, stop) durable: their files, then their folders.

        Raises
        ------
        OutputFailedError
            If a chunk is missing or the disk refuses.
        """
        with _failures(f"{self._folder}: rows {start} to {stop} cannot be made durable"):
            files = list(self._chunk_files(start, stop))
            for file in files:
                _sync_file(file)
            folders = {folder for file in files for folder in file.parents}
            _sync_folders(*(f for f in folders if f.is_relative_to(self._folder)))

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows [start, stop) as they were written.

        Raises
        ------
        OutputFailedError
            If a chunk was never written, or is damaged.
        """
        where = f"{self._folder}: rows {start} to {stop}"
        missing = next((f for f in self._chunk_files(start, stop) if not f.is_file()), None)
        if missing is not None:
            raise OutputFailedError(f"{where}: chunk {missing} does not exist. Run the job again")
        try:
            return np.asarray(self._bounded[start:stop])
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - codecs raise anything on damaged bytes
            raise OutputFailedError(
                f"{where} cannot be read: {type(error).__name__}: {error}. Run the job again"
            ) from None

    def _chunk_files(self, start: int, stop: int) -> Iterator[Path]:
        rows = range(start // self.chunk_rows, -(-stop // self.chunk_rows))
        others = (
            range(-(-size // chunk))
            for size, chunk in zip(self.shape[1:], self._array.chunks[1:], strict=True)
        )
        for place in product(rows, *others):
            if self._array.metadata.zarr_format == 3:
                yield self._folder.joinpath("c", *map(str, place))
            else:
                yield self._folder / ".".join(map(str, place))


def _format_on_disk(folder: Path) -> ZarrFormat:
    """The version of an array whose metadata are a regular file: a FIFO would be waited for."""
    zarr_format = format_of(folder)
    if zarr_format is None:
        raise FileNotFoundError(errno.ENOENT, "it holds no metadata of an array")
    return zarr_format


def _is_replaceable(folder: Path) -> bool:
    return folder.is_dir() and (format_of(folder) is not None or not any(folder.iterdir()))


def _sync_metadata(folder: Path) -> None:
    """Make a new group or array durable: its metadata, and its name in the folder above."""
    for name in METADATA:
        if (folder / name).is_file():
            _sync_file(folder / name)
    _sync_folders(folder, folder.parent)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folders(*folders: Path) -> None:
    """A new file's name is durable only once its folder is."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _failures(what: str) -> Iterator[None]:
    """The operating system's refusals in words."""
    try:
        yield
    except OSError as error:
        raise OutputFailedError(f"{what}: {error.strerror or error}") from error
