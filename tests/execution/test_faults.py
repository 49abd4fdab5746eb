"""Workers that die, hang, join and leave: the bits stay. Each test breaks a cluster of its own."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dask
import psutil
import pytest
from dask.utils import parse_timedelta
from reduction_examples import FloatSum, Leaves, awkward_values, plain_tree

from dgmm.errors import PoisonBlocksError, UnavailableError
from dgmm.execution import local_processes
from dgmm.execution.dask_cluster import DaskExecutor, local_cluster
from dgmm.execution.scheduling import stragglers as late_ranges
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.map_reduce import map_reduce, split_ranges

pytestmark = [
    pytest.mark.timeout(90),
    pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals to workers"),
]


def is_first(marker: Path) -> bool:
    """Whether no process has asked for this marker before."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@dataclass(frozen=True)
class DeadlyLeaves:
    """Sends its own worker a signal, once for each of the given blocks."""

    leaves: Leaves
    folder: Path
    blocks: tuple[int, ...]
    signal: signal.Signals

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, FloatSum]]:
        for block, value in self.leaves(blocks):
            if block in self.blocks and is_first(self.folder / str(block)):
                os.kill(os.getpid(), self.signal)
            yield block, value


@pytest.mark.parametrize("deadly", [(5,), (0, 11, 23, 35)], ids=["one", "four"])
def test_killed_workers_change_no_bit(tmp_path: Path, deadly: tuple[int, ...]) -> None:
    values = awkward_values(36)
    task = DeadlyLeaves(Leaves(values, seconds=0.02), tmp_path, deadly, signal.SIGKILL)
    with local_cluster(2) as executor:
        total = map_reduce(executor, task, 36)
    assert total.value.hex() == plain_tree(values).hex()
    assert {int(found.name) for found in tmp_path.iterdir()} == set(deadly)


def test_a_hung_worker_is_overtaken_and_changes_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_ranges, "LATE_S", 1.0)
    values = awkward_values(12)
    task = DeadlyLeaves(Leaves(values, seconds=0.02), tmp_path, (3,), signal.SIGSTOP)
    with local_cluster(2) as executor:
        try:
            total = map_reduce(executor, task, 12)
            hung = executor._members.paused()
            again = map_reduce(executor, Leaves(values), 12)
            assert executor._members.paused() == hung, "the hung worker was given ranges again"
        finally:
            wake_stopped_children()
    assert total.value.hex() == again.value.hex() == plain_tree(values).hex()
    assert len(hung) == 1


def wake_stopped_children() -> None:
    for child in psutil.Process().children(recursive=True):
        if child.status() == psutil.STATUS_STOPPED:
            child.send_signal(signal.SIGCONT)


def die_on_block_six(blocks: BlockRange) -> BlockRange:
    if 6 in range(*blocks):
        os.kill(os.getpid(), signal.SIGKILL)
    return blocks


@pytest.mark.slow
def test_a_block_that_always_kills_is_named_and_no_other_suffers() -> None:
    ranges = [BlockRange(2 * i, 2 * i + 2) for i in range(6)]
    done = []
    with local_cluster(2) as executor:
        results = executor.run(die_on_block_six, ranges)
        with pytest.raises(
            PoisonBlocksError, match="block 6 ended 3 workers while alone"
        ) as caught:
            done.extend(blocks for blocks, _ in results)
        assert caught.value.exit_code == 69
        assert sorted(done) == [*ranges[:3], BlockRange(7, 8), *ranges[4:]]
        assert len(list(executor.run(lambda blocks: blocks, ranges))) == 6, (
            "the cluster is usable again"
        )


def test_workers_that_join_are_used_and_workers_that_leave_are_not_missed() -> None:
    values = awkward_values(60)
    with local_cluster(1) as executor:
        cluster = executor._client.cluster
        cluster.scale(3)
        wait_for_threads(executor, 3)
        ids = {found for _, found in executor.run(slow_process_id, split_ranges(18, 18))}
        assert len(ids) == 3
        cluster.scale(1)
        total = map_reduce(executor, Leaves(values, seconds=0.01), 60)
        wait_for_threads(executor, 1)
    assert total.value.hex() == plain_tree(values).hex()


def slow_process_id(blocks: BlockRange) -> int:
    time.sleep(0.1)
    return os.getpid()


def wait_for_threads(executor: DaskExecutor, n_threads: int) -> None:
    deadline = time.monotonic() + 30
    while executor.n_threads != n_threads:
        assert time.monotonic() < deadline, f"{executor.n_threads} threads, not {n_threads}"
        time.sleep(0.05)


def test_a_cluster_without_workers_is_unavailable_after_the_wait() -> None:
    with local_cluster(1, wait_workers_s=1.0) as executor:
        executor._client.cluster.scale(0)
        with pytest.raises(UnavailableError, match=r"had no workers for 1 s.*command again"):
            list(executor.run(slow_process_id, split_ranges(4, 4)))


def worker_processes() -> set[psutil.Process]:
    """Children but for the one that multiprocessing itself starts, once, and ends last."""
    children = psutil.Process().children(recursive=True)
    return {child for child in children if "resource_tracker" not in " ".join(child.cmdline())}


def test_opening_and_closing_writes_nothing_to_the_terminal_and_leaves_no_process(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    before = worker_processes()
    task = DeadlyLeaves(Leaves(awkward_values(8)), tmp_path, (2,), signal.SIGKILL)
    with caplog.at_level(logging.INFO, logger="dgmm"), local_cluster(2) as executor:
        map_reduce(executor, task, 8)
        with pytest.raises(ZeroDivisionError):
            list(executor.run(lambda _: 1 // 0, split_ranges(4, 4)))
    assert capfd.readouterr() == ("", "")
    assert "given out again" in caplog.text
    _, alive = psutil.wait_procs(worker_processes() - before, timeout=10)
    assert alive == []


def test_a_closed_executor_can_be_closed_again() -> None:
    executor = local_cluster(1)
    executor.close()
    executor.close()


def test_a_local_cluster_listens_on_loopback_alone() -> None:
    with local_cluster(1):
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        listening = {
            connection.laddr.ip
            for process in family
            for connection in process.net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
    assert listening == {"127.0.0.1"}


def test_a_worker_that_keeps_dying_is_restarted_however_often() -> None:
    name = "distributed.deploy.lost-worker-timeout"  # Dask's default gives it up after 15 s
    before = dask.config.get(name)
    with local_cluster(1):
        assert parse_timedelta(dask.config.get(name)) >= 24 * 3600
    assert dask.config.get(name) == before


def test_no_dashboard_is_promised_without_bokeh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_processes, "find_spec", lambda name: None)
    with local_cluster(1, memory_limit=10**9) as executor:
        assert executor.dashboard is None
        assert executor.task_memory_limit == 1_000_000_000
