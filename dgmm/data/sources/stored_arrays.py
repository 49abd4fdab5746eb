"""Arrays in one file or store, by path: what HDF5, Zarr and NumPy's files have in common."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.errors import DataError
from dgmm.terminal_text import listed

_SHOWN = 20
#: Decoded values of one batch at least, where an array's chunks are smaller.
BATCH_BYTES = 4 * 1024 * 1024


class StoredArray(Protocol):
    """One array, opened; nothing of it is in memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a value in native byte order; that of objects for text."""

    @property
    def is_text(self) -> bool:
        """Whether its values are text."""

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """The shape that is decoded at once; None where any rows can be read alone."""

    @property
    def is_sequential(self) -> bool:
        """Whether rows can be reached only by decoding all before them."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The array's own."""

    def n_absent(self) -> int:
        """Chunks that are not stored, which read as a fill value."""

    def batches(self, start: int, stop: int, n_rows: int) -> Iterator[NDArray[Any]]:
        """Yield [start, stop) of the first dimension, `n_rows` at a time, text as objects.

        Raises
        ------
        DataError
            If the file is damaged there.
        """


class Hierarchy(Protocol):
    """Groups and arrays by path (`obsm/X_pca`), opened for reading."""

    @property
    def where(self) -> str:
        """The file or folder, for messages."""

    def attributes(self, path: str) -> Mapping[str, Any]:
        """Attributes of a group; empty where there is none."""

    def members(self, path: str) -> dict[str, Literal["array", "group"]]:
        """What a group holds, in the order of names; empty where there is none."""

    def array(self, path: str) -> StoredArray | None:
        """The array of that path; None where there is none."""


class HierarchyFile(Protocol):
    """How a hierarchy is opened; picklable, for workers."""

    @property
    def path(self) -> str:
        """The file or folder."""

    def open(self) -> Hierarchy:
        """The hierarchy, opened once in each process.

        Raises
        ------
        DataError
            If it is damaged, or is not the one any more that was described.
        """

    def fingerprint(self) -> dict[str, Any]:
        """Sizes and times, as they were when it was described."""

    def check_unchanged(self) -> None:
        """Raise a DataError if it has changed since."""


def rows_per_batch(array: StoredArray) -> int:
    """Rows read at once: whole chunks, together some 4 MiB, at most all rows."""
    unit = array.chunks[0] if array.chunks else 1
    row_bytes = int(np.prod(array.shape[1:], dtype=np.int64)) * array.dtype.itemsize
    return min(unit * max(1, BATCH_BYTES // max(unit * row_bytes, 1)), max(array.shape[0], 1))


def require_array(hierarchy: Hierarchy, path: str) -> StoredArray:
    """The array of that path.

    Raises
    ------
    DataError
        If there is none: it lists those that there are, or says what lies there.
    """
    found = hierarchy.array(path)
    if found is not None:
        return found
    encoding = hierarchy.attributes(path).get("encoding-type")
    if encoding in {"csr_matrix", "csc_matrix"}:
        raise DataError(
            f"{hierarchy.where}: {safe_text(path)} is an AnnData sparse matrix ({encoding}); "
            "expected a dense array. Name a dense embedding (for instance obsm/X_pca), or write "
            "X.toarray() in chunks"
        )
    names = list(array_names(hierarchy))
    close = difflib.get_close_matches(path, names, n=1)
    hint = f" Did you mean {safe_text(close[0])!r}?" if close else ""
    what = "is a group" if hierarchy.members(path) else "is not there"
    raise DataError(
        f"{hierarchy.where}: array {safe_text(path)!r} {what}.{hint} {arrays_in_words(names)}"
    )


def array_names(hierarchy: Hierarchy, most: int = 2000) -> Iterator[str]:
    """Paths of the arrays, group by group; those of the first `most` members."""
    waiting, n_seen = [""], 0
    for group in waiting:
        for name, kind in hierarchy.members(group).items():
            n_seen += 1
            if n_seen > most:
                return
            path = f"{group}/{name}".lstrip("/")
            if kind == "array":
                yield path
            else:
                waiting.append(path)


def arrays_in_words(names: list[str]) -> str:
    """The arrays that there are, for a message."""
    if not names:
        return "It holds no arrays"
    return f"Its arrays: {listed(map(safe_text, names), _SHOWN)}"
