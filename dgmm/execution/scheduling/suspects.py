"""Which ranges of blocks may end the workers that compute them."""

from __future__ import annotations

from collections import deque

from dgmm.errors import PoisonBlocksError
from dgmm.execution.scheduling.in_flight import Assignment

#: A range that was on this many workers that died is a suspect: it gets a worker to itself from
#: then on; if that worker dies too, the range is cut in halves...
DEATHS_OF_SUSPECT = 3
#: ...until one that cannot be cut has ended this many workers: that one is poison.
DEATHS_ALONE = 3


class Suspects:
    """Deaths of workers for each range of blocks, and the suspects that wait."""

    def __init__(self, n_ranges: int) -> None:
        self._deaths = [0] * n_ranges
        self._deaths_alone = [0] * n_ranges
        self._waiting: deque[int] = deque()

    def __bool__(self) -> bool:
        """Whether any waits."""
        return bool(self._waiting)

    def __contains__(self, index: int) -> bool:
        return self._deaths[index] >= DEATHS_OF_SUSPECT

    def add(self, index: int) -> None:
        """Let a suspect wait behind the others: those may do no harm."""
        self._waiting.append(index)

    def take(self) -> int:
        """The next suspect."""
        return self._waiting.popleft()

    def add_half(self, of: int) -> None:
        """Let a half of a range wait, a new range that has the deaths of the whole."""
        self._waiting.append(len(self._deaths))
        self._deaths.append(self._deaths[of])
        self._deaths_alone.append(0)

    def record_death(self, index: int, *, alone: bool) -> bool:
        """A worker died with a range; whether that range was a suspect and alone on it."""
        ended_it = alone and index in self
        self._deaths[index] += 1
        self._deaths_alone[index] += ended_it
        return ended_it

    def require_no_poison(self, assignment: Assignment) -> None:
        """Refuse a range that has ended too many workers while alone on them.

        Raises
        ------
        PoisonBlocksError
            With its blocks.
        """
        if self._deaths_alone[assignment.index] < DEATHS_ALONE:
            return
        n_deaths = self._deaths[assignment.index]
        ended = f"{DEATHS_ALONE} workers while alone on them ({n_deaths} workers in all)"
        raise PoisonBlocksError(ended, assignment.blocks, None)
