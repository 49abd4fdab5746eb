"""Which worker has read which blocks, so that a pass gives each the blocks it may have cached.

A preference and never a pin: it is known to the driver alone, and whoever is idle takes what waits
for others.
"""

from __future__ import annotations

import bisect
import itertools
from collections import deque
from collections.abc import Container
from typing import NamedTuple

from dgmm.reduction.blocks import BlockRange


class _Part(NamedTuple):
    """Consecutive blocks that one worker read first."""

    start: int
    stop: int
    worker: str


class BlockLocations:
    """The worker that read each block first, as long as it is there; known from pass to pass.

    First and not last, because a cache is filled once and replaces nothing of its own data set: a
    range that another worker took over in a later pass is still cached where it was.

    Examples
    --------
    >>> locations = BlockLocations()
    >>> locations.record(BlockRange(0, 6), "a")
    >>> locations.record(BlockRange(4, 10), "b")
    >>> [locations.worker_of(BlockRange(*ends)) for ends in ((4, 8), (5, 10), (10, 12))]
    ['a', 'b', None]
    """

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def worker_of(self, wanted: BlockRange) -> str | None:
        """The worker with most of these blocks, the first of equals; None where none has any."""
        blocks: dict[str, int] = {}
        for start, stop, worker in self._touching(wanted):
            shared = min(stop, wanted.stop) - max(start, wanted.start)
            blocks[worker] = blocks.get(worker, 0) + shared
        return max(blocks, key=blocks.__getitem__, default=None)

    def record(self, read: BlockRange, worker: str) -> None:
        """A worker has read a range: those of its blocks that no other has read before are its."""
        touching = self._touching(read)
        edges = [read.start, *itertools.chain(*((p.start, p.stop) for p in touching)), read.stop]
        gaps = [_Part(a, b, worker) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]
        first = self._first(read)
        self._parts[first : first + len(touching)] = _merged(sorted([*touching, *gaps]))

    def retain(self, workers: Container[str]) -> None:
        """Forget what was read by workers that are not there any more."""
        self._parts = [part for part in self._parts if part.worker in workers]

    def _first(self, blocks: BlockRange) -> int:
        """Where the parts that touch a range begin; parts lie in order and do not overlap."""
        return bisect.bisect_right(self._parts, blocks.start, key=lambda part: part.stop)

    def _touching(self, blocks: BlockRange) -> list[_Part]:
        first = self._first(blocks)
        last = bisect.bisect_left(self._parts, blocks.stop, lo=first, key=lambda part: part.start)
        return self._parts[first:last]


def _merged(parts: list[_Part]) -> list[_Part]:
    """Neighbours of one worker as one part."""
    merged: list[_Part] = []
    for start, stop, worker in parts:
        is_next = merged and (merged[-1].stop, merged[-1].worker) == (start, worker)
        merged.append(_Part(merged.pop().start if is_next else start, stop, worker))
    return merged


class WaitingRanges:
    """Ranges by number, in order, each waiting for the worker that read it, or for anybody."""

    def __init__(self) -> None:
        self._queues: dict[str | None, deque[int]] = {None: deque()}

    def __bool__(self) -> bool:
        return any(self._queues.values())

    def add(self, index: int, worker: str | None) -> None:
        """Let a range wait behind the others."""
        self._queues.setdefault(worker, deque()).append(index)

    def add_first(self, index: int, worker: str | None) -> None:
        """Let a range that was given out before wait in front of the others."""
        self._queues.setdefault(worker, deque()).appendleft(index)

    def take(self, worker: str, *, is_idle: bool) -> int | None:
        """A worker's next range: one it has read, else one that none has, else (idle) any."""
        for reader in (worker, None):
            if queue := self._queues.get(reader):
                return queue.popleft()
        if not is_idle:
            return None
        longest = max(self._queues.values(), key=len)
        return longest.pop() if longest else None

    def retain(self, workers: Container[str]) -> None:
        """Anybody may take what waited for workers that are not there any more."""
        for gone in [w for w in self._queues if w is not None and w not in workers]:
            self._queues[None].extend(self._queues.pop(gone))
