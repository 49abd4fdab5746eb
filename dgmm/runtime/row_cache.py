"""Decoded rows that stay in a process from pass to pass, so that a chunk is decoded only once.

No library's cache serves: one that evicts what was read longest ago (LRU) always throws away, of
a cyclic scan that is larger than the cache, what comes next. Here the first bands that fit stay
and the others are read in every pass.

There is one cache in each process that reads, outside Dask's memory, and every fit that is open in
the process reads through it. Each data set may fill what is free, and is sure of an equal share of
the whole: below its share, it takes the place of bands of the data set that has most. A fit that
ends gives back what only it has read. No result depends on what is cached: rows found here are the
bytes that decoding gives.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from dgmm.runtime.cached_bands import CachedBands, Rows, in_own_pages

#: Rows that were not read for so long belong to a job that died; a living one pauses for minutes.
IDLE_S = 1800.0

#: The fit that this thread works for.
_reader: ContextVar[Hashable] = ContextVar("reader", default=None)


class RowCache:
    """Bands of decoded rows of several data sets, together at most a number of bytes; thread safe.

    A *band* is what one read decodes; at the ends of a task's rows it is a part of that. A *reader*
    is a fit; it reads one data set at a time (threads outside any fit are one reader together).

    Examples
    --------
    >>> import numpy as np
    >>> cache, rows = RowCache(), np.arange(12).reshape(6, 2)
    >>> cache.find("photos", 0, 100, 106)
    >>> cache.add("photos", 0, 100, rows, budget=1000)
    >>> cache.find("photos", 0, 102, 104)
    array([[4, 5],
           [6, 7]])
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sources: dict[Hashable, CachedBands] = {}
        #: What each reader reads now.
        self._read_by: dict[Hashable, Hashable] = {}
        self._watch: threading.Timer | None = None

    @property
    def n_bytes(self) -> int:
        """Bytes cached now."""
        return sum(cached.n_bytes for cached in list(self._sources.values()))

    def find(self, source: Hashable, band: int, start: int, stop: int) -> Rows | None:
        """Rows [start, stop) of a band, read only; None where they are not cached.

        Rows that the same reader read before of another data set are dropped.
        """
        reader = _reader.get()
        with self._lock:
            if source not in self._sources:
                self._sources[source] = CachedBands()
            if self._read_by.get(reader) != source:
                self._read_by[reader] = source
                self._drop_unread()
            cached = self._sources[source]
            cached.last_used = time.monotonic()
            return cached.find(band, start, stop)

    def add(self, source: Hashable, band: int, start: int, rows: Rows, budget: int) -> None:
        """Cache the rows of a band from row `start` on, if there is space for them.

        Parameters
        ----------
        budget : int
            Bytes that this process may cache if it reads this data set alone. With several, the
            largest budget holds for all together.

        Notes
        -----
        Rows of a data set that no reader reads any more are not cached, nor are any where the
        system gives no memory for them.
        """
        if rows.nbytes == 0 or not self._may_fit(source, band, rows.nbytes, budget):
            return
        try:
            copy = in_own_pages(rows)
        except (MemoryError, OSError):
            return
        with self._lock:
            cached = self._sources.get(source)
            if cached is None or (grown := cached.growth(band, start, copy)) is None:
                return
            if self._fits(cached, grown):
                self._make_space(cached, grown)
                cached.add(band, start, copy)
                self._watch_for(IDLE_S)

    def _may_fit(self, source: Hashable, band: int, n_bytes: int, budget: int) -> bool:
        """Whether copying rows may be of use, as far as is known beforehand."""
        with self._lock:
            cached = self._sources.get(source)
            if cached is None:
                return False
            cached.budget = max(cached.budget, budget)
            return band in cached or self._fits(cached, n_bytes)

    def _fits(self, cached: CachedBands, n_bytes: int) -> bool:
        grown = cached.n_bytes + n_bytes
        return grown <= cached.budget and (n_bytes <= self._free() or grown <= self._share())

    def _budget(self) -> int:
        return max(cached.budget for cached in self._sources.values())

    def _free(self) -> int:
        return self._budget() - self.n_bytes

    def _share(self) -> float:
        """Bytes that each data set is sure of."""
        return self._budget() / len(self._sources)

    def _make_space(self, cached: CachedBands | None, n_bytes: int) -> None:
        """Drop bands of data sets above their share, those that were cached last."""
        while n_bytes > self._free():
            others = [other for other in self._sources.values() if other is not cached]
            max(others, key=lambda other: other.n_bytes).drop_last()

    @contextmanager
    def reading(self, reader: Hashable) -> Iterator[None]:
        """Let this thread read for a fit; see `release`."""
        before = _reader.set(reader)
        try:
            yield
        finally:
            _reader.reset(before)

    def release(self, reader: Hashable) -> None:
        """A fit has ended: drop the rows that no other reads."""
        with self._lock:
            source = self._read_by.pop(reader, None)
            if self._read_by.get(None) == source:  # read by the same fit's main thread
                self._read_by.pop(None, None)
            self._drop_unread()

    def drop(self) -> None:
        """Cache nothing any more, whoever reads."""
        with self._lock:
            self._read_by.clear()
            self._drop_unread()

    def _drop_unread(self) -> None:
        for source in self._sources.keys() - set(self._read_by.values()):
            del self._sources[source]
        if self._sources:
            self._make_space(None, 0)
        elif self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _watch_for(self, seconds: float) -> None:
        if self._watch is None:
            self._watch = threading.Timer(seconds, self._drop_idle)
            self._watch.daemon = True
            self._watch.start()

    def _drop_idle(self) -> None:
        """A driver that is killed releases nothing, and its workers' memory is not ours."""
        with self._lock:
            self._watch = None
            now = time.monotonic()
            idle = {s for s, cached in self._sources.items() if now - cached.last_used >= IDLE_S}
            self._read_by = {r: s for r, s in self._read_by.items() if s not in idle}
            self._drop_unread()
            used = [cached.last_used for cached in self._sources.values()]
            if used:
                self._watch_for(min(used) + IDLE_S - now)


def read_for(reader: Hashable) -> None:
    """Let this thread read for a fit from now on: the start of a pool's thread."""
    _reader.set(reader)


#: The cache of this process.
process_cache = RowCache()
