"""Which worker gets which run, and what becomes of runs whose worker leaves. Knows nothing of Dask.

Dask's own affinity is nearly a pin (eight of eight tasks stayed on the preferred worker of two),
and a worker that dies takes innocent tasks with it. So the driver keeps at most two runs in flight
per thread, hands waiting ones to whoever has room, and decides itself what is given out again. A
worker with room gets what it has read in an earlier pass and may hold; an idle one gets anything.
"""

from __future__ import annotations

import heapq
import statistics
from collections import deque
from collections.abc import Collection, Mapping, Sequence

from dgmm.errors import PoisonBlocksError
from dgmm.execution.scheduling.affinity import BlockLocations, WaitingRanges
from dgmm.execution.scheduling.in_flight import Assignment, WorkerAssignments
from dgmm.reduction.blocks import BlockRange

#: A run that was on this many dying workers gets a worker to itself from then on; if that worker
#: dies too, the run is cut in halves...
DEATHS_IN_COMPANY = 3
#: ...until one that cannot be cut has taken this many workers with it: that one is poison.
DEATHS_ALONE = 3
#: A run is late after five times the median of those done, but never before this many seconds.
LATE_S = 30.0
LATE_MEDIANS = 5.0
#: Seconds between two looks for late runs.
LOOK_S = 1.0


