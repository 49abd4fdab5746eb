"""Which worker gets which run, and what becomes of runs whose worker leaves. Knows nothing of Dask.

Dask's own affinity is nearly a pin (eight of eight tasks stayed on the preferred worker of two),
and a worker that dies takes innocent tasks with it. So the driver keeps at most two runs in flight
per thread, hands waiting ones to whoever has room, and decides itself what is given out again.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dgmm.data.blocks import Run
from dgmm.errors import DgmmError

#: One run that computes and one whose message is already there when it ends.
IN_FLIGHT_PER_THREAD = 2
#: A run that was on this many dying workers gets a worker to itself from then on...
DEATHS_IN_COMPANY = 3
#: ...and is called poison when it has taken this many workers with it while alone on them.
DEATHS_ALONE = 3
#: A run is late after five times the median of those done, but never before this many seconds.
LATE_S = 30.0
LATE_MEDIANS = 5.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """One run given to one worker; `serial` tells copies of the same run apart."""

    serial: int
    index: int
    run: Run
    worker: str


@dataclass(slots=True)
class _Worker:
    """What the driver knows of a worker: its threads and its tickets, oldest first."""

    threads: int
    tickets: list[Ticket] = field(default_factory=list)

    @property
    def room(self) -> int:
        return self.threads * IN_FLIGHT_PER_THREAD - len(self.tickets)

    @property
    def load(self) -> float:
        return len(self.tickets) / self.threads


class Balance:
    """The state of one pass: runs waiting, in flight and done.

    Parameters
    ----------
    runs : sequence of Run
        What the pass consists of; each is done once, whatever happens to workers.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = tuple(runs)
        self._waiting = deque(range(len(runs)))
        self._suspects: deque[int] = deque()
        self._deaths = [0] * len(runs)
        self._deaths_alone = [0] * len(runs)
        self._unfinished = set(range(len(runs)))
        self._workers: dict[str, _Worker] = {}
        self._since: dict[Ticket, float] = {}
        self._durations: list[float] = []
        self._resting: frozenset[str] = frozenset()
        self._serial = 0

    @property
    def is_finished(self) -> bool:
        """Whether every run is done."""
        return not self._unfinished

    def follow(
        self, threads: Mapping[str, int], now: float, *, resting: Collection[str] = ()
    ) -> list[Ticket]:
        """Take in who is there now; give up the tickets of workers that left.

        Parameters
        ----------
        threads : mapping of str to int
            Threads of each worker, by address.
        now : float
            Seconds of a monotonic clock.
        resting : collection of str
            Workers that shall keep their runs but get no more.

        Raises
        ------
        DgmmError
            If a run has taken `DEATHS_ALONE` workers with it while it was alone on them.
        """
        self._resting = frozenset(resting)
        gone = [address for address in self._workers if address not in threads]
        for address, count in threads.items():
            self._workers.setdefault(address, _Worker(count)).threads = count
        return [
            ticket
            for address in gone
            # Workers that die together accuse nobody: a machine or a network went.
            for ticket in self._bury(self._workers.pop(address), accuses=len(gone) == 1, now=now)
        ]

    def _bury(self, worker: _Worker, *, accuses: bool, now: float) -> list[Ticket]:
        """Blame a dead worker's runs and let them wait again, in their old order."""
        tickets = list(worker.tickets)
        for ticket in reversed(tickets):
            self._blame(ticket, alone=accuses and len(tickets) == 1)
            self._forget(ticket, now)
        return tickets

    def _blame(self, ticket: Ticket, *, alone: bool) -> None:
        if alone and self._is_suspect(ticket.index):
            self._deaths_alone[ticket.index] += 1
            self._refuse_poison(ticket)
        self._deaths[ticket.index] += 1

    def _refuse_poison(self, ticket: Ticket) -> None:
        if self._deaths_alone[ticket.index] >= DEATHS_ALONE:
            start, stop = ticket.run
            blocks = f"block {start}" if stop == start + 1 else f"blocks {start} to {stop - 1}"
            raise DgmmError(
                f"{blocks} ended {DEATHS_ALONE} workers while alone on them "
                f"({self._deaths[ticket.index] + 1} workers in all). Expected workers to survive "
                "every block: raise cluster.memory_limit if they ran out of memory, else look for "
                "a damaged chunk or a crashing codec in these blocks."
            )

    def _is_suspect(self, index: int) -> bool:
        return self._deaths[index] >= DEATHS_IN_COMPANY

    def withdraw(self, ticket: Ticket, now: float, *, has_killed: bool = False) -> None:
        """Take a ticket back: its message or its result was lost, or the scheduler blames it."""
        if ticket not in self._since:
            return
        if has_killed:
            worker = self._workers.get(ticket.worker)
            self._blame(ticket, alone=worker is not None and len(worker.tickets) == 1)
        self._forget(ticket, now)

    def _forget(self, ticket: Ticket, now: float) -> None:
        """Drop a ticket; its run waits again, first in line, unless another copy is in flight."""
        self._remove(ticket, now)
        index = ticket.index
        if index in self._unfinished and not self._copies(index):
            (self._suspects if self._is_suspect(index) else self._waiting).appendleft(index)

    def _remove(self, ticket: Ticket, now: float) -> None:
        del self._since[ticket]
        worker = self._workers.get(ticket.worker)
        if worker is None or ticket not in worker.tickets:
            return
        worker.tickets.remove(ticket)
        for follower in worker.tickets[worker.threads - 1 : worker.threads]:
            self._since[follower] = now  # it begins to compute only now

    def _copies(self, index: int) -> list[Ticket]:
        return [ticket for ticket in self._since if ticket.index == index]

    def assign(self, now: float) -> list[Ticket]:
        """Give waiting runs to workers with room, the least loaded first."""
        given: list[Ticket] = []
        while self._waiting and (worker := self._with_room()):
            given.append(self._give(self._waiting.popleft(), worker, now))
        while self._suspects and (worker := self._idle()):
            given.append(self._give(self._suspects.popleft(), worker, now))
        return given

    def _with_room(self) -> str | None:
        """The least loaded worker, unless all are full or keep company with a suspect."""
        open_to_all = (
            (worker.load, address)
            for address, worker in self._workers.items()
            if worker.room > 0
            and address not in self._resting
            and not any(self._is_suspect(ticket.index) for ticket in worker.tickets)
        )
        return min(open_to_all, default=(0.0, None))[1]

    def _idle(self, *, besides: Collection[str] = ()) -> str | None:
        for address, worker in self._workers.items():
            if not worker.tickets and address not in self._resting and address not in besides:
                return address
        return None

    def _give(self, index: int, address: str, now: float) -> Ticket:
        self._serial += 1
        ticket = Ticket(self._serial, index, self._runs[index], address)
        self._workers[address].tickets.append(ticket)
        self._since[ticket] = now
        return ticket

    def reissue(self, now: float) -> list[Ticket]:
        """Give late runs a second time, to workers that have nothing else to do."""
        if self._waiting or self._suspects:
            return []
        given: list[Ticket] = []
        for index in sorted(self._unfinished):
            copies = self._copies(index)
            is_late = all(now - self._since[ticket] > self._late_after() for ticket in copies)
            worker = self._idle(besides={ticket.worker for ticket in copies})
            if copies and is_late and worker:
                given.append(self._give(index, worker, now))
        return given

    def _late_after(self) -> float:
        if not self._durations:
            return LATE_S
        return max(LATE_S, LATE_MEDIANS * statistics.median(self._durations))

    def complete(self, ticket: Ticket, now: float) -> list[Ticket] | None:
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
        self._remove(ticket, now)
        overtaken = self._copies(ticket.index)
        for copy in overtaken:
            self._remove(copy, now)
        return overtaken
