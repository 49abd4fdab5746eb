"""What a run changes in somebody else's workers ends with it, however it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Client, Status
from shell_cluster import PLACES, Scheduler, scheduler

from dgmm.execution.dask_cluster import existing_cluster
from dgmm.reduction.map_reduce import split_ranges

pytestmark = pytest.mark.timeout(150)
TWO_THREADS = {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}


def blas_threads() -> set[int]:
    from dgmm.runtime.blas_threads import blas_report

    return {library["num_threads"] for library in blas_report()}


def cached() -> tuple[int, int]:
    from dgmm.execution import task_transfer
    from dgmm.runtime.row_cache import process_cache

    return process_cache.n_bytes, len(task_transfer._stored)


def cache_rows(blocks: object) -> None:
    import numpy as np

    from dgmm.runtime.row_cache import process_cache

    process_cache.find("rows", 0, 0, 50)
    process_cache.add("rows", 0, 0, np.ones((50, 4)), budget=10_000)


def plugins(dask_scheduler: Any) -> list[str]:
    found = (*dask_scheduler.worker_plugins, *dask_scheduler.nanny_plugins)
    return [name for name in found if name != "shuffle"]  # Dask's own


def remaining(dask_scheduler: Any) -> list[str]:
    return [str(key) for key in dask_scheduler.tasks if "dgmm" in str(key)]


DRIVER = """
import sys, time
from dgmm.execution.dask_cluster import existing_cluster
from dgmm.reduction.map_reduce import split_ranges
from test_leases import cache_rows
with existing_cluster(sys.argv[1]) as executor:
    list(executor.run(cache_rows, split_ranges(4, 4)))
    print("ready", flush=True)
    time.sleep(600)
"""


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def started_driver(found: Scheduler) -> subprocess.Popen[str]:
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, found.address],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([PLACES, *sys.path])},
    )
    assert driver.stdout is not None
    assert driver.stdout.readline() == "ready\n"
    return driver


def test_a_killed_driver_leaves_no_plugin_no_limit_and_no_rows(tmp_path: Path) -> None:
    with scheduler(tmp_path) as found, found.worker("--no-nanny", environment=TWO_THREADS):
        driver = started_driver(found)
        try:
            with Client(found.address, set_as_default=False) as client:
                wait_for(lambda: list(client.run(blas_threads).values()) == [{1}])
                ((rows, tasks),) = client.run(cached).values()
                assert rows
                assert tasks
                assert client.run_on_scheduler(plugins) == []
                driver.send_signal(signal.SIGKILL)
                driver.wait()
                wait_for(lambda: list(client.run(blas_threads).values()) == [{2}])
                wait_for(lambda: list(client.run(cached).values()) == [(0, 0)])
                assert client.run_on_scheduler(plugins) == []
                assert client.run_on_scheduler(remaining) == []
                with found.worker("--no-nanny", "--name", "later", environment=TWO_THREADS):
                    wait_for(lambda: len(client.nthreads()) == 2, 60)
                    assert list(client.run(blas_threads).values()) == [{2}, {2}]
        finally:
            driver.kill()
            driver.wait()
            if driver.stdout is not None:
                driver.stdout.close()


def test_a_worker_that_joins_a_run_is_limited_too_and_gets_its_threads_back(
    tmp_path: Path,
) -> None:
    with (
        scheduler(tmp_path) as found,
        found.worker("--no-nanny", environment=TWO_THREADS),
        Client(found.address, set_as_default=False) as client,
        existing_cluster(found.address) as executor,
        found.worker("--no-nanny", "--name", "later", environment=TWO_THREADS),
    ):
        wait_for(lambda: executor.n_threads == 2, 60)
        wait_for(lambda: list(client.run(blas_threads).values()) == [{1}, {1}])
        executor.close()
        assert list(client.run(blas_threads).values()) == [{2}, {2}]


def test_another_run_on_the_same_workers_keeps_its_limit(tmp_path: Path) -> None:
    with (
        scheduler(tmp_path) as found,
        found.worker("--no-nanny", environment=TWO_THREADS),
        Client(found.address, set_as_default=False) as client,
        existing_cluster(found.address) as first,
    ):
        with existing_cluster(found.address) as second:
            for executor in (first, second):
                list(executor.run(cache_rows, split_ranges(1, 1)))
            wait_for(lambda: list(client.run(blas_threads).values()) == [{1}])
        assert list(client.run(blas_threads).values()) == [{1}]
        ((rows, _),) = client.run(cached).values()
        assert rows
        first.close()
        assert list(client.run(blas_threads).values()) == [{2}]
        assert list(client.run(cached).values()) == [(0, 0)]


def test_a_lease_whose_driver_died_at_once_ends_with_the_first_look(monkeypatch) -> None:
    from dgmm.execution import worker_lease

    class Limit:
        was_restored = False

        def restore(self) -> None:
            self.was_restored = True

    limit = Limit()
    monkeypatch.setitem(worker_lease._leases, "gone", limit)  # type: ignore[arg-type]
    running = SimpleNamespace(state=SimpleNamespace(tasks={}), status=Status.running)
    begun = time.monotonic()
    asyncio.run(worker_lease._watch(running, "gone", "key"))
    assert limit.was_restored
    assert time.monotonic() - begun < 20 * worker_lease.CHECK_S
