"""Chunks of a Zarr group's arrays: which exist, and a store that misses none without a word."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.data.zarr.chunk_files import ChunkFiles, chunks_in_files, files_of, n_chunks
from dgmm.data.zarr.codec_limits import codec_fault
from dgmm.data.zarr.node import ArrayNode, find_array
from dgmm.data.zarr.small_files import SmallFilesStore
from dgmm.errors import DataError
from dgmm.terminal_text import listed

_SHOWN = 5


class AbsentChunksError(DataError):
    """Chunks do not exist, and nothing says whether they were left out or lost."""

    def __init__(self, found: str, otherwise: str) -> None:
        super().__init__(
            f"{found}. Zarr would read them as fill values. Writers such as xarray store no chunk "
            "that holds nothing else, and one that was lost looks the same. If none was lost, set "
            f"data.absent_chunks to fill; otherwise {otherwise}"
        )
        self.found = found


class WholeChunksStore(SmallFilesStore):
    """A group's folder; a chunk that was there when the group was opened and is gone is an error.

    Parameters
    ----------
    root
        The group's folder.
    files
        By name, the arrays whose chunks are known.
    """

    def __init__(self, root: str, files: Mapping[str, ChunkFiles]) -> None:
        super().__init__(root, read_only=True)
        self.files = dict(files)
        sizes = [each.most_bytes for each in files.values()]
        self.most_bytes = max([self.most_bytes, *sizes])

    def with_read_only(self, read_only: bool = False) -> WholeChunksStore:
        """The same folder."""
        del read_only
        return type(self)(str(self.root), self.files)

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """As Zarr's: the file's bytes, None where there is none and none is due.

        Raises
        ------
        DataError
            If it is a chunk that existed.
        """
        content = await super().get(key, prototype, byte_range)
        if content is None:
            name, _, rest = key.partition("/")
            known = self.files.get(name)
            flat = known.flat(rest) if known is not None else None
            if known is not None and flat is not None and not known.is_absent(flat):
                raise DataError(
                    f"{self.root}: chunk {safe_text(key)} was there when the data were opened and "
                    "is gone. Restore it, and run again when nothing writes to the data"
                )
        return content


def list_files(root: str, name: str, *, fill: bool) -> tuple[ChunkFiles, str]:
    """The files of one array of a group, and a digest that any change of them would change.

    Parameters
    ----------
    root, name
        The group's folder, and the array's name.
    fill
        Whether absent chunks are allowed and hold the fill value.

    Raises
    ------
    AbsentChunksError
        If chunks are absent and `fill` is not set.
    DataError
        If metadata name codecs that are not read.
    """
    node, array = _opened(root, name)
    files = files_of(array, name)
    digest = hashlib.sha256(node.digest.encode())
    present = np.zeros(math.prod(files.counts), np.bool_)
    for key, status in _walk(node.folder, ""):
        flat = files.flat(key)
        if flat is not None:
            present[flat] = True
            digest.update(f"{key}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    _refuse_absent(node.folder, files, present, fill=fill)
    if array.shards is not None and not fill:
        _refuse_absent_inner(node.folder, files, array)
    absent = None if present.all() else np.packbits(~present)
    known = (files.counts, files.prefix, files.separator, files.most_bytes)
    return ChunkFiles(name, *known, absent), digest.hexdigest()


def count_absent(root: str, name: str, files: ChunkFiles) -> tuple[int, int]:
    """How many chunks of an array do not exist, those within shards included, and of how many.

    Parameters
    ----------
    root, name
        The group's folder, and the array's name.
    files
        As `list_files` has found them.
    """
    node, array = _opened(root, name)
    present = (i for i in range(math.prod(files.counts)) if not files.is_absent(i))
    found = chunks_in_files(Path(node.folder), files, array, present)
    n_all = n_chunks(array)
    return n_all - sum(n_present for _, n_present, _ in found), n_all


def _opened(root: str, name: str) -> tuple[ArrayNode, zarr.Array[Any]]:
    node = find_array(root, name)
    if (fault := codec_fault(node.metadata)) is not None:
        raise DataError(f"{node.folder}: its metadata name {fault}")
    version: Literal[2, 3] = 2 if node.zarr_format == 2 else 3
    return node, zarr.open_array(node.folder, mode="r", zarr_format=version)


def _walk(folder: str, below: str) -> Iterator[tuple[str, os.stat_result]]:
    """Keys and statuses of the files below an array's folder, in a fixed order."""
    with os.scandir(f"{folder}/{below}") as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        key = f"{below}/{entry.name}" if below else entry.name
        if entry.is_dir():
            yield from _walk(folder, key)
        else:
            yield key, entry.stat()


def _refuse_absent(
    folder: str, files: ChunkFiles, present: NDArray[np.bool_], *, fill: bool
) -> None:
    missing = np.flatnonzero(~present)
    if len(missing) and not fill:
        shown = listed((files.key(int(i)) for i in missing[:_SHOWN]), total=len(missing))
        raise AbsentChunksError(
            f"{folder}: {len(missing):,} of {len(present):,} chunks do not exist ({shown})",
            "restore them, or write the array again with write_empty_chunks=True",
        )


def _refuse_absent_inner(folder: str, files: ChunkFiles, array: zarr.Array[Any]) -> None:
    """Read the index of each shard: inner chunks that lie in the array exist."""
    every = range(math.prod(files.counts))
    for key, n_present, n_due in chunks_in_files(Path(folder), files, array, every):
        if n_present < n_due:
            raise AbsentChunksError(
                f"{folder}/{key}: {n_due - n_present:,} inner chunks of this shard do not exist",
                "write the array again with write_empty_chunks=True",
            )
