"""What a fit changes in worker processes, for as long as its driver is there and no longer.

BLAS has one thread in each worker process while a fit uses it. Nothing is registered with the
scheduler: a plugin stays there when its driver is killed, and is set up in every worker that joins
later. A lease is the result of a small task on each worker instead. Dask drops results whose client
is gone, however it went; the worker checks whether it still has the result, and ends the lease
when it does not.
"""

from __future__ import annotations

import asyncio
from collections import deque
from threading import Lock
from typing import Any

from distributed import get_worker

from dgmm.execution import task_transfer
from dgmm.runtime.blas_threads import BlasLimit, limited_thread, single_blas_thread
from dgmm.runtime.row_cache import process_cache

#: Seconds between two checks whether a lease is still wanted.
CHECK_S = 0.5

_lock = Lock()
_leases: dict[str, BlasLimit] = {}
#: Fits that have ended here; a task of one may still be computing.
_ended: deque[str] = deque(maxlen=256)


def take_lease(token: str, key: str) -> str:
    """Limit BLAS in this process until the result of this task, under `key`, is dropped."""
    worker = get_worker()
    with _lock:
        if token in _leases or token in _ended:
            return token
        _leases[token] = single_blas_thread()
    worker.loop.add_callback(_watch, worker, token, key)
    return token


async def _watch(worker: Any, token: str, key: str) -> None:
    """End the lease when the worker has neither the task nor its result. Runs on its event loop."""
    while token in _leases:
        await asyncio.sleep(CHECK_S)
        is_wanted = key in worker.state.tasks and worker.status.name not in {"closed", "failed"}
        if not is_wanted:
            end_lease(token)


def end_lease(token: str) -> None:
    """Undo what a fit did to this process; with the last fit drop the tasks too."""
    with _lock:
        limit = _leases.pop(token, None)
        if token not in _ended:
            _ended.append(token)
    if limit is not None:
        limit.restore()
    _tidy_up(token)


def _tidy_up(token: str) -> None:
    process_cache.release(token)
    if not _leases:
        process_cache.drop()
        task_transfer.drop_tasks()


def run_leased(
    token: str, key: str, packed: bytes | None, start: int, stop: int
) -> task_transfer.Reply:
    """Run a pass's task (see `task_transfer.run_packed`) with one BLAS thread, lease or no lease.

    A task that outlives its driver leaves nothing either.
    """
    try:
        with limited_thread(), process_cache.reading(token):
            return task_transfer.run_packed(key, packed, start, stop)
    finally:
        if token in _ended:
            _tidy_up(token)
