"""Which range of blocks was assigned to which worker."""

from __future__ import annotations

from dataclasses import dataclass, field

from dgmm.reduction.blocks import BlockRange

#: One range that is computed and one whose message is already there when it ends.
IN_FLIGHT_PER_THREAD = 2


@dataclass(frozen=True, slots=True)
class Assignment:
    """One range assigned to one worker; `serial` distinguishes copies of the same range."""

    serial: int
    index: int
    blocks: BlockRange
    worker: str


@dataclass(slots=True)
class WorkerAssignments:
    """What the driver knows of a worker: its threads and its assignments, oldest first."""

    threads: int
    assignments: list[Assignment] = field(default_factory=list)

    @property
    def free_slots(self) -> int:
        """How many more ranges it may be given."""
        return self.threads * IN_FLIGHT_PER_THREAD - len(self.assignments)

    @property
    def is_idle(self) -> bool:
        """Whether a thread has nothing to do."""
        return len(self.assignments) < self.threads

    @property
    def load(self) -> float:
        """Ranges for each thread."""
        return len(self.assignments) / self.threads
