"""A Zarr group's arrays by path, those of text included; of AnnData in a local folder."""

from __future__ import annotations

import functools
import hashlib
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.data.validation import native
from dgmm.data.zarr.bounded_reading import bound_decoding
from dgmm.data.zarr.chunk_files import chunks_in_files, files_of, n_chunks
from dgmm.data.zarr.layout import refuse_codecs
from dgmm.data.zarr.node import ArrayNode, node_in, read_local
from dgmm.data.zarr.small_files import SmallFilesStore
from dgmm.errors import DataError, DgmmError, UnavailableError
from dgmm.storage.retry import is_transient, with_retries

#: Text of one chunk's file at most; numbers are bounded by their shape.
_MOST_TEXT = 2**31
#: Chunks of columns that a process keeps, decoded.
KEPT_CHUNKS = 8


@dataclass(frozen=True, slots=True)
class ZarrFolder:
    """How a group is opened: the folder, and a digest of the files of what is read of it.

    Attributes
    ----------
    path : str
    names : tuple of str
        Arrays and groups below `path` that are read.
    digest : str
        SHA-256 of their files' names, sizes and times.
    """

    path: str
    names: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, path: str, names: tuple[str, ...]) -> ZarrFolder:
        """The folder as it is now."""
        return cls(path, names, _digest(path, names))

    def open(self) -> ZarrHierarchy:
        """The group's arrays."""
        return ZarrHierarchy(self.path, self.digest)

    def fingerprint(self) -> dict[str, Any]:
        """Names and digest."""
        return {"members": list(self.names), "files_sha256": self.digest}

    def check_unchanged(self) -> None:
        """List the files again and compare.

        Raises
        ------
        DataError
            If one was added, removed or written.
        """
        if _digest(self.path, self.names) != self.digest:
            raise DataError(
                f"{self.path} changed after the run had begun. Run again when nothing writes to it"
            )


@dataclass(frozen=True, slots=True)
class ZarrHierarchy:
    """Groups and arrays below a folder, told by their metadata files.

    Attributes
    ----------
    where : str
        The folder.
    digest : str
        Of the files, as far as it is known: chunks of columns are kept under it.
    """

    where: str
    digest: str = ""

    def attributes(self, path: str) -> Mapping[str, Any]:
        """Attributes of a group; empty where there is none."""
        node = self._node(path)
        return node if isinstance(node, dict) else {}

    def members(self, path: str) -> dict[str, Literal["array", "group"]]:
        """What a group holds, in the order of names."""
        folder = self._folder(path)
        if folder is None or not isinstance(self._node(path), dict):
            return {}
        listed = read_local(lambda: sorted(e.name for e in os.scandir(folder) if e.is_dir()), path)
        found = {name: self._node(f"{path}/{name}") for name in listed or ()}
        return {
            name: "array" if isinstance(node, ArrayNode) else "group"
            for name, node in found.items()
            if node is not None
        }

    def array(self, path: str) -> ZarrFolderArray | None:
        """The array of that path; None where there is none."""
        node = self._node(path)
        if not isinstance(node, ArrayNode):
            return None
        refuse_codecs(node)
        where = f"{self.where}: {safe_text(path)}"
        return ZarrFolderArray(where, node.attributes, _opened(node), self.digest)

    def _node(self, path: str) -> ArrayNode | dict[str, Any] | None:
        folder = self._folder(path)
        return None if folder is None else node_in(folder)

    def _folder(self, path: str) -> Path | None:
        """The folder of a path; None where it would lead out of the store."""
        parts = [part for part in path.split("/") if part]
        is_inside = not any(part in {".", ".."} or "\0" in part for part in parts)
        return Path(self.where).joinpath(*parts) if is_inside else None


