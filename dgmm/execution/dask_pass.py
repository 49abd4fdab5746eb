"""One pass of runs over a Dask cluster: hand out, wait, take in; whatever happens to workers."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import dask
from distributed import KilledWorker

from dgmm.errors import UnavailableError
from dgmm.execution import task_transfer as payload
from dgmm.execution.dask_logging import logger
from dgmm.execution.membership import POLL_S, Membership
from dgmm.execution.scheduling.balance import Balance
from dgmm.execution.scheduling.in_flight import Assignment
from dgmm.execution.worker_lease import run_leased
from dgmm.reduction.blocks import BlockRange

T = TypeVar("T")
#: Messages or results lost per run, for no worker's fault, before the network is called unusable.
_LOSSES_PER_RUN = 20
#: How Dask says that a message or a result was lost (closed connections are OSErrors).
_LOSSES = (OSError, CancelledError, asyncio.CancelledError)


@dataclass(slots=True)
class _Flight:
    """What belongs to a ticket in flight."""

    future: Any = None
    is_abandoned: bool = False

    def abandon(self) -> None:
        """Let Dask forget the run; if it computes already, its result is dropped."""
        self.is_abandoned = True
        if self.future is not None:
            self.future.release()


class DaskPass(Generic[T]):
    """Runs of one task, each yielded once.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    members : Membership
        Who may be given runs.
    task : callable
        Picklable; called with a Run on a worker.
    balance : Balance
        The runs, and who gets which.
    """

    def __init__(
        self,
        client: Any,
        members: Membership,
        task: Callable[[BlockRange], T],
        balance: Balance,
    ) -> None:
        self._client = client
        self._members = members
        self._key = f"dgmm-{uuid.uuid4().hex}"
        self._packed = payload.pack_task(task)
        self._is_inline = len(self._packed) * balance.n_runs <= payload.INLINE_BYTES
        self._balance = balance
        self._losses_left = _LOSSES_PER_RUN * balance.n_runs
        self._flights: dict[Assignment, _Flight] = {}
        self._arrivals: SimpleQueue[tuple[Assignment, asyncio.Future[payload.Reply]]] = (
            SimpleQueue()
        )
        self._deliveries: dict[str, asyncio.Future[Any]] = {}
        self._lacking: set[str] = set()

    def results(self) -> Generator[tuple[BlockRange, T], None, None]:
        """Yield (run, result) as they arrive; what is still in flight at the end is released.

        Raises
        ------
        UnavailableError
            If the scheduler or all workers are gone.
        PoisonBlocksError
            If a run keeps ending its workers.
        """
        try:
            while not self._balance.is_finished:
                self._hand_out()
                try:
                    arrival = self._arrivals.get(timeout=POLL_S)
                except Empty:
                    continue
                yield from self._take_in(*arrival)
        finally:
            self._abandon(list(self._flights))

    def _hand_out(self) -> None:
        self._members.require()
        now = time.monotonic()
        threads, resting = self._members.threads(), self._members.resting()
        stalled = self._members.stalled()
        lost = self._balance.follow(threads, now, resting=resting, stalled=stalled)
        if lost:
            logger.warning("%d runs are given out again: their workers left", len(lost))
        self._abandon(lost)
        self._send([*self._balance.assign(now), *self._balance.reissue(now)])

    def _send(self, tickets: Sequence[Assignment]) -> None:
        """Let runs fly together: one message brings them all to the scheduler."""
        for ticket in tickets:
            self._flights[ticket] = _Flight()
        if tickets:
            self._client.loop.asyncio_loop.call_soon_threadsafe(self._depart, tickets)

    def _depart(self, tickets: Sequence[Assignment]) -> None:
        """On the client's loop."""
        for ticket in tickets:
            flight = self._flights.get(ticket)
            if flight is None:  # given up in the meantime
                continue
            arrival = asyncio.ensure_future(self._fly(ticket, flight))
            arrival.add_done_callback(partial(self._arrive, ticket))

    def _arrive(self, ticket: Assignment, arrival: asyncio.Future[payload.Reply]) -> None:
        if not arrival.cancelled():
            arrival.exception()  # asked for here: nobody may be waiting for this copy any more
        self._arrivals.put((ticket, arrival))

    async def _fly(self, ticket: Assignment, flight: _Flight) -> payload.Reply:
        """Send a run and fetch its result, on the client's loop."""
        is_inline = self._is_inline or ticket.worker in self._lacking
        if not is_inline:
            await self._deliver(ticket.worker)
        if flight.is_abandoned:
            raise CancelledError
        flight.future = self._submit(ticket, self._packed if is_inline else None)
        # Never cancelled while it waits: Dask shares one fetch among several futures.
        reply: payload.Reply = await self._client.gather(flight.future)
        return reply

    async def _deliver(self, worker: str) -> None:
        """Bring the task to a worker, once; one that misses it all the same will say so."""
        if worker not in self._deliveries:
            call = (payload.keep_task, self._key, self._packed)
            delivery = self._client.run(*call, workers=[worker], on_error="ignore")
            self._deliveries[worker] = asyncio.ensure_future(delivery)
        await self._deliveries[worker]

    def _submit(self, ticket: Assignment, packed: bytes | None) -> Any:
        # Arguments by position: named ones over 100 kB share one key in distributed 2026.8.
        token, (start, stop) = self._members.leases.token, ticket.run
        call = (run_leased, token, self._key, packed, start, stop)
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
            return self._client.submit(
                *call,
                key=f"{self._key}-{ticket.serial}",
                workers=[ticket.worker],
                allow_other_workers=False,
                retries=0,
                pure=False,
            )

    def _take_in(
        self, ticket: Assignment, arrival: asyncio.Future[payload.Reply]
    ) -> Iterator[tuple[BlockRange, T]]:
        flight = self._flights.pop(ticket, None)
        if flight is None:
            return  # given up: another copy was first, or its worker left
        try:
            is_kept, value = arrival.result()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - sorted out there
            self._withdraw(ticket, flight, error)
            return
        flight.abandon()  # Dask need not keep the result
        if not is_kept:
            self._lacking.add(ticket.worker)
            self._balance.withdraw(ticket, time.monotonic())
            return
        copies = self._balance.complete(ticket, time.monotonic())
        if copies is None:
            return
        self._overtake(copies)
        if not self._balance.is_finished:
            self._hand_out()  # before the caller works on the result
        yield ticket.run, value

    def _withdraw(self, ticket: Assignment, flight: _Flight, error: BaseException) -> None:
        """Raise a task's own exception; give the run out again after any other."""
        has_killed = isinstance(error, KilledWorker)
        is_of_task = flight.future is not None and flight.future.status == "error"
        is_lost = isinstance(error, _LOSSES) and not is_of_task
        flight.abandon()
        if not (has_killed or is_lost):
            raise error
        logger.warning("a run is given out again: %r", error)
        self._members.require()
        self._losses_left -= 1
        if self._losses_left < 0:
            raise UnavailableError(
                f"runs keep getting lost between driver and workers (last: {error!r}); look at the "
                "network and at the scheduler's log, and run the same command again."
            ) from error
        self._balance.withdraw(ticket, time.monotonic(), has_killed=has_killed)

    def _overtake(self, copies: Iterable[Assignment]) -> None:
        for copy in copies:
            self._members.rest(copy.worker)
        self._abandon(copies)

    def _abandon(self, tickets: Iterable[Assignment]) -> None:
        for ticket in tickets:
            flight = self._flights.pop(ticket, None)
            if flight is not None:
                flight.abandon()
