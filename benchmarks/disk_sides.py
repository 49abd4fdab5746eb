"""What `disk` compares: dgmm's workers, a plain Zarr scan, and the same pass over rows in memory.

The latter two run in a pair of processes, one thread and one half of the rows each, because that is
what dgmm's two workers are. Both halves begin at the same time, and the slower one counts.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import psutil
import zarr

from benchmarks.disk_driver import kernel, units
from benchmarks.measuring import FORCED, N_THREADS, PROJECT
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.fitting.em.data_pass import EStepTask
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.map_reduce import SubtreeTask
from dgmm.runtime.blas_threads import single_blas_thread

Work = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Took:
    """What something took: seconds by the clock, and processor seconds of all its processes.

    On a machine that others use at the same time the clock tells little; the processors' time does.
    """

    wall: float
    cpu: float

    def times(self, factor: float) -> Took:
        """What so many times as much takes."""
        return Took(factor * self.wall, factor * self.cpu)


class Pair:
    """Two processes that do halves of the same work."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        pipes = [context.Pipe() for _ in range(N_THREADS)]
        self._ends = [mine for mine, _ in pipes]
        self._processes = [
            context.Process(target=_serve, args=(theirs, which), daemon=True)
            for which, (_, theirs) in enumerate(pipes)
        ]
        for process in self._processes:
            process.start()

    def do(self, work: Work, *arguments: Any) -> Took:
        """What work(which, *arguments) took: the slower half by the clock, both of processors."""
        for end in self._ends:
            end.send((work, arguments))
        answers = [end.recv() for end in self._ends]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return Took(max(a.wall for a in answers), sum(a.cpu for a in answers))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.terminate()
            process.join()


def _serve(end: Connection, which: int) -> None:
    with single_blas_thread():
        while True:
            work, arguments = end.recv()
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                work(which, *arguments)
                end.send(Took(time.perf_counter() - wall, time.process_time() - cpu))
            except Exception as error:  # noqa: BLE001 - raised again by the one who asked
                end.send(error)


def scan(which: int, path: str, rows_per_read: int) -> None:
    """Read one half of an array with Zarr alone."""
    array = zarr.open_array(path, mode="r")
    starts = range(0, array.shape[0], rows_per_read)
    middle = len(starts) // 2
    for start in starts[:middle] if which == 0 else starts[middle:]:
        array[start : start + rows_per_read]


#: Rows that this process holds for `compute`.
_held: dict[str, ArrayDataset] = {}


def hold(which: int, path: str, n_rows: int) -> None:
    """Take one half of the first rows of an array into memory."""
    half = n_rows // 2
    array = zarr.open_array(path, mode="r")
    rows = np.asarray(array[which * half : (which + 1) * half])
    _held.clear()
    _held["rows"] = ArrayDataset(rows)


def compute(which: int, covariance_type: str) -> None:  # noqa: ARG001 - each holds its own half
    """Make an EM pass over the rows held, merged as a task of dgmm's merges them."""
    dataset = _held["rows"]
    leaves = EStepTask(
        dataset,
        (EStepRequest(kernel(covariance_type), units()),),
        "numba",
        MissingPolicy.NONE_MISSING,
    )
    n_blocks = dataset.grid.n_blocks
    SubtreeTask(leaves, n_blocks)(BlockRange(0, n_blocks))


class Watched:
    """A command whose process tree's memory is sampled until it ends: driver, scheduler, workers.

    Attributes
    ----------
    peak
        Largest sum of resident bytes seen. Pages that processes share count once in each of them:
        an upper bound.
    """

    def __init__(self, arguments: list[str], folder: Path) -> None:
        self.peak = 0
        environment = {k: v for k, v in os.environ.items() if k not in FORCED}
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment | {"PYTHONPATH": str(PROJECT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        while self.process.poll() is None:
            with suppress(psutil.Error):
                root = psutil.Process(self.process.pid)
                self.peak = max(self.peak, _resident(root))
            time.sleep(0.05)

    def wait(self) -> None:
        """Until it ends of itself."""
        output, _ = self.process.communicate()
        self._watcher.join()
        if self.process.returncode != 0:
            raise RuntimeError(f"it ended with {self.process.returncode}: {output}")


def _resident(root: psutil.Process) -> int:
    total = 0
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.Error):
            total += process.memory_info().rss
    return total


class Driver(Watched):
    """dgmm's driver with its two workers, asked for one pass after another."""

    def __init__(self, job_file: Path) -> None:
        super().__init__(["-m", "benchmarks.disk_driver", str(job_file)], job_file.parent)
        self.plan = self._answer()

    def pass_over_all(self, covariance_type: str) -> Took:
        """One EM pass over all rows."""
        if self.process.stdin is None:
            raise RuntimeError("no standard input")
        before = self._cpu()
        self.process.stdin.write(f"{covariance_type}\n")
        self.process.stdin.flush()
        wall = float(self._answer()["seconds"])
        return Took(wall, self._cpu() - before)

    def _cpu(self) -> float:
        """Processor seconds of driver, scheduler and workers so far."""
        root = psutil.Process(self.process.pid)
        times = [p.cpu_times() for p in (root, *root.children(recursive=True))]
        return float(sum(t.user + t.system for t in times))

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise RuntimeError(f"the driver ended with {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.wait()
