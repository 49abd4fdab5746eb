"""Which worker has read which blocks, so that a pass gives each the blocks it may hold.

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
    """The worker that read each block first, as long as it is there; kept from pass to pass.

    First and not last, because caches are filled once and never evict: a run that another worker
    took over in a later pass is still held where it was.

    Examples
    --------
    >>> homes = Homes()
    >>> homes.settle(Run(0, 6), "a")
    >>> homes.settle(Run(4, 10), "b")
    >>> homes.of(Run(4, 8)), homes.of(Run(5, 10)), homes.of(Run(10, 12))
    ('a', 'b', None)
    """

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def of(self, run: BlockRange) -> str | None:
        """The worker with most of a run's blocks, the first of equals; None where none has any."""
        blocks: dict[str, int] = {}
        for start, stop, worker in self._touching(run):
            shared = min(stop, run.stop) - max(start, run.start)
            blocks[worker] = blocks.get(worker, 0) + shared
        return max(blocks, key=blocks.__getitem__, default=None)

    def settle(self, run: BlockRange, worker: str) -> None:
        """A worker has read a run: blocks that nobody has read before are at home there."""
        touching = self._touching(run)
        edges = [run.start, *itertools.chain(*((p.start, p.stop) for p in touching)), run.stop]
        gaps = [_Part(a, b, worker) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]
        first = self._first(run)
        self._parts[first : first + len(touching)] = _merged(sorted([*touching, *gaps]))

    def keep(self, workers: Container[str]) -> None:
        """Forget what was read by workers that are not there any more."""
        self._parts = [part for part in self._parts if part.worker in workers]

    def _first(self, run: BlockRange) -> int:
        """Where the parts that touch a run begin; parts lie in order and do not overlap."""
        return bisect.bisect_right(self._parts, run.start, key=lambda part: part.stop)

    def _touching(self, run: BlockRange) -> list[_Part]:
        first = self._first(run)
        last = bisect.bisect_left(self._parts, run.stop, lo=first, key=lambda part: part.start)
        return self._parts[first:last]


def _merged(parts: list[_Part]) -> list[_Part]:
    """Neighbours of one worker as one part."""
    merged: list[_Part] = []
    for start, stop, worker in parts:
        is_next = merged and (merged[-1].stop, merged[-1].worker) == (start, worker)
        merged.append(_Part(merged.pop().start if is_next else start, stop, worker))
    return merged


class WaitingRanges:
    """Runs by number, in order, each waiting for the worker it is at home with, or for anybody."""

    def __init__(self) -> None:
        self._queues: dict[str | None, deque[int]] = {None: deque()}

    def __bool__(self) -> bool:
        return any(self._queues.values())

    def add(self, index: int, home: str | None) -> None:
        """Let a run wait behind the others."""
        self._queues.setdefault(home, deque()).append(index)

    def add_first(self, index: int, home: str | None) -> None:
        """Let a run that was given out before wait in front of the others."""
        self._queues.setdefault(home, deque()).appendleft(index)

    def take(self, worker: str, *, is_idle: bool) -> int | None:
        """A worker's next run: its own, else nobody's, else, if it is idle, another one's last."""
        for home in (worker, None):
            if queue := self._queues.get(home):
                return queue.popleft()
        if not is_idle:
            return None
        longest = max(self._queues.values(), key=len)
        return longest.pop() if longest else None

    def keep(self, workers: Container[str]) -> None:
        """Anybody may take what waited for workers that are not there any more."""
        for home in [home for home in self._queues if home is not None and home not in workers]:
            self._queues[None].extend(self._queues.pop(home))
