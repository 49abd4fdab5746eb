"""One pass over a Dask cluster: give out ranges of blocks, wait, take results in."""

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
from dgmm.execution import task_transfer
from dgmm.execution.dask_logging import logger
from dgmm.execution.membership import POLL_S, Membership
from dgmm.execution.scheduling.balance import Balance
from dgmm.execution.scheduling.in_flight import Assignment
from dgmm.execution.worker_lease import run_leased
from dgmm.reduction.blocks import BlockRange

T = TypeVar("T")
#: Messages or results lost per range, though no worker died, before the network is called unusable.
_LOSSES_PER_RANGE = 20
#: What Dask raises where a message or a result was lost (closed connections are OSErrors).
_LOSSES = (OSError, CancelledError, asyncio.CancelledError)


@dataclass(slots=True)
class _InFlight:
    """What belongs to an assignment in flight."""

    future: Any = None
    is_released: bool = False

    def release(self) -> None:
        """Let Dask forget the range; if it is computed already, its result is dropped."""
        self.is_released = True
        if self.future is not None:
            self.future.release()


class DaskPass(Generic[T]):
    """One task over ranges of blocks, each yielded once.

    Parameters
    ----------
    client : distributed.Client
        Connected.
    members : Membership
        Which workers may be given ranges.
    task : callable
        Picklable; called with a range on a worker.
    balance : Balance
        The ranges, and which worker gets which.
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
        self._packed = task_transfer.pack_task(task)
        self._is_inline = len(self._packed) * balance.n_ranges <= task_transfer.INLINE_BYTES
        self._balance = balance
        self._losses_left = _LOSSES_PER_RANGE * balance.n_ranges
        self._flights: dict[Assignment, _InFlight] = {}
        self._arrivals: SimpleQueue[tuple[Assignment, asyncio.Future[task_transfer.Reply]]] = (
            SimpleQueue()
        )
        self._deliveries: dict[str, asyncio.Future[Any]] = {}
        self._lacking: set[str] = set()

    def results(self) -> Generator[tuple[BlockRange, T], None, None]:
        """Yield (range, result) as they arrive; what is still in flight at the end is released.

        Raises
        ------
        UnavailableError
            If the scheduler or all workers are gone.
        PoisonBlocksError
            If blocks end their workers again and again.
        """
        try:
            while not self._balance.is_finished:
                self._give_out()
                try:
                    arrival = self._arrivals.get(timeout=POLL_S)
                except Empty:
                    continue
                yield from self._receive(*arrival)
        finally:
            self._release(list(self._flights))

    def _give_out(self) -> None:
        self._members.require()
        now = time.monotonic()
        threads, paused = self._members.threads(), self._members.paused()
        stalled = self._members.stalled()
        lost = self._balance.update_workers(threads, now, paused=paused, stalled=stalled)
        if lost:
            logger.warning("%d ranges of blocks are given out again: their workers left", len(lost))
        self._release(lost)
        self._send([*self._balance.assign(now), *self._balance.reissue(now)])

    def _send(self, assignments: Sequence[Assignment]) -> None:
        """Send ranges together: one message brings them all to the scheduler."""
        for assignment in assignments:
            self._flights[assignment] = _InFlight()
        if assignments:
            self._client.loop.asyncio_loop.call_soon_threadsafe(self._send_on_loop, assignments)

    def _send_on_loop(self, assignments: Sequence[Assignment]) -> None:
        """On the client's loop."""
        for assignment in assignments:
            flight = self._flights.get(assignment)
            if flight is None:  # given up in the meantime
                continue
            arrival = asyncio.ensure_future(self._compute(assignment, flight))
            arrival.add_done_callback(partial(self._arrive, assignment))

    def _arrive(self, assignment: Assignment, arrival: asyncio.Future[task_transfer.Reply]) -> None:
        if not arrival.cancelled():
            arrival.exception()  # asked for here: the pass may not wait for this copy any more
        self._arrivals.put((assignment, arrival))

    async def _compute(self, assignment: Assignment, flight: _InFlight) -> task_transfer.Reply:
        """Send a range and fetch its result, on the client's loop."""
        is_inline = self._is_inline or assignment.worker in self._lacking
        if not is_inline:
            await self._deliver(assignment.worker)
        if flight.is_released:
            raise CancelledError
        flight.future = self._submit(assignment, self._packed if is_inline else None)
        # Never cancelled while it waits: Dask shares one fetch among several futures.
        reply: task_transfer.Reply = await self._client.gather(flight.future)
        return reply

    async def _deliver(self, worker: str) -> None:
        """Bring the task to a worker, once; one that lacks it all the same will reply so."""
        if worker not in self._deliveries:
            call = (task_transfer.store_task, self._key, self._packed)
            delivery = self._client.run(*call, workers=[worker], on_error="ignore")
            self._deliveries[worker] = asyncio.ensure_future(delivery)
        await self._deliveries[worker]

    def _submit(self, assignment: Assignment, packed: bytes | None) -> Any:
        # Arguments by position: named ones over 100 kB share one key in distributed 2026.8.
        token, (start, stop) = self._members.leases.token, assignment.blocks
        call = (run_leased, token, self._key, packed, start, stop)
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
            return self._client.submit(
                *call,
                key=f"{self._key}-{assignment.serial}",
                workers=[assignment.worker],
                allow_other_workers=False,
                retries=0,
                pure=False,
            )

    def _receive(
        self, assignment: Assignment, arrival: asyncio.Future[task_transfer.Reply]
    ) -> Iterator[tuple[BlockRange, T]]:
        flight = self._flights.pop(assignment, None)
        if flight is None:
            return  # given up: another copy was first, or its worker left
        try:
            had_task, value = arrival.result()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - distinguished there
            self._withdraw(assignment, flight, error)
            return
        flight.release()  # Dask need not store the result
        if not had_task:
            self._lacking.add(assignment.worker)
            self._balance.withdraw(assignment, time.monotonic())
            return
        copies = self._balance.complete(assignment, time.monotonic())
        if copies is None:
            return
        self._release_copies(copies)
        if not self._balance.is_finished:
            self._give_out()  # before the caller works on the result
        yield assignment.blocks, value

    def _withdraw(self, assignment: Assignment, flight: _InFlight, error: BaseException) -> None:
        """Raise a task's own exception; give the range out again after any other."""
        has_killed = isinstance(error, KilledWorker)
        is_of_task = flight.future is not None and flight.future.status == "error"
        is_lost = isinstance(error, _LOSSES) and not is_of_task
        flight.release()
        if not (has_killed or is_lost):
            raise error
        logger.warning("a range of blocks is given out again: %r", error)
        self._members.require()
        self._losses_left -= 1
        if self._losses_left < 0:
            raise UnavailableError(
                "results were lost again and again between driver and workers (last: "
                f"{error!r}); look at the network and at the scheduler's log, and run the same "
                "command again."
            ) from error
        self._balance.withdraw(assignment, time.monotonic(), has_killed=has_killed)

    def _release_copies(self, copies: Iterable[Assignment]) -> None:
        for copy in copies:
            self._members.pause(copy.worker)
        self._release(copies)

    def _release(self, assignments: Iterable[Assignment]) -> None:
        for assignment in assignments:
            flight = self._flights.pop(assignment, None)
            if flight is not None:
                flight.release()
