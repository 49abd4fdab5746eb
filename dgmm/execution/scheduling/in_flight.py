"""What was given to whom: the records that `Balance` keeps of runs in flight."""

from __future__ import annotations

from dataclasses import dataclass, field

from dgmm.reduction.blocks import BlockRange

#: One run that computes and one whose message is already there when it ends.
IN_FLIGHT_PER_THREAD = 2


@dataclass(frozen=True, slots=True)
class Assignment:
    """One run given to one worker; `serial` tells copies of the same run apart."""

    serial: int
    index: int
    run: BlockRange
    worker: str


@dataclass(slots=True)
class WorkerAssignments:
    """What the driver knows of a worker: its threads and its tickets, oldest first."""

    threads: int
    tickets: list[Assignment] = field(default_factory=list)

    @property
    def room(self) -> int:
        """How many more runs it may be given."""
        return self.threads * IN_FLIGHT_PER_THREAD - len(self.tickets)

    @property
    def is_idle(self) -> bool:
        """Whether a thread has nothing to do."""
        return len(self.tickets) < self.threads

    @property
    def load(self) -> float:
        """Runs for each thread."""
        return len(self.tickets) / self.threads
