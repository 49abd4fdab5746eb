"""Tests on the shared cluster; whatever breaks workers is in tests/execution/test_faults.py."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from reduction_examples import FloatSum, Leaves, awkward_values, plain_tree

from dgmm.errors import DataError
from dgmm.execution import task_transfer
from dgmm.execution.dask_cluster import DaskExecutor
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.map_reduce import SubtreeTask, map_reduce, split_ranges
from dgmm.reduction.tree import TreeReducer
from dgmm.runtime.machine import available_memory

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("n_blocks", [1, 2, 37, 101])
def test_a_cluster_gives_the_bits_of_the_plain_tree(
    dask_executor: DaskExecutor, n_blocks: int
) -> None:
    values = awkward_values(n_blocks)
    total = map_reduce(dask_executor, Leaves(values), n_blocks)
    assert total.value.hex() == plain_tree(values).hex()


@pytest.mark.parametrize("n_tasks", [1, 3, 16, 53])
def test_any_number_of_tasks_gives_the_same_bits(dask_executor: DaskExecutor, n_tasks: int) -> None:
    values = awkward_values(53)
    ranges = split_ranges(53, n_tasks)
    random.Random(n_tasks).shuffle(ranges)  # noqa: S311 - an order, not a secret
    reducer: TreeReducer[FloatSum] = TreeReducer(53)
    for _, subtrees in dask_executor.run(SubtreeTask(Leaves(values), 53), ranges):
        for subtree in subtrees:
            reducer.add(subtree)
    assert reducer.result().value.hex() == plain_tree(values).hex()


def process_id(blocks: BlockRange) -> int:
    time.sleep(0.05)
    return os.getpid()


def test_all_workers_share_the_ranges_and_none_is_the_driver(dask_executor: DaskExecutor) -> None:
    ids = [found for _, found in dask_executor.run(process_id, split_ranges(8, 8))]
    assert len(set(ids)) == dask_executor.n_threads == 2
    assert os.getpid() not in ids


def refuse_block_three(blocks: BlockRange) -> None:
    if blocks.start == 3:
        raise DataError("block 3 has no rows")


def test_an_exception_of_a_task_keeps_its_type_and_message(dask_executor: DaskExecutor) -> None:
    with pytest.raises(DataError, match=r"^block 3 has no rows$"):
        list(dask_executor.run(refuse_block_three, split_ranges(8, 8)))


def test_a_missing_file_on_a_worker_is_the_tasks_own_error(dask_executor: DaskExecutor) -> None:
    with pytest.raises(FileNotFoundError):
        list(dask_executor.run(lambda blocks: Path("/nowhere").stat(), split_ranges(8, 8)))


@dataclass(frozen=True)
class Leave:
    """Leaves a file for each run that began."""

    folder: Path

    def __call__(self, blocks: BlockRange) -> None:
        (self.folder / str(blocks.start)).touch()
        time.sleep(0.02)


def test_a_closed_iterator_starts_no_further_runs(
    dask_executor: DaskExecutor, tmp_path: Path
) -> None:
    results = dask_executor.run(Leave(tmp_path), split_ranges(100, 100))
    next(results)
    results.close()  # type: ignore[attr-defined]
    list(dask_executor.run(process_id, split_ranges(2, 2)))
    n_workers, in_flight = 2, 2
    assert len(list(tmp_path.iterdir())) <= n_workers * in_flight + 1


@dataclass(frozen=True)
class BigTask:
    """Parameters of many MB; counts how often this process unpacked them."""

    parameters: np.ndarray

    def __call__(self, blocks: BlockRange) -> tuple[int, float]:
        return os.getpid(), float(self.parameters[blocks.start])


@pytest.mark.parametrize("inline_bytes", [1_000_000_000, 0], ids=["inside", "once"])
def test_parameters_arrive_with_the_ranges_or_once_per_worker(
    dask_executor: DaskExecutor, inline_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_transfer, "INLINE_BYTES", inline_bytes)
    task = BigTask(np.arange(2_000_000.0))  # 16 MB: Dask warns above 10 MB
    results = dict(dask_executor.run(task, split_ranges(12, 12)))
    assert {blocks.start: value for blocks, (_, value) in results.items()} == {
        i: float(i) for i in range(12)
    }


def drop_tasks(blocks: BlockRange) -> None:
    task_transfer._stored.clear()
    time.sleep(0.02)


def test_a_worker_that_lost_the_task_is_sent_it_again(
    dask_executor: DaskExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_transfer, "INLINE_BYTES", 0)
    done = [blocks for blocks, _ in dask_executor.run(drop_tasks, split_ranges(20, 20))]
    assert sorted(done) == split_ranges(20, 20)


def test_a_worker_keeps_only_a_few_tasks() -> None:
    def task(blocks: BlockRange) -> int:
        return blocks.start

    packed = task_transfer.pack_task(task)
    for i in range(10):
        assert task_transfer.run_packed(f"pass {i}", packed, i, i + 1) == (True, i)
    assert len(task_transfer._stored) <= 2
    assert task_transfer.run_packed("pass 9", None, 4, 5) == (True, 4)
    assert task_transfer.run_packed("pass 0", None, 4, 5) == (False, None)
    task_transfer._stored.clear()


def blas_threads(blocks: BlockRange) -> set[int]:
    from dgmm.runtime.blas_threads import blas_report

    return {library["num_threads"] for library in blas_report()}


def test_blas_has_one_thread_in_every_worker(dask_executor: DaskExecutor) -> None:
    for _, threads in dask_executor.run(blas_threads, split_ranges(6, 6)):
        assert threads == {1}


def test_a_cluster_tells_what_driver_and_workers_compute_with(dask_executor: DaskExecutor) -> None:
    report = dask_executor.environment()
    assert report["mixed"] is False
    assert dask_executor.warnings == []
    names = sorted(name for group in report["workers"] for name in group["workers"])
    assert names == ["0", "1"]
    assert sum(group["count"] for group in report["workers"]) == 2
    # Whether SciPy's library is loaded yet depends on what a process did before.
    of_numpy = [b for b in report["driver"]["blas"] if b["package"] == "numpy"]
    for group in report["workers"]:
        assert [b for b in group["environment"]["blas"] if b["package"] == "numpy"] == of_numpy
    assert "tcp://" not in str(report)


def test_each_local_worker_has_an_equal_share_of_memory(dask_executor: DaskExecutor) -> None:
    assert dask_executor.task_memory_limit == available_memory() // 2


def stream(blocks: BlockRange) -> Iterator[int]:
    yield blocks.start


def test_a_result_that_cannot_travel_is_an_error_not_a_wait(dask_executor: DaskExecutor) -> None:
    with pytest.raises(TypeError, match="generator"):
        list(dask_executor.run(stream, split_ranges(2, 2)))
