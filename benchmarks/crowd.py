"""A scheduler and many workers that do nothing, in processes of their own, and who worked how long.

The processes share this machine's cores, so a wall time here is an upper bound. What each role
spends of the processor is not: it is what the scheduler and the driver of a real cluster spend.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.measuring import PROJECT
from dgmm.execution.dask_cluster import DaskExecutor, existing_cluster
from dgmm.fitting.em.data_pass import PassStatistics
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.map_reduce import TASKS_PER_THREAD, map_reduce

#: Workers in one process; more are slower to join.
_PER_PROCESS = 250
#: Patient: here hundreds of workers share a core, and all of them connect at once.
_ENVIRONMENT = {
    "PYTHONPATH": str(PROJECT),
    "PATH": "/usr/bin:/bin",
    "HOME": tempfile.gettempdir(),
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "300 s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "300 s",
}


@dataclass(frozen=True, slots=True)
class Seconds:
    """What one pass takes, and what the driver's and the scheduler's processors do for it."""

    wall: float
    driver: float
    scheduler: float
    n_tasks: int


@dataclass(frozen=True)
class Crowd:
    """Connected workers."""

    executor: DaskExecutor
    scheduler: psutil.Process

    def run_pass(self, k: int, p: int) -> Seconds:
        """Three tasks a worker, one block each, that return statistics (k, p) of ones."""
        n_blocks = TASKS_PER_THREAD * self.executor.n_threads
        driver = psutil.Process()
        before = time.perf_counter(), _processor(driver), _processor(self.scheduler)
        total = map_reduce(self.executor, Ones(k, p), n_blocks)
        after = time.perf_counter(), _processor(driver), _processor(self.scheduler)
        if total.n_read != n_blocks:
            raise RuntimeError(f"{total.n_read} of {n_blocks} blocks")
        wall, own, theirs = (b - a for a, b in zip(before, after, strict=True))
        return Seconds(wall, own, theirs, n_blocks)


@dataclass(frozen=True)
class Ones:
    """Leaves that read and compute nothing; statistics of the true size travel."""

    k: int
    p: int

    def __call__(self, run: BlockRange) -> Iterator[tuple[int, PassStatistics]]:
        """One value a block."""
        for block in range(run.start, run.stop):
            ones = Statistics(1, 0.0, np.ones((self.k, self.p)))
            yield block, PassStatistics(1, 0, (ones,))


def _processor(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def crowd(n_workers: int) -> Iterator[Crowd]:
    """Start a scheduler and workers; stop them at the end."""
    with ExitStack() as resources:
        folder = resources.enter_context(tempfile.TemporaryDirectory())
        file = Path(folder) / "scheduler.json"
        words = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--port", "0"]
        command = ["-m", "distributed.cli.dask_scheduler", *words, "--no-dashboard"]
        scheduler = resources.enter_context(_started(*command))
        address = _address(file)
        left = n_workers
        joining = []
        while left > 0:
            n = min(left, _PER_PROCESS)
            joining.append(
                resources.enter_context(
                    _started("-m", "benchmarks.many_workers", address, str(n), cwd=folder)
                )
            )
            left -= n
        for process in joining:
            if process.stdout is None or not process.stdout.readline():
                raise RuntimeError("workers did not join")
        executor = resources.enter_context(existing_cluster(address, wait_workers_s=120.0))
        yield Crowd(executor, psutil.Process(scheduler.pid))


@contextmanager
def _started(*words: str, cwd: str | None = None) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=cwd,
        env=_ENVIRONMENT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _address(file: Path) -> str:
    deadline = time.monotonic() + 60
    while not file.is_file():
        if time.monotonic() > deadline:
            raise RuntimeError("the scheduler did not start")
        time.sleep(0.05)
    return str(json.loads(file.read_text("utf-8"))["address"])
