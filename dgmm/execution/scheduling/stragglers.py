"""Which ranges of blocks are late: in flight for much longer than others took."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Container

from dgmm.execution.scheduling.in_flight import Assignment

#: A range is late after five times the median of those done, but never before this many seconds.
LATE_S = 30.0
LATE_MEDIANS = 5.0
#: Seconds between two searches for late ranges.
SEARCH_S = 1.0


class LateRanges:
    """Since when each assignment is in flight, and how long others took."""

    def __init__(self) -> None:
        self._since: dict[Assignment, float] = {}
        self._durations: list[float] = []
        self._next_search = 0.0
        #: Workers whose assignments are late, however long they have them.
        self.stalled: Container[str] = frozenset()

    def __contains__(self, assignment: Assignment) -> bool:
        """Whether an assignment is in flight."""
        return assignment in self._since

    def start(self, assignment: Assignment, now: float) -> None:
        """An assignment begins now, or begins to compute only now."""
        self._since[assignment] = now

    def drop(self, assignment: Assignment) -> None:
        """An assignment is in flight no more."""
        del self._since[assignment]

    def complete(self, assignment: Assignment, now: float) -> None:
        """An assignment was done in the time since its start."""
        self._durations.append(now - self._since[assignment])

    def is_search_due(self, now: float) -> bool:
        """Whether to search again; if so, not before `SEARCH_S` have passed."""
        if now < self._next_search:
            return False
        self._next_search = now + SEARCH_S
        return True

    def test(self, now: float) -> Callable[[Assignment], bool]:
        """Whether an assignment is late now."""
        late_after = self._late_after()
        return lambda a: a.worker in self.stalled or now - self._since[a] > late_after

    def _late_after(self) -> float:
        if not self._durations:
            return LATE_S
        return max(LATE_S, LATE_MEDIANS * statistics.median(self._durations))
