"""Many Dask workers in one process: a stand-in for a cluster whose workers cost nothing here.

`python -m benchmarks.many_workers ADDRESS N` joins N one-thread workers to a scheduler and stays
until the scheduler goes. What they run takes no time, so scheduler and driver see the messages of N
workers and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import sys

import dask
from distributed import Worker

#: What a worker does beside its work, times N, would fill the processor.
_CALM = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "1 h",
    "distributed.worker.memory.monitor-interval": "1 h",
    "distributed.admin.tick.interval": "1 s",
}
#: Joined at the same time; more make the scheduler drop connections.
_AT_ONCE = 25


async def join(address: str, n_workers: int) -> None:
    """Join, report it on stdout, and stay."""
    workers = [
        Worker(address, nthreads=1, memory_limit=None, dashboard=False) for _ in range(n_workers)
    ]
    for start in range(0, n_workers, _AT_ONCE):
        await asyncio.gather(*workers[start : start + _AT_ONCE])
    print(n_workers, flush=True)
    await asyncio.gather(*(worker.finished() for worker in workers))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    dask.config.set(_CALM)
    asyncio.run(join(sys.argv[1], int(sys.argv[2])))
