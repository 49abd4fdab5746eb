"""The bands of one data set that a process has cached: a plain table, without a lock."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]


class CachedBands:
    """Parts of bands by number, each with the row it starts at."""

    def __init__(self) -> None:
        self._bands: dict[int, list[tuple[int, Rows]]] = {}
        self.n_bytes = 0
        #: Bytes that may be cached of this data set.
        self.budget = 0
        #: Seconds of a monotonic clock.
        self.last_used = 0.0

    def __contains__(self, band: int) -> bool:
        return band in self._bands

    def find(self, band: int, start: int, stop: int) -> Rows | None:
        """Rows [start, stop) of a band; None where no part has them all."""
        for first, rows in self._bands.get(band, ()):
            if first <= start and stop <= first + len(rows):
                return rows[start - first : stop - first]
        return None

    def growth(self, band: int, start: int, rows: Rows) -> int | None:
        """Bytes that `add` would add; None where the rows are cached already."""
        if self.find(band, start, start + len(rows)) is not None:
            return None
        return (
            rows.nbytes - _size(self._bands.get(band, [])) + _size(self._beside(band, start, rows))
        )

    def add(self, band: int, start: int, rows: Rows) -> None:
        """Add a part of a band in place of the parts that it covers."""
        self.n_bytes += self.growth(band, start, rows) or 0
        self._bands[band] = [*self._beside(band, start, rows), (start, rows)]

    def drop_last(self) -> None:
        """Drop the band that was added last."""
        _, parts = self._bands.popitem()
        self.n_bytes -= _size(parts)

    def _beside(self, band: int, start: int, rows: Rows) -> list[tuple[int, Rows]]:
        """Parts of a band that these rows do not cover."""
        stop = start + len(rows)
        parts = self._bands.get(band, ())
        return [p for p in parts if p[0] < start or p[0] + len(p[1]) > stop]


def _size(parts: list[tuple[int, Rows]]) -> int:
    return sum(rows.nbytes for _, rows in parts)


def in_own_pages(rows: Rows) -> Rows:
    """A copy outside the allocator's memory, read only.

    Among chunks that come and go, rows that stay leave gaps which the next chunk does not fit into:
    with 16 MiB chunks a worker grew by as much again as it cached.
    """
    flags = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)
    anonymous = {"flags": flags} if flags else {}  # Windows has neither
    copy = np.frombuffer(mmap.mmap(-1, rows.nbytes, **anonymous), rows.dtype).reshape(rows.shape)
    np.copyto(copy, rows)
    copy.flags.writeable = False
    return copy