@dataclass(frozen=True, slots=True, eq=False)
class ZarrFolderArray:
    """An array that zarr has opened."""

    where: str
    attributes: Mapping[str, Any]
    stored: Any
    digest: str = ""

    is_sequential = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        return tuple(self.stored.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a value, in native byte order; that of objects for text."""
        return np.dtype(object) if self.is_text else native(self.stored.dtype)

    @property
    def is_text(self) -> bool:
        """Whether its values are text."""
        return self.stored.dtype.kind in "TUO"

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a file's values: a shard's, else a chunk's."""
        return tuple(self.stored.shards or self.stored.chunks)

    def n_absent(self) -> int:
        """Chunks that are not there, those that a shard should hold included.

        Raises
        ------
        DataError
            If a shard is damaged.
        """
        folder, files = Path(self.stored.store.root), files_of(self.stored, "")
        present = {flat for key in _files(folder) if (flat := files.flat(key)) is not None}
        found = chunks_in_files(folder, files, self.stored, sorted(present))
        return n_chunks(self.stored) - sum(n_present for _, n_present, _ in found)

    def batches(self, start: int, stop: int, n_rows: int) -> Iterator[NDArray[Any]]:
        """Yield [start, stop) of the first dimension, `n_rows` at a time, text as objects."""
        for first in range(start, stop, n_rows):
            last = min(first + n_rows, stop)
            if len(self.shape) == 1 and self.digest:
                yield np.concatenate(list(self._pieces(first, last)))
            else:
                yield self.rows(first, last)

    def _pieces(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Values of a column chunk by chunk: theirs are larger than batches of rows × features."""
        size = self.chunks[0]
        for i in range(start // size, -(-stop // size)):
            chunk = _kept_chunk(self, i)
            yield chunk[max(start - i * size, 0) : stop - i * size]

    def __hash__(self) -> int:
        return hash((self.where, self.digest))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ZarrFolderArray):
            return NotImplemented
        return (self.where, self.digest) == (other.where, other.digest)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """[start, stop) of the first dimension.

        Raises
        ------
        DataError
            If a chunk is damaged.
        """
        values = np.asarray(self._read(start, stop))
        return values.astype(object) if self.is_text else values.astype(self.dtype, copy=False)

    def _read(self, start: int, stop: int) -> Any:
        try:
            return with_retries(lambda: self.stored[start:stop])
        except Exception as error:  # noqa: BLE001 - zarr and its codecs raise anything
            raise _in_words(error, f"{self.where}, rows {start:,} to {stop - 1:,}") from None


@functools.lru_cache(maxsize=KEPT_CHUNKS)
def _kept_chunk(array: ZarrFolderArray, i: int) -> NDArray[Any]:
    """A chunk of a column, decoded once for all batches that lie in it."""
    size = array.chunks[0]
    chunk = array.rows(i * size, min((i + 1) * size, array.shape[0]))
    chunk.flags.writeable = False
    return chunk


def _opened(node: ArrayNode) -> Any:
    store = SmallFilesStore(node.folder, read_only=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of types without a specification, such as text
            array = zarr.open_array(store, mode="r", zarr_format=3 if node.zarr_format == 3 else 2)
            if array.dtype.kind not in "TUO":
                bound_decoding(array)
    except Exception as error:  # noqa: BLE001 - zarr raises anything on metadata it cannot read
        raise _in_words(error, node.folder) from None
    store.most_bytes = _MOST_TEXT
    return array


def _in_words(error: Exception, where: str) -> DgmmError:
    text = safe_text(f"{type(error).__name__}: {error}")
    if is_transient(error):
        return UnavailableError(
            f"{where}: cannot be read: {text}. Run the same command again when the storage is back "
            "(storage.retry_s: how long it is waited for)"
        )
    return DataError(f"{where}: damaged, zarr cannot read it ({text}). Write it again")


def _digest(path: str, names: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name in names:
        folder = Path(path, name)
        for key in _files(folder):
            status = os.stat(folder / key)  # noqa: PTH116 - done for every chunk
            digest.update(f"{name}/{key}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder, in order."""
    for root, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            yield Path(root, file).relative_to(folder).as_posix()
