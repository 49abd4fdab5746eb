"""Listing the files of an array once: which exist, and a digest that any change would change."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dgmm.data.zarr.layout import ArrayLayout, Pair, most_encoded_bytes
from dgmm.data.zarr.node import read_local
from dgmm.errors import DataError
from dgmm.storage.regular_files import kind_of

#: Up to this many files in a row's folder, each is asked for by name.
_FEW_COLUMNS = 4
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of an array that exist.

    Parameters
    ----------
    present : (n,) int64
        Flat indices into the grid of files, ascending.
    digest : str
        SHA-256 over (key, size, modification time in ns) of each; does not depend on the path.
    """

    present: NDArray[np.int64]
    digest: str


def list_chunks(folder: Path, layout: ArrayLayout) -> Listing:
    """List an array's folder once.

    Raises
    ------
    DataError
        If a file is empty, no regular file, or larger than any encoding of a chunk.
    DataNotFoundError
        If the folder cannot be listed.
    """
    digest, present = hashlib.sha256(), array("q")
    n_columns, most_bytes = layout.files[1], most_encoded_bytes(layout.file_shape, layout.dtype)
    for file in _candidates(str(folder), layout):
        key = layout.key(file)
        status = _status(f"{folder}/{key}")
        if status is None:
            continue
        _check_file(folder, key, status, most_bytes)
        digest.update(f"{key}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        present.append(file[0] * n_columns + file[1])
    return Listing(np.frombuffer(present, dtype=np.int64), digest.hexdigest())


def _candidates(folder: str, layout: ArrayLayout) -> Iterable[Pair]:
    """What may be chunks of the grid by their names, in order; one folder in memory at once."""
    if layout.separator == "/":
        return _nested(f"{folder}/{layout.prefix}" if layout.prefix else folder, layout)
    head = f"{layout.prefix}." if layout.prefix else ""
    names = (name.removeprefix(head) for name in _names(folder) if name.startswith(head))
    places = (_place(name, layout) for name in names)
    return sorted(place for place in places if place is not None)


def _nested(folder: str, layout: ArrayLayout) -> Iterator[Pair]:
    n_rows, n_columns = layout.files
    for row in _numbers(folder, n_rows):
        if layout.is_vector:
            yield row, 0
            continue
        # Asking for each of a few files is one call to the system; listing a folder is four.
        is_few = n_columns <= _FEW_COLUMNS
        columns = range(n_columns) if is_few else _numbers(f"{folder}/{row}", n_columns)
        for column in columns:
            yield row, column


def _numbers(folder: str, limit: int) -> list[int]:
    """The names in a folder that are numbers below a limit, ascending."""
    found = (int(name) for name in _names(folder) if _NUMBER.fullmatch(name))
    return sorted(number for number in found if number < limit)


def _place(name: str, layout: ArrayLayout) -> Pair | None:
    """The file with this name less its prefix; None for what is no chunk of the grid."""
    parts = [name, "0"] if layout.is_vector else name.split(".")
    if len(parts) != 2 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    file = int(parts[0]), int(parts[1])
    return file if file[0] < layout.files[0] and file[1] < layout.files[1] else None


def _names(folder: str) -> list[str]:
    """Names in a folder, in any order; none where it is no folder."""
    return read_local(lambda: os.listdir(folder), folder) or []  # noqa: PTH208 - names, not paths


def _check_file(folder: Path, key: str, status: os.stat_result, most_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):  # a FIFO, a device: opening it may wait for ever
        found = f"it is {kind_of(status.st_mode)}; expected a regular file. Restore it"
    elif status.st_size == 0:
        found = "its file is empty (0 bytes). Write it again"
    elif status.st_size > most_bytes:
        found = (
            f"its file has {status.st_size:,} bytes, of a chunk of the declared shape at most "
            f"{most_bytes:,} are expected. Write it again"
        )
    else:
        return
    raise DataError(f"{folder}: chunk {key} is damaged: {found}")


def _status(path: str) -> os.stat_result | None:
    """The status of what may be a file, links followed; None where there is none."""
    status = read_local(lambda: os.stat(path), path)  # noqa: PTH116 - done a million times
    return None if status is None or stat.S_ISDIR(status.st_mode) else status
