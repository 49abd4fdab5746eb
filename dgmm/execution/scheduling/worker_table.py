"""The workers of a pass: their threads, their assignments, and which may be given more."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Mapping

from dgmm.execution.scheduling.in_flight import Assignment, WorkerAssignments


class WorkerTable:
    """Workers by address."""

    def __init__(self) -> None:
        self._workers: dict[str, WorkerAssignments] = {}
        self._threads: dict[str, int] = {}
        #: Workers that may have a free slot: of thousands, few are looked at after each result.
        self._maybe_free: set[str] = set()
        self.paused: frozenset[str] = frozenset()

    def is_same(self, threads: Mapping[str, int]) -> bool:
        """Whether these are the workers and threads that the table has."""
        return threads == self._threads

    def update(self, threads: Mapping[str, int]) -> list[WorkerAssignments]:
        """Replace the workers; return the assignments of those that left."""
        self._threads = dict(threads)
        left = [address for address in self._workers if address not in threads]
        gone = [self._workers.pop(address) for address in left]
        for address, count in threads.items():
            self._workers.setdefault(address, WorkerAssignments(count)).threads = count
        self._maybe_free = set(threads)
        return gone

    def add(self, assignment: Assignment) -> None:
        """Note that a worker was given a range."""
        worker = self._workers[assignment.worker]
        worker.assignments.append(assignment)
        if worker.free_slots <= 0:
            self._maybe_free.discard(assignment.worker)

    def remove(self, assignment: Assignment) -> list[Assignment]:
        """Forget an assignment; return those behind it that begin to compute only now."""
        worker = self._workers.get(assignment.worker)
        if worker is None or assignment not in worker.assignments:
            return []
        worker.assignments.remove(assignment)
        self._maybe_free.add(assignment.worker)
        return worker.assignments[worker.threads - 1 : worker.threads]

    def is_alone(self, assignment: Assignment) -> bool:
        """Whether the worker of an assignment is there and has no other."""
        worker = self._workers.get(assignment.worker)
        return worker is not None and len(worker.assignments) == 1

    def idle(self, *, besides: Collection[str] = ()) -> str | None:
        """A worker without any assignment that may be given one."""
        for address, worker in self._workers.items():
            if not worker.assignments and address not in self.paused and address not in besides:
                return address
        return None

    def least_loaded_first(
        self, is_suspect: Callable[[int], bool]
    ) -> Iterator[tuple[str, WorkerAssignments]]:
        """Workers with a free slot, again and again until theirs are full or they were left out.

        A worker comes again only where it was given a range since. Workers that have a suspect get
        nothing beside it.
        """
        free = [
            (self._workers[a].load, a) for a in self._maybe_free if self._is_free(a, is_suspect)
        ]
        heapq.heapify(free)
        while free:
            _, address = heapq.heappop(free)
            worker = self._workers[address]
            before = len(worker.assignments)
            yield address, worker
            if len(worker.assignments) > before and worker.free_slots > 0:
                heapq.heappush(free, (worker.load, address))

    def _is_free(self, address: str, is_suspect: Callable[[int], bool]) -> bool:
        worker = self._workers[address]
        has_suspect = any(is_suspect(a.index) for a in worker.assignments)
        return worker.free_slots > 0 and address not in self.paused and not has_suspect