class Balance:
    """The state of one pass: runs waiting, in flight and done.

    Parameters
    ----------
    runs : sequence of Run
        What the pass consists of; each is done once, whatever happens to workers.
    homes : Homes, optional
        Who read which blocks in earlier passes; this one adds to it.
    align : int
        Runs may be cut at multiples of this many blocks.
    """

    def __init__(
        self, runs: Sequence[BlockRange], homes: BlockLocations | None = None, *, align: int = 1
    ) -> None:
        self._runs, self._align = list(runs), align
        self._homes = BlockLocations() if homes is None else homes
        self._waiting = WaitingRanges()
        for index, run in enumerate(self._runs):
            self._waiting.add(index, self._homes.of(run))
        self._suspects: deque[int] = deque()
        self._deaths = [0] * len(runs)
        self._deaths_alone = [0] * len(runs)
        self._unfinished = set(range(len(runs)))
        self._workers: dict[str, WorkerAssignments] = {}
        self._threads: dict[str, int] = {}
        self._with_room: set[str] = set()
        self._since: dict[Assignment, float] = {}
        self._of_run: dict[int, list[Assignment]] = {}
        self._late_at = 0.0
        self._durations: list[float] = []
        self._resting: frozenset[str] = frozenset()
        self._stalled: frozenset[str] = frozenset()
        self._serial = 0

    @property
    def n_runs(self) -> int:
        """Runs, done or not."""
        return len(self._runs)

    @property
    def is_finished(self) -> bool:
        """Whether every run is done."""
        return not self._unfinished

    def follow(
        self,
        threads: Mapping[str, int],
        now: float,
        *,
        resting: Collection[str] = (),
        stalled: Collection[str] = (),
    ) -> list[Assignment]:
        """Take in who is there now; give up the tickets of workers that left.

        Parameters
        ----------
        threads : mapping of str to int
            Threads of each worker, by address.
        now : float
            Seconds of a monotonic clock.
        resting : collection of str
            Workers that shall keep their runs but get no more.
        stalled : collection of str
            Those of them whose runs count as late, however long they have been there.

        Raises
        ------
        PoisonBlocksError
            If a run that cannot be cut has taken `DEATHS_ALONE` workers with it while it was alone
            on them.
        """
        self._resting, self._stalled = frozenset(resting), frozenset(stalled)
        if threads == self._threads:  # as after nearly every result: nothing to look through
            return []
        self._threads = dict(threads)
        gone = [address for address in self._workers if address not in threads]
        if threads.keys() != self._workers.keys():
            self._homes.keep(threads)
            self._waiting.keep(threads)
        for address, count in threads.items():
            self._workers.setdefault(address, WorkerAssignments(count)).threads = count
        self._with_room = set(threads)
        return [
            ticket
            for address in gone
            # Workers that die together accuse nobody: a machine or a network went.
            for ticket in self._bury(self._workers.pop(address), accuses=len(gone) == 1, now=now)
        ]

    def _bury(self, worker: WorkerAssignments, *, accuses: bool, now: float) -> list[Assignment]:
        """Blame a dead worker's runs and let them wait again, in their old order."""
        for ticket in (tickets := list(worker.tickets)):
            self._blame(ticket, alone=accuses and len(tickets) == 1)
        suspects = [ticket for ticket in tickets if self._is_suspect(ticket.index)]
        for ticket in (*suspects, *reversed([t for t in tickets if t not in suspects])):
            self._forget(ticket, now)
        return tickets

    def _blame(self, ticket: Assignment, *, alone: bool) -> None:
        index, was_suspect = ticket.index, self._is_suspect(ticket.index)
        self._deaths[index] += 1
        if not (alone and was_suspect):
            return
        self._deaths_alone[index] += 1
        if ticket.run.stop - ticket.run.start > self._align:
            self._cut(ticket)
        elif self._deaths_alone[index] >= DEATHS_ALONE:
            raise self._poison(ticket)

    def _cut(self, ticket: Assignment) -> None:
        """Two halves in place of a run: one of them may be innocent, and both are smaller."""
        if len(self._copies(ticket.index)) > 1:  # another worker may come through
            return
        start, stop = ticket.run
        units = -(-(stop - start) // self._align)
        middle = start + units // 2 * self._align
        self._unfinished.discard(ticket.index)
        for half in (BlockRange(start, middle), BlockRange(middle, stop)):
            index = len(self._runs)
            self._runs.append(half)
            self._deaths.append(self._deaths[ticket.index])
            self._deaths_alone.append(0)
            self._unfinished.add(index)
            self._suspects.append(index)

    def _poison(self, ticket: Assignment) -> PoisonBlocksError:
        ended = (
            f"{DEATHS_ALONE} workers while alone on them "
            f"({self._deaths[ticket.index]} workers in all)"
        )
        return PoisonBlocksError(ended, ticket.run, None)

    def _is_suspect(self, index: int) -> bool:
        return self._deaths[index] >= DEATHS_IN_COMPANY

    def withdraw(self, ticket: Assignment, now: float, *, has_killed: bool = False) -> None:
        """Take a ticket back: its message or its result was lost, or the scheduler blames it."""
        if ticket not in self._since:
            return
        if has_killed:
            worker = self._workers.get(ticket.worker)
            self._blame(ticket, alone=worker is not None and len(worker.tickets) == 1)
        self._forget(ticket, now)

    def _forget(self, ticket: Assignment, now: float) -> None:
        """Drop a ticket; its run waits again, a suspect last in line: others may be innocent."""
        self._remove(ticket, now)
        index = ticket.index
        if index not in self._unfinished or self._copies(index):
            return
        if self._is_suspect(index):
            self._suspects.append(index)
        else:
            self._waiting.add_first(index, self._homes.of(ticket.run))

    def _remove(self, ticket: Assignment, now: float) -> None:
        del self._since[ticket]
        self._of_run[ticket.index].remove(ticket)
        worker = self._workers.get(ticket.worker)
        if worker is None or ticket not in worker.tickets:
            return
        worker.tickets.remove(ticket)
        self._with_room.add(ticket.worker)
        for follower in worker.tickets[worker.threads - 1 : worker.threads]:
            self._since[follower] = now  # it begins to compute only now

    def _copies(self, index: int) -> list[Assignment]:
        return list(self._of_run.get(index, ()))

    def assign(self, now: float) -> list[Assignment]:
        """Give waiting runs to workers with room, the least loaded first."""
        given = self._assign_waiting(now)
        while not self._waiting and self._suspects and (worker := self._idle()):
            given.append(self._give(self._suspects.popleft(), worker, now))
        return given

    def _assign_waiting(self, now: float) -> list[Assignment]:
        given: list[Assignment] = []
        if not self._waiting:
            return given
        open_to_all = [(self._workers[a].load, a) for a in self._with_room if self._has_room(a)]
        heapq.heapify(open_to_all)
        while open_to_all and self._waiting:
            _, address = heapq.heappop(open_to_all)
            worker = self._workers[address]
            index = self._waiting.take(address, is_idle=worker.is_idle)
            if index is None:  # what waits will be taken by its own worker, or by an idle one
                continue
            given.append(self._give(index, address, now))
            if worker.room > 0:
                heapq.heappush(open_to_all, (worker.load, address))
        return given

    def _has_room(self, address: str) -> bool:
        """Whether a worker may get one more run; those that keep company with a suspect may not."""
        worker = self._workers[address]
        is_alone = not any(self._is_suspect(ticket.index) for ticket in worker.tickets)
        return worker.room > 0 and address not in self._resting and is_alone

    def _idle(self, *, besides: Collection[str] = ()) -> str | None:
        for address, worker in self._workers.items():
            if not worker.tickets and address not in self._resting and address not in besides:
                return address
        return None

    def _give(self, index: int, address: str, now: float) -> Assignment:
        self._serial += 1
        ticket = Assignment(self._serial, index, self._runs[index], address)
        worker = self._workers[address]
        worker.tickets.append(ticket)
        if worker.room <= 0:
            self._with_room.discard(address)
        self._since[ticket] = now
        self._of_run.setdefault(index, []).append(ticket)
        return ticket

    def reissue(self, now: float) -> list[Assignment]:
        """Give late runs a second time, to workers that have nothing else to do.

        It looks at all runs at most once in `LOOK_S`: after each of thousands of results it would
        take longer than they do (1,000 workers: minutes a pass).
        """
        if self._waiting or self._suspects or now < self._late_at:
            return []
        self._late_at = now + LOOK_S
        given: list[Assignment] = []
        late_after = self._late_after()
        for index in sorted(self._unfinished):
            copies = self._copies(index)
            if not copies or not any(self._is_late(t, now, late_after) for t in copies):
                continue
            worker = self._idle(besides={ticket.worker for ticket in copies})
            if worker:
                given.append(self._give(index, worker, now))
        return given

    def _is_late(self, ticket: Assignment, now: float, late_after: float) -> bool:
        return ticket.worker in self._stalled or now - self._since[ticket] > late_after

    def _late_after(self) -> float:
        if not self._durations:
            return LATE_S
        return max(LATE_S, LATE_MEDIANS * statistics.median(self._durations))

    def complete(self, ticket: Assignment, now: float) -> list[Assignment] | None:
        """Take a result in.

        Returns
        -------
        list of Ticket or None
            Copies of the run still in flight elsewhere, to be released; None where another copy was
            first, so that this result is discarded.
        """
        if ticket not in self._since or ticket.index not in self._unfinished:
            return None
        self._durations.append(now - self._since[ticket])
        self._unfinished.discard(ticket.index)
        self._homes.settle(ticket.run, ticket.worker)
        self._remove(ticket, now)
        overtaken = self._copies(ticket.index)
        for copy in overtaken:
            self._remove(copy, now)
        return overtaken
