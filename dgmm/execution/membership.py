"""Which workers are in the cluster: polled from the scheduler, checked before any task."""

from __future__ import annotations

import asyncio
import time
from asyncio import wait_for
from collections.abc import Coroutine, Iterable
from concurrent.futures import Future
from threading import Lock
from typing import Any

from dgmm.errors import UnavailableError
from dgmm.execution.dask_logging import logger
from dgmm.execution.leases import Leases
from dgmm.execution.paused_workers import cached_bytes, paused_error
from dgmm.execution.preflight import WorkerFacts, ask_workers, refusal_error
from dgmm.runtime.environment import Environment

#: Seconds between two requests for the scheduler's list of workers (one takes a millisecond).
POLL_S = 0.25
#: Seconds a newcomer has to answer before it is asked again (it imports NumPy first).
ANSWER_S = 30.0
#: A worker that takes no tasks for so many seconds does not compute those it has: others are given
#: them too. Shorter pauses are those of a worker that is just giving memory back.
STALL_S = 3.0


class Membership:
    """Workers that may be given ranges of blocks.

    Parameters
    ----------
    client : distributed.Client
        Connected; its loop does the polling.
    wait_workers_s : float
        How long no worker may be there, or the scheduler may not answer, before that is an error.
    """

    def __init__(self, client: Any, wait_workers_s: float) -> None:
        self._client = client
        self._wait_s = wait_workers_s
        self._lock = Lock()
        self._present: dict[str, int] = {}
        #: Since when a worker that is there takes no tasks: Dask has paused it, or it is closing.
        self._unready: dict[str, float] = {}
        #: What this fit changes in the workers.
        self.leases = Leases(client)
        self._facts: dict[str, WorkerFacts] = {}
        self._refused: dict[str, str] = {}
        self._being_asked: set[str] = set()
        self._paused: set[str] = set()
        self._last_answer = self._last_ready = time.monotonic()
        self._checks: set[asyncio.Task[None]] = set()
        self._polling: Future[None] | None = None
        self._reports: dict[str, WorkerFacts] = {}
        #: One sentence for each worker that came later and was refused.
        self.warnings: list[str] = []

    def open(self, expected_workers: int = 1) -> None:
        """Wait for workers, check all that are there, and begin to poll.

        Raises
        ------
        UnavailableError
            If none comes within the limit, or any cannot run this dgmm.
        """
        present = self._wait_for_workers(expected_workers)
        facts, refused = self._client.sync(ask_workers, self._client, list(present))
        if refused:
            raise refusal_error(refused)
        self._accept(facts)
        self._present = present
        self._polling = self._begin(self._poll_forever())

    def _wait_for_workers(self, expected: int) -> dict[str, int]:
        deadline = time.monotonic() + self._wait_s
        present: dict[str, int]
        while True:
            present, running = self._client.sync(self._poll)
            is_late = time.monotonic() > deadline
            if len(running) >= expected or (running and is_late):
                self._note_unready(present, running, time.monotonic())
                return present
            if is_late:
                raise self._no_workers() if not present else self._all_paused(present)
            time.sleep(POLL_S / 5)

    async def _poll(self) -> tuple[dict[str, int], set[str]]:
        """Threads of all workers, and those that take tasks."""
        scheduler = self._client.scheduler
        present, running = await asyncio.gather(scheduler.ncores(), scheduler.ncores_running())
        return present, set(running)

    def _note_unready(self, present: Iterable[str], running: set[str], now: float) -> None:
        self._unready = {a: self._unready.get(a, now) for a in present if a not in running}

    def _all_paused(self, workers: Iterable[str]) -> UnavailableError:
        """Ask what their memory is used for; workers that do not answer are left out of it."""
        unready = set(workers)
        found = self._client.sync(self._identity)
        cached = self._client.sync(self._cached_rows, [a for a in unready if a in self._facts])
        return paused_error(
            self._client.scheduler.address,
            {a: state for a, state in found["workers"].items() if a in unready},
            cached,
            waited_s=self._wait_s,
            is_own=self._client.cluster is not None,
        )

    async def _identity(self) -> Any:
        return await self._client.scheduler.identity(n_workers=-1)

    async def _cached_rows(self, workers: list[str]) -> dict[str, int]:
        if not workers:
            return {}
        try:
            call = self._client.run(cached_bytes, workers=workers, on_error="ignore")
            found: dict[str, int] = await wait_for(call, ANSWER_S / 6)
        except (OSError, ValueError):
            return {}
        return found

    def _no_workers(self) -> UnavailableError:
        return UnavailableError(
            f"the scheduler at {self._client.scheduler.address} had no workers for "
            f"{self._wait_s:g} s; expected at least one. Start workers (dask worker ADDRESS) or "
            "look at their logs, and run the same command again"
        )

    def _begin(self, coroutine: Coroutine[Any, Any, None]) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._client.loop.asyncio_loop)

    async def _poll_forever(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                self._update(*await self._poll())
            except OSError as error:  # closed connections included; `require` has the limit
                logger.info("the scheduler does not answer: %s", error)

    def _update(self, present: dict[str, int], running: set[str]) -> None:
        """Take in a list of workers and check the new ones."""
        now = time.monotonic()
        with self._lock:
            left = self._present.keys() - present.keys()
            for address in left:
                logger.info("worker %s left", address)
                self._facts.pop(address, None)
                self._paused.discard(address)
            self._present = dict(present)
            self._note_unready(present, running, now)
            self._last_answer = now
            if self._facts.keys() & running:
                self._last_ready = now
            newcomers = (
                present.keys() - self._facts.keys() - self._refused.keys() - self._being_asked
            )
        self.leases.release(left)
        if newcomers:
            self._check(newcomers)

    def _check(self, workers: set[str]) -> None:
        """Ask on the loop, without waiting: a hung worker does not answer until it is removed."""
        self._being_asked |= workers
        for address in workers:
            task = asyncio.ensure_future(self._ask(address))
            self._checks.add(task)
            task.add_done_callback(self._checks.discard)

    async def _ask(self, address: str) -> None:
        try:
            facts, refused = await wait_for(ask_workers(self._client, [address]), ANSWER_S)
        except (OSError, ValueError) as error:  # gone or hung; while it is there it is asked again
            logger.info("worker %s did not answer: %s", address, error)
        else:
            others = self._incompatible(facts)
            self._accept({a: fact for a, fact in facts.items() if a not in others})
            self._refuse(refused | others)
        finally:
            self._being_asked.discard(address)

    def _incompatible(self, newcomers: dict[str, WorkerFacts]) -> dict[str, str]:
        """Those that cannot compute the passes that all workers which are here compute."""
        with self._lock:
            here = {facts.environment["compiled"] for facts in self._reports.values()}
        return {
            address: f"it computes with {found or 'NumPy alone'} instead of {expected}"
            for expected in here
            if len(here) == 1 and expected is not None
            for address, facts in newcomers.items()
            if (found := facts.environment["compiled"]) != expected
        }

    def _accept(self, facts: dict[str, WorkerFacts]) -> None:
        with self._lock:
            self._facts |= facts
            self._paused -= facts.keys()
            for fact in facts.values():
                is_same = self._reports.get(fact.name, fact).environment == fact.environment
                self._reports[fact.name if is_same else f"{fact.name}, started again"] = fact
        self.leases.take(facts)

    def _refuse(self, refused: dict[str, str]) -> None:
        self._refused |= refused
        for address, reason in refused.items():
            logger.warning("worker %s gets no tasks: %s", address, reason)
            self.warnings.append(f"worker {address} joined and was given no tasks: {reason}.")

    def pause(self, address: str) -> None:
        """Give a worker that was far slower than another nothing more until it has answered."""
        with self._lock:
            self._paused.add(address)
        logger.warning("worker %s is late; it gets nothing more to do until it answers", address)
        self._client.loop.add_callback(self._check, {address})

    def threads(self) -> dict[str, int]:
        """Threads of each worker that may be given ranges, by address."""
        with self._lock:
            return {a: self._present[a] for a in self._facts if a in self._present}

    def ready_threads(self) -> int:
        """Threads of all workers that take tasks at the moment."""
        threads = self.threads()
        with self._lock:
            return sum(n for address, n in threads.items() if address not in self._unready)

    def environments(self) -> dict[str, Environment]:
        """What every worker that was ever accepted computes with, by name."""
        with self._lock:
            by_name = sorted(self._reports.items(), key=lambda item: (len(item[0]), item[0]))
        return {name: facts.environment for name, facts in by_name}

    def memory_limits(self) -> list[int]:
        """Bytes, of those workers that take tasks and have a limit."""
        return [facts.memory_limit for facts in self._ready_facts() if facts.memory_limit]

    def pause_shares(self) -> list[float]:
        """Shares of its limit above which Dask pauses a worker, of those that take tasks."""
        return [facts.pause_share for facts in self._ready_facts() if facts.pause_share]

    def _ready_facts(self) -> list[WorkerFacts]:
        """Of workers that take tasks; where none does at the moment, of all that ever did."""
        with self._lock:
            ready = [facts for a, facts in self._facts.items() if a not in self._unready]
            return ready or list(self._reports.values())

    def paused(self) -> frozenset[str]:
        """Workers that shall be given nothing more for now."""
        with self._lock:
            return frozenset(self._paused | self._unready.keys())

    def stalled(self) -> frozenset[str]:
        """Those of them that do not compute what they have."""
        since = time.monotonic() - STALL_S
        with self._lock:
            return frozenset(a for a, begun in self._unready.items() if begun < since)

    def require(self) -> None:
        """Check that there are a scheduler and a worker.

        Raises
        ------
        UnavailableError
            If one is missing for longer than it may be, with what to do.
        """
        now = time.monotonic()
        address = self._client.scheduler.address if self._client.scheduler else "(closed)"
        if self._client.status != "running" or now - self._last_answer > self._wait_s:
            raise UnavailableError(
                f"the connection to the Dask scheduler at {address} was lost; see whether it runs, "
                "and run the same command again."
            )
        if now - self._last_ready > self._wait_s:
            unready = list(self._unready)
            raise self._all_paused(unready) if unready else self._no_workers()

    def close(self) -> None:
        """Stop polling, and undo what the fit changed in the workers."""
        if self._polling is not None:
            self._polling.cancel()
        self.leases.close()
        self._client.loop.add_callback(self._cancel_checks)

    def _cancel_checks(self) -> None:
        for task in self._checks:
            task.cancel()
