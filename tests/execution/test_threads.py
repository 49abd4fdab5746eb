from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from reduction_examples import Leaves, awkward_values, plain_tree

from dgmm.errors import DataError, UsageError
from dgmm.execution.threads import ThreadExecutor, available_cpus
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.map_reduce import map_reduce, split_ranges
from dgmm.runtime.row_cache import process_cache

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("n_blocks", [1, 2, 7, 64, 101])
@pytest.mark.parametrize("caller_computes", [False, True])
def test_any_number_of_threads_gives_the_bits_of_the_plain_tree(
    n_threads: int, n_blocks: int, caller_computes: bool
) -> None:
    values = awkward_values(n_blocks)
    with ThreadExecutor(n_threads, caller_computes=caller_computes) as executor:
        total = map_reduce(executor, Leaves(values), n_blocks)
    assert total.value.hex() == plain_tree(values).hex()


def test_every_run_comes_back_once_with_its_own_result() -> None:
    ranges = split_ranges(40, 17)
    with ThreadExecutor(3) as executor:
        results = dict(executor.run(lambda blocks: blocks.stop - blocks.start, ranges))
    assert results == {blocks: blocks.stop - blocks.start for blocks in ranges}


def test_an_exception_of_a_task_keeps_its_type_and_stops_what_has_not_begun() -> None:
    begun = []

    def task(blocks: BlockRange) -> None:
        begun.append(blocks)
        if blocks.start == 0:
            raise DataError("row 3 is not finite")
        time.sleep(0.01)

    with ThreadExecutor(2) as executor, pytest.raises(DataError, match="row 3"):
        list(executor.run(task, split_ranges(100, 100)))
    assert len(begun) <= 2 * 2


def test_an_exception_of_another_thread_is_raised_once_the_calling_one_is_done() -> None:
    caller, begun, ended = threading.get_ident(), threading.Semaphore(0), []

    def task(blocks: BlockRange) -> None:
        if threading.get_ident() != caller:
            begun.release()
            raise DataError("row 3 is not finite")
        for _ in range(2):  # the other has begun a second range: its first has failed by then
            assert begun.acquire(timeout=30)
        ended.append(blocks)

    with (
        ThreadExecutor(2, caller_computes=True) as executor,
        pytest.raises(DataError, match="row 3"),
    ):
        list(executor.run(task, split_ranges(100, 100)))
    assert len(ended) == 1


def test_the_calling_thread_takes_ranges_in_order_and_what_no_other_has_begun() -> None:
    caller, own, done = threading.get_ident(), list[int](), threading.Event()
    is_held = threading.Event()

    def task(blocks: BlockRange) -> None:
        if threading.get_ident() != caller:
            is_held.set()
            assert done.wait(30)
            return
        assert is_held.wait(30)  # the other has its first range, and keeps it
        own.append(blocks.start)
        if len(own) == 9:
            done.set()

    with ThreadExecutor(2, caller_computes=True) as executor:
        list(executor.run(task, split_ranges(10, 10)))
    assert own == [0, *range(2, 10)]


@pytest.mark.parametrize(("n_blocks", "own"), [(13, (6, 13)), (10, (0, 5))])
def test_with_one_range_per_thread_the_calling_thread_takes_the_longest(
    n_blocks: int, own: tuple[int, int]
) -> None:
    """It begins before the others; of equally long ones the first: the last block may be short."""
    caller, both = threading.get_ident(), threading.Barrier(2, timeout=30)

    def task(_blocks: BlockRange) -> bool:
        both.wait()
        return threading.get_ident() == caller

    with ThreadExecutor(2, caller_computes=True) as executor:
        found = dict(executor.run(task, split_ranges(n_blocks, 2)))
    assert [blocks for blocks, is_own in found.items() if is_own] == [own]


def test_an_interrupt_of_the_calling_threads_task_leaves_an_executor_that_works() -> None:
    caller, begun = threading.get_ident(), []

    def task(blocks: BlockRange) -> int:
        begun.append(blocks)
        if threading.get_ident() == caller and len(begun) < 4:
            raise KeyboardInterrupt
        return blocks.start

    ranges = split_ranges(100, 100)
    with ThreadExecutor(2, caller_computes=True) as executor:
        with pytest.raises(KeyboardInterrupt):
            list(executor.run(task, ranges))
        assert len(begun) <= 3
        begun.extend(ranges[:4])
        assert dict(executor.run(task, ranges)) == {blocks: blocks.start for blocks in ranges}


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_with_the_calling_thread_there_are_no_more_threads(n_threads: int) -> None:
    at_work, most, lock = set[int](), [0], threading.Lock()

    def task(blocks: BlockRange) -> int:
        with lock:
            at_work.add(threading.get_ident())
            most.append(len(at_work))
        time.sleep(0.002)
        with lock:
            at_work.discard(threading.get_ident())
        return threading.get_ident()

    with ThreadExecutor(n_threads, caller_computes=True) as executor:
        found = dict(executor.run(task, split_ranges(40, 40)))
    assert set(found) == set(split_ranges(40, 40))
    assert threading.get_ident() in found.values()
    assert max(most) <= n_threads


