"""Workers that Dask has paused: they get no tasks; a job without any other ends with the reason."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from distributed import Client
from reduction_examples import Leaves, awkward_values, plain_tree
from shell_cluster import scheduler

from dgmm.errors import UnavailableError
from dgmm.execution.dask_cluster import existing_cluster
from dgmm.execution.paused_workers import paused_error
from dgmm.execution.scheduling.balance import Balance
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.map_reduce import map_reduce, split_ranges

pytestmark = pytest.mark.timeout(120)
#: A nanny only restarts its worker: without one half of the processes are started.
LIMIT = ("--no-nanny", "--memory-limit", "3GB")
#: Any process is fuller than this, so the worker is paused at once and for ever.
PAUSED = {
    "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "0.002",
    "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False",
}


def wait_until_paused(address: str, n_workers: int) -> None:
    with Client(address, set_as_default=False) as client:
        deadline = time.monotonic() + 60
        while True:
            report = client.scheduler_info(n_workers=-1)["workers"].values()
            if [worker["status"] for worker in report].count("paused") == n_workers:
                return
            assert time.monotonic() < deadline, report
            time.sleep(0.1)


def test_all_workers_paused_ends_with_a_sentence_that_names_them_and_their_memory(
    tmp_path: Path,
) -> None:
    with scheduler(tmp_path) as found, ExitStack() as stack:
        for name in ("full-1", "full-2"):
            arguments = ("--name", name, *LIMIT)
            stack.enter_context(found.worker(*arguments, environment=PAUSED))
        wait_until_paused(found.address, 2)
        begun = time.monotonic()
        with pytest.raises(UnavailableError, match="paused or closing for 4 s") as caught:
            existing_cluster(found.address, wait_workers_s=4)
    text = str(caught.value)
    assert time.monotonic() - begun < 20
    assert caught.value.exit_code == 69
    assert "full-1 at tcp://127.0.0.1:" in text
    assert "full-2 at tcp://127.0.0.1:" in text
    assert "of 2.79 GiB in use" in text
    assert "not this job's" in text


def process_id(blocks: BlockRange) -> int:
    time.sleep(0.02)
    return os.getpid()


def test_a_paused_worker_of_two_gets_no_tasks_and_delays_nothing(tmp_path: Path) -> None:
    values = awkward_values(30)
    with scheduler(tmp_path) as found, ExitStack() as stack:
        stack.enter_context(found.worker("--name", "full", *LIMIT, environment=PAUSED))
        stack.enter_context(found.worker("--no-nanny", "--name", "free"))
        wait_until_paused(found.address, 1)
        executor = stack.enter_context(existing_cluster(found.address))
        deadline = time.monotonic() + 60
        while len(executor._members.threads()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert executor.n_threads == 1
        begun = time.monotonic()
        total = map_reduce(executor, Leaves(values), 30)
        ids = {found for _, found in executor.run(process_id, split_ranges(20, 20))}
        assert time.monotonic() - begun < 10
    assert total.value.hex() == plain_tree(values).hex()
    assert len(ids) == 1


def test_ranges_of_a_worker_that_becomes_paused_are_given_to_others_without_a_death() -> None:
    balance = Balance(split_ranges(4, 4))
    threads = {"a": 1, "b": 1}
    balance.update_workers(threads, 0.0)
    given = balance.assign(0.0)
    of_a = [t for t in given if t.worker == "a"]
    assert len(of_a) == 2
    for assignment in given:
        if assignment.worker == "b":
            balance.complete(assignment, 1.0)
    assert balance.reissue(2.0) == []
    assert balance.update_workers(threads, 4.0, paused={"a"}, stalled={"a"}) == []
    again = balance.reissue(4.0)
    assert again
    assert {t.worker for t in again} == {"b"}
    assert {t.blocks for t in again} <= {t.blocks for t in of_a}
    assert balance.complete(again[0], 5.0) == [t for t in of_a if t.blocks == again[0].blocks]


@pytest.mark.parametrize(
    ("cached", "is_own", "words"),
    [
        (0, False, "not this job's"),
        (900, False, "Most of it is dgmm's"),
        (0, True, "raise cluster.memory_limit"),
    ],
)
def test_the_message_tells_whose_memory_it_is(cached: int, is_own: bool, words: str) -> None:
    worker = {
        "name": "w",
        "status": "paused",
        "memory_limit": 1100 * 2**20,
        "metrics": {"memory": 1000 * 2**20, "managed_bytes": 40 * 2**20},
    }
    error = paused_error(
        "tcp://s:1", {"tcp://w:1": worker}, {"tcp://w:1": cached * 2**20}, waited_s=7, is_own=is_own
    )
    assert words in str(error)
    assert "worker w at tcp://w:1 is paused with 1000 MiB of 1.07 GiB in use" in str(error)
    assert "40 MiB results that Dask has" in str(error)
    assert f"{cached} MiB rows that dgmm has cached" in str(error)


def test_limits_of_paused_workers_do_not_count(tmp_path: Path) -> None:
    with scheduler(tmp_path) as found, ExitStack() as stack:
        stack.enter_context(found.worker("--name", "full", *LIMIT, environment=PAUSED))
        ample = ("--no-nanny", "--memory-limit", "5GB")
        stack.enter_context(found.worker("--name", "free", *ample))
        wait_until_paused(found.address, 1)
        executor = stack.enter_context(existing_cluster(found.address))
        deadline = time.monotonic() + 60
        while len(executor._members.threads()) < 2 or executor.n_threads != 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert executor.task_memory_limit == 5_000_000_000
        assert executor.pause_share == 0.8
