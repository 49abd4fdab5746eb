"""Which worker gets which range of blocks, and what becomes of ranges whose worker leaves.

Dask's own affinity is nearly a pin (eight of eight tasks stayed on the preferred worker of two),
and a worker that dies takes innocent tasks with it. So the driver has at most two ranges in
flight per thread, gives waiting ones to whoever has a free slot, and decides itself what is given
out again. A worker gets what it has read in an earlier pass and may have cached; an idle one gets
anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from dgmm.execution.scheduling.affinity import BlockLocations, WaitingRanges
from dgmm.execution.scheduling.in_flight import Assignment, WorkerAssignments
from dgmm.execution.scheduling.stragglers import LateRanges
from dgmm.execution.scheduling.suspects import Suspects
from dgmm.execution.scheduling.worker_table import WorkerTable
from dgmm.reduction.blocks import BlockRange


class Balance:
    """The state of one pass: ranges waiting, in flight and done.

    Parameters
    ----------
    ranges : sequence of BlockRange
        What the pass consists of; each is done once, whatever happens to workers.
    locations : BlockLocations, optional
        Who read which blocks in earlier passes; this one adds to it.
    align : int
        Ranges may be cut at multiples of this many blocks.
    """

    def __init__(
        self,
        ranges: Sequence[BlockRange],
        locations: BlockLocations | None = None,
        *,
        align: int = 1,
    ) -> None:
        self._ranges, self._align = list(ranges), align
        self._locations = BlockLocations() if locations is None else locations
        self._waiting = WaitingRanges()
        for index, blocks in enumerate(self._ranges):
            self._waiting.add(index, self._locations.worker_of(blocks))
        self._unfinished = set(range(len(ranges)))
        self._workers = WorkerTable()
        self._suspects = Suspects(len(ranges))
        self._late = LateRanges()
        self._of_range: dict[int, list[Assignment]] = {}
        self._serial = 0

    @property
    def n_ranges(self) -> int:
        """Ranges, done or not."""
        return len(self._ranges)

    @property
    def is_finished(self) -> bool:
        """Whether every range is done."""
        return not self._unfinished

    def update_workers(
        self,
        threads: Mapping[str, int],
        now: float,
        *,
        paused: Collection[str] = (),
        stalled: Collection[str] = (),
    ) -> list[Assignment]:
        """Take in which workers are there now; give up the assignments of those that left.

        Parameters
        ----------
        threads : mapping of str to int
            Threads of each worker, by address.
        now : float
            Seconds of a monotonic clock.
        paused : collection of str
            Workers that go on with their ranges but get no more.
        stalled : collection of str
            Those of them whose ranges count as late, however long they have been there.

        Raises
        ------
        PoisonBlocksError
            If a range that cannot be cut has ended `DEATHS_ALONE` workers while alone on them.
        """
        self._workers.paused, self._late.stalled = frozenset(paused), frozenset(stalled)
        if self._workers.is_same(threads):  # as after nearly every result
            return []
        gone = self._workers.update(threads)
        self._locations.retain(threads)
        self._waiting.retain(threads)
        return [
            assignment
            for worker in gone
            # Workers that die together prove nothing: a machine or a network went.
            for assignment in self._requeue_all(worker, died_alone=len(gone) == 1, now=now)
        ]

    def _requeue_all(
        self, worker: WorkerAssignments, *, died_alone: bool, now: float
    ) -> list[Assignment]:
        """Count a worker's death for each of its ranges; let them wait again, in their order."""
        for assignment in (assignments := list(worker.assignments)):
            self._record_death(assignment, alone=died_alone and len(assignments) == 1)
        suspects = [a for a in assignments if a.index in self._suspects]
        for assignment in (*suspects, *reversed([a for a in assignments if a not in suspects])):
            self._requeue(assignment, now)
        return assignments

    def _record_death(self, assignment: Assignment, *, alone: bool) -> None:
        if not self._suspects.record_death(assignment.index, alone=alone):
            return
        if assignment.blocks.stop - assignment.blocks.start > self._align:
            self._cut(assignment)
        else:
            self._suspects.require_no_poison(assignment)

    def _cut(self, assignment: Assignment) -> None:
        """Two halves in place of a range: one of them may be innocent, and both are smaller."""
        if len(self._copies(assignment.index)) > 1:  # another worker may come through
            return
        start, stop = assignment.blocks
        units = -(-(stop - start) // self._align)
        middle = start + units // 2 * self._align
        self._unfinished.discard(assignment.index)
        for half in (BlockRange(start, middle), BlockRange(middle, stop)):
            self._unfinished.add(len(self._ranges))
            self._ranges.append(half)
            self._suspects.add_half(assignment.index)

    def withdraw(self, assignment: Assignment, now: float, *, has_killed: bool = False) -> None:
        """Take a range back: its message or result was lost, or the scheduler found it deadly."""
        if assignment not in self._late:
            return
        if has_killed:
            self._record_death(assignment, alone=self._workers.is_alone(assignment))
        self._requeue(assignment, now)

    def _requeue(self, assignment: Assignment, now: float) -> None:
        """Drop an assignment; its range waits again, a suspect behind all others."""
        self._remove(assignment, now)
        index = assignment.index
        if index not in self._unfinished or self._copies(index):
            return
        if index in self._suspects:
            self._suspects.add(index)
        else:
            self._waiting.add_first(index, self._locations.worker_of(assignment.blocks))

    def _remove(self, assignment: Assignment, now: float) -> None:
        self._late.drop(assignment)
        self._of_range[assignment.index].remove(assignment)
        for following in self._workers.remove(assignment):
            self._late.start(following, now)

    def _copies(self, index: int) -> list[Assignment]:
        return list(self._of_range.get(index, ()))

    def assign(self, now: float) -> list[Assignment]:
        """Give waiting ranges to workers with a free slot, the least loaded first."""
        given = self._assign_waiting(now)
        while not self._waiting and self._suspects and (worker := self._workers.idle()):
            given.append(self._give(self._suspects.take(), worker, now))
        return given

    def _assign_waiting(self, now: float) -> list[Assignment]:
        given: list[Assignment] = []
        if not self._waiting:
            return given
        for address, worker in self._workers.least_loaded_first(self._suspects.__contains__):
            index = self._waiting.take(address, is_idle=worker.is_idle)
            # Else what waits will be taken by the worker that read it, or by an idle one.
            if index is not None:
                given.append(self._give(index, address, now))
            if not self._waiting:
                break
        return given

    def _give(self, index: int, address: str, now: float) -> Assignment:
        self._serial += 1
        assignment = Assignment(self._serial, index, self._ranges[index], address)
        self._workers.add(assignment)
        self._late.start(assignment, now)
        self._of_range.setdefault(index, []).append(assignment)
        return assignment

    def reissue(self, now: float) -> list[Assignment]:
        """Give late ranges a second time, to workers that have nothing else to do.

        It looks at all ranges at most once in `SEARCH_S`: after each of thousands of results it
        would take longer than they do (1,000 workers: minutes a pass).
        """
        if self._waiting or self._suspects or not self._late.is_search_due(now):
            return []
        given: list[Assignment] = []
        is_late = self._late.test(now)
        for index in sorted(self._unfinished):
            copies = self._copies(index)
            if not any(is_late(copy) for copy in copies):
                continue
            worker = self._workers.idle(besides={copy.worker for copy in copies})
            if worker:
                given.append(self._give(index, worker, now))
        return given

    def complete(self, assignment: Assignment, now: float) -> list[Assignment] | None:
        """Take a result in.

        Returns
        -------
        list of Assignment or None
            Copies of the range still in flight elsewhere, to be released; None where another copy
            was first, so that this result is discarded.
        """
        if assignment not in self._late or assignment.index not in self._unfinished:
            return None
        self._late.complete(assignment, now)
        self._unfinished.discard(assignment.index)
        self._locations.record(assignment.blocks, assignment.worker)
        self._remove(assignment, now)
        overtaken = self._copies(assignment.index)
        for copy in overtaken:
            self._remove(copy, now)
        return overtaken