def test_the_calling_thread_has_the_longer_of_two_ranges() -> None:
    both = threading.Barrier(2)

    def task(blocks: BlockRange) -> int:
        both.wait(30)  # until two threads have a range each
        return threading.get_ident()

    with ThreadExecutor(2, caller_computes=True) as executor:
        found = dict(executor.run(task, split_ranges(3, 2)))
    assert found[BlockRange(1, 3)] == threading.get_ident() != found[BlockRange(0, 1)]


def test_a_closed_iterator_starts_no_further_runs() -> None:
    begun = []
    with ThreadExecutor(2) as executor:
        results = executor.run(begun.append, split_ranges(100, 100))
        next(results)
        results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 2 * 2 + 1


def test_no_more_than_two_ranges_a_thread_are_in_flight() -> None:
    done = threading.Semaphore(0)
    taken = 0

    def task(blocks: BlockRange) -> None:
        done.release()

    with ThreadExecutor(2) as executor:
        for _ in executor.run(task, split_ranges(50, 50)):
            taken += 1
            time.sleep(0.002)  # the threads could be far ahead of a slow consumer by now
            finished = done._value
            assert finished - taken <= 2 * 2


def test_no_threads_at_all_are_refused() -> None:
    with pytest.raises(UsageError, match="n_threads is 0"):
        ThreadExecutor(0)


def test_the_default_number_of_threads_is_that_of_the_cpus_this_process_may_use() -> None:
    assert 1 <= available_cpus() <= (os.cpu_count() or 1)
    with ThreadExecutor() as executor:
        assert executor.n_threads == available_cpus()


def test_threads_report_a_driver_and_no_workers() -> None:
    with ThreadExecutor(1) as executor:
        report = executor.environment()
        assert (report["workers"], report["mixed"], executor.warnings) == ([], False, [])
        assert report["driver"]["numpy"]
        assert executor.task_memory_limit is None
        assert executor.dashboard is None


def test_threads_load_nothing_of_dask() -> None:
    program = (
        "import sys; from dgmm.execution import ClusterSettings, open_executor\n"
        "with open_executor(ClusterSettings(kind='threads', n_workers=1)) as executor: pass\n"
        "sys.exit(bool({'dask', 'distributed', 'tornado'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process")
def test_an_interrupt_ends_a_run_of_threads_at_once(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time\n"
        "from dgmm.reduction.map_reduce import split_ranges\n"
        "from dgmm.execution.threads import ThreadExecutor\n"
        "def task(run):\n"
        "    pathlib.Path(sys.argv[1]).touch()\n"
        "    time.sleep(0.2)\n"
        "with ThreadExecutor(1) as executor:\n"
        "    list(executor.run(task, split_ranges(1000, 1000)))\n"
    )
    begun = tmp_path / "begun"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(begun)], stderr=subprocess.PIPE, text=True
    )
    while not begun.exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in errors
    assert process.returncode != 0


def test_a_single_range_is_run_by_the_calling_thread_and_several_are_not() -> None:
    def task(blocks: BlockRange) -> int:
        return threading.get_ident()

    with ThreadExecutor(2) as executor:
        ((_, alone),) = executor.run(task, [BlockRange(0, 3)])
        several = {ident for _, ident in executor.run(task, split_ranges(4, 4))}
    assert alone == threading.get_ident()
    assert threading.get_ident() not in several


def test_the_callers_numpy_error_state_does_not_reach_a_task() -> None:
    def task(blocks: BlockRange) -> dict[str, str]:
        return dict(np.geterr())

    default = np.geterr()
    with np.errstate(all="raise"), ThreadExecutor(2) as executor:
        alone, several = ([BlockRange(0, 1)], split_ranges(2, 2))
        assert [found for _, found in executor.run(task, alone)] == [default]
        assert [found for _, found in executor.run(task, several)] == [default, default]


def test_rows_that_the_calling_thread_reads_are_released_with_the_executor() -> None:
    rows = np.arange(6.0).reshape(3, 2)
    source = "rows of the calling thread"

    def task(blocks: BlockRange) -> None:
        process_cache.find(source, 0, 0, 3)
        process_cache.add(source, 0, 0, rows, 2**20)

    before = process_cache.n_bytes
    with ThreadExecutor(2) as executor:
        list(executor.run(task, [BlockRange(0, 1)]))
        assert process_cache.n_bytes == before + rows.nbytes
    assert process_cache.n_bytes == before
