"""Output arrays that many tasks write at once: whole chunks, checksummed, made durable.

A chunk is written by one task, in one piece; arrays have no shards, because two writers in one
shard lose rows without an error.
"""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import zarr
from numpy.typing import DTypeLike

from dgmm.data.zarr.folder_store import RUN_FILE, FolderStore
from dgmm.data.zarr.format_versions import METADATA, ZarrFormat, creation_options, format_in
from dgmm.data.zarr.output_array import OutputArray, output_failures, run_of
from dgmm.errors import OutputExistsError, OutputFailedError
from dgmm.storage.atomic_files import write_text
from dgmm.storage.folders import Entry, Folder, Target, entry_of

__all__ = [
    "OutputArray",
    "add_attributes",
    "create_array",
    "create_outputs",
    "finish_outputs",
]


def create_outputs(
    path: Target,
    attributes: Mapping[str, Any],
    zarr_format: ZarrFormat = 3,
    run: str | None = None,
) -> None:
    """Create the empty group of a run's outputs; a group or a link that is there is replaced.

    Parameters
    ----------
    path, attributes, zarr_format
        Where it is, and what it says of itself in which version of Zarr.
    run
        Which run writes it, as long as it is not finished.

    Raises
    ------
    OutputExistsError
        If the path holds something that is no Zarr group.
    OutputFailedError
        If it cannot be written.
    """
    with output_failures(f"{path} cannot be created"), entry_of(path) as place:
        if not _is_replaceable(place):
            raise OutputExistsError(f"{path} exists and is no Zarr group; move it away")
        place.folder.remove(place.name)
        with place.folder.make_folder(place.name) as group:
            store = FolderStore(group)
            zarr.create_group(store, zarr_format=zarr_format, attributes=dict(attributes))
            if run is not None:
                write_text(group / RUN_FILE, run)
            _sync_metadata(group)
        place.folder.sync()


def create_array(
    path: Target,
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
    with output_failures(f"{path}/{name} cannot be created"), _opened(path) as group:
        zarr.create_array(
            FolderStore(group),
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
        with group.folder(name) as array:
            _sync_metadata(array)
        group.sync()
    return OutputArray(str(path), name)


def add_attributes(path: Target, name: str, attributes: Mapping[str, Any], run: str) -> None:
    """Give an array of a group that is not finished more attributes; `finish_outputs` comes after.

    Raises
    ------
    OutputFailedError
        If they cannot be written, or the group is another run's.
    """
    with output_failures(f"{path}/{name} cannot be written"), _opened(path) as group:
        _check_own(path, group, run)
        with group.folder(name) as folder:
            array = zarr.open_array(FolderStore(folder), mode="r+", zarr_format=format_in(folder))
            array.update_attributes(dict(attributes))
            _sync_metadata(folder)


def finish_outputs(path: Target, run: str | None = None) -> None:
    """Write the group's consolidated metadata, so that opening it reads one file.

    Files that a process which was killed did not finish are removed.

    Parameters
    ----------
    path
        Where the group is.
    run
        Which run has written it, where another one might have begun it anew.

    Raises
    ------
    OutputFailedError
        If it cannot be written, or is another run's.
    """
    failures = output_failures(f"{path}: its metadata cannot be written")
    with failures, _opened(path) as group, warnings.catch_warnings():
        # Consolidated metadata are an extension of version 3 that every reader of it ignores or
        # understands; xarray warns where they are absent, zarr where they are written.
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        # Coordinates of text, copied to maps: xarray, which maps are for, reads them.
        warnings.filterwarnings("ignore", message=".* does not have a Zarr V3 specification")
        if run is not None:
            _check_own(path, group, run)
        _remove_unfinished(group)
        zarr_format = format_in(group)
        zarr.consolidate_metadata(FolderStore(group), zarr_format=zarr_format)
        (group / ("zarr.json" if zarr_format == 3 else ".zmetadata")).sync()
        group.remove(RUN_FILE)
        group.sync()


def _check_own(path: Target, group: Folder, run: str) -> None:
    if run_of(group) != run:
        raise OutputFailedError(f"{path} was begun anew by another run while this one wrote it")


@contextmanager
def _opened(path: Target) -> Iterator[Folder]:
    with entry_of(path) as place, place.folder.folder(place.name) as folder:
        yield folder


def _is_replaceable(place: Entry) -> bool:
    """Whether nothing is lost: there is nothing, a link, an empty folder, or a Zarr group."""
    parent, name = place.folder, place.name
    if not parent.holds_folder(name):
        return not parent.holds(name) or stat.S_ISLNK(parent.status(name).st_mode)
    with parent.folder(name) as folder:
        names = [name for name in folder.names() if not _is_unfinished(name)]
        return format_in(folder) is not None or not names


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


def _remove_unfinished(folder: Folder) -> None:
    for name in folder.names():
        if _is_unfinished(name):
            folder.remove(name)
    for name in folder.folders():
        with folder.folder(name) as inner:
            _remove_unfinished(inner)


def _sync_metadata(folder: Folder) -> None:
    """Make a new group or array durable, but for its name in the folder above."""
    for name in METADATA:
        if folder.holds(name):
            (folder / name).sync()
    folder.sync()
