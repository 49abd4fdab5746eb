"""Chunks of a Zarr group's arrays: which exist, and a store that misses none without a word."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.data.zarr.codec_limits import codec_fault
from dgmm.data.zarr.layout import most_encoded_bytes
from dgmm.data.zarr.node import find_array
from dgmm.data.zarr.small_files import SmallFilesStore
from dgmm.errors import DataError
from dgmm.terminal_text import listed

_ABSENT_INNER = np.iinfo(np.uint64).max
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


@dataclass(frozen=True, slots=True)
class ChunkFiles:
    """The files that hold one array's chunks (or shards), as they were when it was opened.

    Attributes
    ----------
    name : str
        Of the array in its group.
    counts : tuple of int
        Files along each dimension.
    prefix, separator : str
        Of the files' keys: `c/3/0` has `c` and `/`.
    most_bytes : int
        Larger files hold no chunk of the array.
    absent : (⌈n/8⌉,) uint8 or None
        One bit a file, set where it does not exist; None where all exist.
    """

    name: str
    counts: tuple[int, ...]
    prefix: str
    separator: str
    most_bytes: int
    absent: NDArray[np.uint8] | None = None

    def flat(self, key: str) -> int | None:
        """The flat index of a file by its key below the array; None of what is no chunk."""
        parts = key.split(self.separator)
        if self.prefix and parts.pop(0) != self.prefix:
            return None
        if not self.counts and not self.prefix and parts == ["0"]:
            parts = []
        if len(parts) != len(self.counts) or not all(part.isdecimal() for part in parts):
            return None
        place = tuple(map(int, parts))
        if any(i >= n for i, n in zip(place, self.counts, strict=True)):
            return None
        return int(np.ravel_multi_index(place, self.counts)) if place else 0

    def key(self, flat: int) -> str:
        """A file's key below the array."""
        place = [str(int(i)) for i in np.unravel_index(flat, self.counts)] if self.counts else []
        place = place or ([] if self.prefix else ["0"])
        return self.separator.join([*([self.prefix] if self.prefix else []), *place])

    @property
    def n_absent(self) -> int:
        """How many did not exist."""
        return 0 if self.absent is None else int(np.unpackbits(self.absent).sum())

    def is_absent(self, flat: int) -> bool:
        """Whether the file did not exist when the array was opened."""
        return self.absent is not None and bool(self.absent[flat >> 3] >> (7 - (flat & 7)) & 1)


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
    node = find_array(root, name)
    if (fault := codec_fault(node.metadata)) is not None:
        raise DataError(f"{node.folder}: its metadata name {fault}")
    array = zarr.open_array(node.folder, mode="r", zarr_format=2 if node.zarr_format == 2 else 3)
    files = _layout(array, name)
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


def _layout(array: zarr.Array[Any], name: str) -> ChunkFiles:
    shape = array.shards or array.chunks
    counts = tuple(-(-n // c) for n, c in zip(array.shape, shape, strict=True))
    metadata: Any = array.metadata
    if metadata.zarr_format == 2:
        prefix, separator = "", str(metadata.dimension_separator)
    else:
        encoding = metadata.chunk_key_encoding
        prefix, separator = "c" if encoding.name == "default" else "", str(encoding.separator)
    dtype = np.dtype(array.dtype)
    return ChunkFiles(name, counts, prefix, separator, most_encoded_bytes(shape, dtype))


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
        names = listed((files.key(int(i)) for i in missing[: _SHOWN + 1]), _SHOWN)
        shown = names if len(missing) <= _SHOWN else names.split(" and ")[0] + ", …"
        raise AbsentChunksError(
            f"{folder}: {len(missing):,} of {len(present):,} chunks do not exist ({shown})",
            "restore them, or write the array again with write_empty_chunks=True",
        )


def _refuse_absent_inner(folder: str, files: ChunkFiles, array: zarr.Array[Any]) -> None:
    """Read the index of each shard: inner chunks that lie in the array exist."""
    codec: Any = array.metadata.codecs[0] if len(array.metadata.codecs) == 1 else None  # type: ignore[union-attr]
    if codec is None or [type(c).__name__ for c in codec.index_codecs] != [
        *("BytesCodec", "Crc32cCodec")
    ]:
        return
    shards = array.shards or array.chunks
    inner = tuple(s // c for s, c in zip(shards, array.chunks, strict=True))
    # as the metadata have it: zarr before 3.4 holds an Enum, later ones text
    at_start = codec.to_dict()["configuration"]["index_location"] == "start"
    for flat in range(math.prod(files.counts)):
        path = Path(folder) / files.key(flat)
        absent = _absent_inner(path, inner, at_start=at_start)
        place = np.unravel_index(flat, files.counts)
        sizes = (
            -(-min(s, n - int(i) * s) // c)
            for i, n, s, c in zip(place, array.shape, shards, array.chunks, strict=True)
        )
        count = int(absent[tuple(slice(n) for n in sizes)].sum())
        if count:
            raise AbsentChunksError(
                f"{path}: {count:,} inner chunks of this shard do not exist",
                "write the array again with write_empty_chunks=True",
            )


def _absent_inner(path: Path, inner: tuple[int, ...], *, at_start: bool) -> NDArray[np.bool_]:
    size, checksum = 16 * math.prod(inner), 4
    with path.open("rb") as shard:
        end = shard.seek(0, os.SEEK_END)
        shard.seek(0 if at_start else max(end - size - checksum, 0))
        content = shard.read(size)
    if len(content) < size:
        raise DataError(f"{path} is damaged: too short for the index of a shard. Write it again")
    pairs = np.frombuffer(content, "<u8").reshape(*inner, 2)
    return np.asarray((pairs == _ABSENT_INNER).all(axis=-1))
