"""The index of a shard: offset and length of each inner chunk, or that it does not exist."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dgmm.data.zarr.node import read_local
from dgmm.errors import DataError
from dgmm.storage.regular_files import open_regular

_ABSENT = np.iinfo(np.uint64).max
_CHECKSUM_BYTES = 4


def read_index(
    path: Path, counts: Sequence[int], *, at_start: bool
) -> tuple[NDArray[np.uint64], int] | None:
    """Pairs (…, 2) of offset and length, and the file's size; None where there is no file.

    Parameters
    ----------
    path
        The shard.
    counts
        Inner chunks along each dimension.
    at_start
        Whether the index lies before the inner chunks. It has little-endian pairs and a checksum.

    Raises
    ------
    DataError
        If the file is too short for it.
    """
    size, end = 16 * math.prod(counts), [0]

    def read() -> bytes:
        with open_regular(path) as shard:
            end[0] = shard.seek(0, os.SEEK_END)
            if end[0] < size:  # asked first: metadata may claim an index that fits no memory
                return b""
            shard.seek(0 if at_start else max(end[0] - size - _CHECKSUM_BYTES, 0))
            return shard.read(size)

    content = read_local(read, str(path))
    if content is None:
        return None
    if len(content) < size:
        raise DataError(
            f"{path} is damaged: too short for the index of a shard, which takes {size:,} bytes "
            f"for {' × '.join(f'{n:,}' for n in counts)} inner chunks. Write it again"
        )
    return np.frombuffer(content, "<u8").reshape(*counts, 2), end[0]


def is_absent(pairs: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which inner chunks a shard's index calls absent."""
    return np.asarray((pairs == _ABSENT).all(axis=-1))
