"""Small chunk files are read where they are asked for, not in a thread each.

Zarr hands every file to a thread of a pool, and threads of Python take turns: chunks of 8 kB took
370 to 410 µs each on two cores, where reading them one after another takes 100 to 140. On storage
that answers slowly, many requests at a time are worth their threads.

Nothing but regular files of a size that the array's chunks can have is read.

A file is read in Zarr's event loop, the only one of a process: nothing else begins meanwhile.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore

from dgmm.storage.regular_files import (
    MOST_METADATA_BYTES,
    OversizedFileError,
    check_regular,
    read_if_small,
)

#: Files up to this size; larger ones take longer to copy than a thread costs.
_SMALL_BYTES = 256 * 1024
#: Seconds a file, on average, from which on storage counts as slow, and for how many files.
_SLOW_S, _SLOW_FILES = 0.0005, 512
#: How many files the average goes back, and how much slower than that one of them counts at most:
#: a thread that had to wait for its turn tells nothing of storage.
_REMEMBERED, _SLOWEST = 16, 4


class SmallFilesStore(LocalStore):
    """Zarr's store of a local folder; see above."""

    def __init__(self, root: Path | str, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self._average_s, self._left_to_threads, self._has_large = 0.0, 0, False
        #: Larger files are refused: no chunk of the array can be in them.
        self.most_bytes = MOST_METADATA_BYTES

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """As Zarr's: the file's bytes, None where there is no such file."""
        path = self.root / key
        try:
            if prototype is None or byte_range is not None or self._has_large or self._is_slow():
                self._check_size(path, check_regular(path))
                return await super().get(key, prototype, byte_range)
            begun = time.perf_counter()
            content = _content_if_small(path)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        self._note(time.perf_counter() - begun)
        if content is None:
            self._check_size(path, check_regular(path))
            self._has_large = True  # chunks of an array are of about one size
            return await super().get(key, prototype, byte_range)
        return prototype.buffer.from_bytes(content)

    def _is_slow(self) -> bool:
        """Whether this file is among those left to threads."""
        if self._left_to_threads == 0:
            return False
        self._left_to_threads -= 1
        return True

    def _note(self, taken_s: float) -> None:
        self._average_s += (min(taken_s, _SLOWEST * _SLOW_S) - self._average_s) / _REMEMBERED
        if self._average_s > _SLOW_S:
            self._average_s, self._left_to_threads = 0.0, _SLOW_FILES

    def _check_size(self, path: Path, status: os.stat_result) -> None:
        if status.st_size > self.most_bytes:
            raise OversizedFileError(path, self.most_bytes)


def _content_if_small(path: Path) -> bytes | None:
    return read_if_small(str(path), _SMALL_BYTES)
