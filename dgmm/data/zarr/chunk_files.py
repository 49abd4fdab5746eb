"""The files that hold an array's chunks or shards, of any number of dimensions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.zarr.layout import has_usual_index, most_encoded_bytes, sharding_of
from dgmm.data.zarr.shard_index import is_absent, read_index


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


def files_of(array: Any, name: str) -> ChunkFiles:
    """The files that an array of zarr should have."""
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


def n_chunks(array: Any) -> int:
    """Chunks of an array, those within shards one by one."""
    return math.prod(-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True))


def chunks_in_files(
    folder: Path, files: ChunkFiles, array: Any, present: Iterable[int]
) -> Iterator[tuple[str, int, int]]:
    """Yield files' keys, how many of their chunks in the array exist, and how many there should be.

    A file is one chunk, but a shard holds several, whose index is read. Where that is encoded in
    another way than zarr's own, all chunks of a shard count as existing.

    Parameters
    ----------
    folder
        The array's.
    files
        As `files_of` gives them.
    array
        As zarr has opened it.
    present
        Flat indices of files that exist.

    Raises
    ------
    DataError
        If a shard is damaged.
    """
    is_at_start = _index_at_start(array)
    shards, chunks = array.shards or array.chunks, array.chunks
    counts = tuple(s // c for s, c in zip(shards, chunks, strict=True))
    for flat in present:
        key, inside = files.key(flat), _sizes(files, flat, array.shape, shards, chunks)
        n = math.prod(inside)
        if is_at_start is None:
            yield key, n, n
            continue
        found = read_index(folder / key, counts, at_start=is_at_start)
        # inner chunks of the last shard may lie outside the array
        own = tuple(slice(size) for size in inside)
        yield key, 0 if found is None else int((~is_absent(found[0])[own]).sum()), n


def _sizes(files: ChunkFiles, flat: int, shape: Any, shards: Any, chunks: Any) -> tuple[int, ...]:
    """Chunks of one file that lie in the array, along each dimension."""
    place = np.unravel_index(flat, files.counts) if files.counts else ()
    sizes = zip(place, shape, shards, chunks, strict=True)
    return tuple(-(-min(s, n - int(i) * s) // c) for i, n, s, c in sizes)


def _index_at_start(array: Any) -> bool | None:
    """Where shards have their index; None where there are none, or it is encoded unusually."""
    if array.shards is None:
        return None
    sharding = sharding_of(array.metadata.to_dict()["codecs"])
    if sharding is None or not has_usual_index(sharding):
        return None
    return bool(sharding.get("index_location", "end") == "start")
