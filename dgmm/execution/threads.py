"""Tasks on threads of this process: no cluster, no copies; NumPy and the codecs release the GIL."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from dgmm.errors import UsageError
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.runtime.blas_threads import limit_this_thread, limited_thread, single_blas_thread
from dgmm.runtime.environment import process_environment
from dgmm.runtime.row_cache import process_cache, read_for

T = TypeVar("T")
#: Ranges handed to the pool per thread: one that is computed and one that waits for the thread.
IN_FLIGHT_PER_THREAD = 2


def available_cpus() -> int:
    """CPUs this process may use: its affinity mask, cut by a container's quota (cgroup v2)."""
    has_mask = hasattr(os, "sched_getaffinity")
    cpus = len(os.sched_getaffinity(0)) if has_mask else os.cpu_count() or 1
    return max(1, min(cpus, _cgroup_quota() or cpus))


def _cgroup_quota() -> int | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):  # another system, another hierarchy, or "max": no quota
        return None


class ThreadExecutor:
    """Runs tasks on a fixed number of threads; BLAS has one thread while it is open.

    Parameters
    ----------
    n_threads : int, optional
        Threads; by default one for each CPU this process may use.
    caller_computes : bool
        Whether the thread that calls `run` is one of them. It begins some 0.2 ms before the others,
        a tenth of a short pass. For rows in memory: where tasks read and decode rows, each thread
        keeps memory that it has freed, and the calling one would be one more.

    Raises
    ------
    UsageError
        If `n_threads` is less than 1.

    Examples
    --------
    >>> with ThreadExecutor(2) as executor:
    ...     found = executor.run(lambda blocks: blocks.stop - blocks.start, [BlockRange(0, 3)])
    ...     list(found)
    [(BlockRange(start=0, stop=3), 3)]
    """

    dashboard: str | None = None
    #: No worker, so no limit of one.
    task_memory_limit: int | None = None
    pause_share: float | None = None

    def __init__(self, n_threads: int | None = None, *, caller_computes: bool = False) -> None:
        if n_threads is not None and n_threads < 1:
            raise UsageError(f"n_threads is {n_threads}; expected at least 1")
        self._n_threads = n_threads or available_cpus()
        self._caller_computes = caller_computes
        self._blas = single_blas_thread()
        # Before any thread runs: see blas_threads._limit_libraries.
        self._driver = process_environment()
        self._reader = object()
        n_others = max(self._n_threads - caller_computes, 1)
        self._pool = ThreadPoolExecutor(
            n_others, thread_name_prefix="dgmm", initializer=self._begin_thread
        )

    def _begin_thread(self) -> None:
        limit_this_thread()
        read_for(self._reader)

    @property
    def n_threads(self) -> int:
        """How many tasks can run at the same time."""
        return self._n_threads

    @property
    def threads_per_worker(self) -> int:
        """All of them: there is one process."""
        return self._n_threads

    @property
    def warnings(self) -> list[str]:
        """Nothing to warn of: one process cannot differ from itself."""
        return []

    def environment(self) -> dict[str, Any]:
        """The driver's environment; there are no workers."""
        return {"driver": self._driver, "workers": [], "mixed": False}

    def run(
        self,
        task: Callable[[BlockRange], T],
        ranges: Sequence[BlockRange],
        *,
        align: int = 1,  # noqa: ARG002 - the protocol's: what ends a thread ends everything
    ) -> Iterator[tuple[BlockRange, T]]:
        """Yield (range, task(range)) as they complete.

        The first exception of a task is raised at once, or where the calling thread computes, when
        its range has ended. Then, and when the iterator is closed early, ranges that have not
        begun are cancelled. A single range is run by the calling thread: starting another takes
        longer than the work of a small call.
        """
        if len(ranges) == 1:
            yield ranges[0], self._run_here(task, ranges[0])
            return
        waiting = deque(ranges)
        n_others = self._n_threads
        if self._caller_computes:
            n_others -= 1
            if len(ranges) <= self._n_threads:  # one each: the calling thread begins first
                longest = max(ranges, key=lambda blocks: blocks.stop - blocks.start)
                waiting.remove(longest)
                waiting.appendleft(longest)
        in_flight: dict[Future[T], BlockRange] = {}
        try:
            while waiting or in_flight:
                own = self._own_range(waiting, in_flight)
                while waiting and len(in_flight) < n_others * IN_FLIGHT_PER_THREAD:
                    blocks = waiting.popleft()
                    in_flight[self._pool.submit(task, blocks)] = blocks
                if own is not None:
                    yield own, self._run_here(task, own)
                else:
                    wait(in_flight, return_when=FIRST_COMPLETED)
                for future in [future for future in in_flight if future.done()]:
                    yield in_flight.pop(future), future.result()
        finally:
            for future in in_flight:
                future.cancel()

    def _own_range(
        self, waiting: deque[BlockRange], in_flight: dict[Future[T], BlockRange]
    ) -> BlockRange | None:
        """What the calling thread runs itself: the first range that no thread has begun."""
        if not self._caller_computes:
            return None
        for future in list(in_flight):
            if future.cancel():
                return in_flight.pop(future)
        return waiting.popleft() if waiting else None

    def _run_here(self, task: Callable[[BlockRange], T], blocks: BlockRange) -> T:
        """What the task returns on this thread, which afterwards is as it was.

        It runs in a context of its own, as in a thread of the pool: NumPy's error state is the
        caller's, who may have asked for exceptions where EM divides by 0 on purpose.
        """

        def on_loan() -> T:
            read_for(self._reader)
            return task(blocks)

        with limited_thread():
            return Context().run(on_loan)

    def close(self) -> None:
        """Cancel what has not begun, wait for what has; drop cached rows, give BLAS its threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        process_cache.release(self._reader)
        self._blas.restore()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def in_this_process(executor: Executor) -> AbstractContextManager[Executor]:
    """The executor where it runs tasks on threads of this process, otherwise one that does.

    For work on what the driver has in memory; no result depends on the number of threads.
    """
    return nullcontext(executor) if isinstance(executor, ThreadExecutor) else ThreadExecutor()
