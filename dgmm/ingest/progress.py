"""How far preparing has come, said every so many seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from dgmm.ingest.group_reading import PreparedCount
from dgmm.reduction.tree import Subtree

#: Seconds between two notes.
EVERY_S = 10.0


class PrepareProgress:
    """The progress of the read: nothing is saved, since the groups that are done stand on disk.

    Parameters
    ----------
    n_samples : int
        Rows of the source.
    note : callable
        Called with a line.
    """

    def __init__(self, n_samples: int, note: Callable[[str], None]) -> None:
        self._n_samples, self._note = n_samples, note
        self._said_at = time.monotonic()

    def finished(self) -> list[Subtree[PreparedCount]]:
        """Nothing: tasks pass over groups that are done."""
        return []

    def advanced(self, subtrees: Callable[[], list[Subtree[PreparedCount]]]) -> None:
        """Say how many rows are there, if that was not said lately."""
        if time.monotonic() - self._said_at < EVERY_S:
            return
        n_rows = sum(subtree.value.n_rows for subtree in subtrees())
        share = n_rows / self._n_samples
        self._note(f"{n_rows:,} of {self._n_samples:,} rows are prepared ({share:.0%})")
        self._said_at = time.monotonic()

    def interrupted(self, subtrees: Callable[[], list[Subtree[PreparedCount]]]) -> None:
        """Nothing is to be saved."""
