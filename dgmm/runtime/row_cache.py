"""Decoded rows that stay in a process from pass to pass, so that a chunk is decoded only once.

There is one cache in each process that reads, of one data set, outside Dask's memory. Whoever reads
first fills it and nothing is ever evicted: passes read the same rows over and over, and of such a
cyclic scan that is larger than the cache an LRU has always just thrown away what comes next. As
many bands as fit stay, the others are read in every pass. No result follows what is held: rows
found here are the bytes that decoding gives.
"""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]

#: Rows that nobody read for so long belong to a job that died; a living one pauses for minutes.
IDLE_S = 1800.0


class RowCache:
    """Bands of decoded rows of one data set, at most a number of bytes; thread safe.

    A *band* is what one read decodes; at the ends of a task's rows it is a part of that.

    Examples
    --------
    >>> import numpy as np
    >>> cache, rows = RowCache(), np.arange(12).reshape(6, 2)
    >>> cache.keep("photos", 0, 100, rows, limit=1000)
    >>> cache.find("photos", 0, 102, 104)
    array([[4, 5],
           [6, 7]])
    >>> cache.find("masks", 0, 102, 104)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._source: Hashable = None
        self._bands: dict[int, list[tuple[int, Rows]]] = {}
        self._n_bytes = 0
        self._last_used = 0.0
        self._watch: threading.Timer | None = None

    @property
    def n_bytes(self) -> int:
        """Bytes held now."""
        return self._n_bytes

    def find(self, source: Hashable, band: int, start: int, stop: int) -> Rows | None:
        """Rows [start, stop) of a band, read only; None where they are not held.

        Rows of another data set are dropped: what is read now is what will be read again.
        """
        with self._lock:
            if source != self._source:
                self._clear()
                self._source = source
            self._last_used = time.monotonic()
            for first, rows in self._bands.get(band, ()):
                if first <= start and stop <= first + len(rows):
                    return rows[start - first : stop - first]
        return None

    def keep(self, source: Hashable, band: int, start: int, rows: Rows, limit: int) -> None:
        """Hold the rows of a band from row `start` on, if all that is held stays within the limit.

        Rows of a data set that another one has replaced in the meantime are not held, nor are any
        where the system gives no memory for them.
        """
        if rows.nbytes == 0 or self._has_no_room(source, band, rows.nbytes, limit):
            return
        try:
            copy = _in_own_pages(rows)
        except (MemoryError, OSError):
            return
        with self._lock:
            if self._source is None:
                self._source = source
            stop = start + len(copy)
            parts = self._bands.get(band, [])
            outside = [p for p in parts if p[0] < start or p[0] + len(p[1]) > stop]
            freed = _size(parts) - _size(outside)
            is_known = any(first <= start and stop <= first + len(part) for first, part in parts)
            if source != self._source or is_known:
                return
            if self._n_bytes - freed + copy.nbytes > limit:
                return
            self._bands[band] = [*outside, (start, copy)]
            self._n_bytes += copy.nbytes - freed
            self._last_used = time.monotonic()
            if self._watch is None:
                self._watch_for(IDLE_S)

    def _has_no_room(self, source: Hashable, band: int, n_bytes: int, limit: int) -> bool:
        """Whether copying rows would be in vain, as far as can be said beforehand."""
        with self._lock:
            is_full = self._n_bytes + n_bytes > limit and band not in self._bands
            return is_full or self._source not in {None, source}

    def drop(self) -> None:
        """Hold nothing any more."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        self._source, self._n_bytes = None, 0
        self._bands.clear()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _watch_for(self, seconds: float) -> None:
        self._watch = threading.Timer(seconds, self._drop_if_idle)
        self._watch.daemon = True
        self._watch.start()

    def _drop_if_idle(self) -> None:
        """A driver that is killed says goodbye to nobody; its workers' memory is not ours."""
        with self._lock:
            left = self._last_used + IDLE_S - time.monotonic()
            if left > 0:
                self._watch_for(left)
            else:
                self._clear()


def _in_own_pages(rows: Rows) -> Rows:
    """A copy outside the allocator's memory, read only.

    Among chunks that come and go, rows that stay leave gaps which the next chunk does not fit into:
    with 16 MiB chunks a worker grew by as much again as it kept.
    """
    flags = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)
    anonymous = {"flags": flags} if flags else {}  # Windows has neither
    copy = np.frombuffer(mmap.mmap(-1, rows.nbytes, **anonymous), rows.dtype).reshape(rows.shape)
    np.copyto(copy, rows)
    copy.flags.writeable = False
    return copy


def _size(parts: list[tuple[int, Rows]]) -> int:
    return sum(rows.nbytes for _, rows in parts)


#: The cache of this process.
decoded_cache = RowCache()
