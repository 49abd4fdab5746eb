"""What a plan adds up, from terms and sizes that are prime."""

from __future__ import annotations

from dataclasses import replace

from dgmm.job.memory_plan import Term
from dgmm.job.plan import Plan

#: 250 MiB: a process with its libraries.
BASE = 262_144_000
#: Five threads' tasks, and the driver's own work.
TASKS, DRIVER = 5 * (1_000_003 + 10_007), 1_009 + 503
ROWS = 10_007 * 13 * 4
LIMIT = 2_147_483_647

PROCESSES = Plan(
    shape=(10_007, 13),
    dtype="float32",
    n_blocks=2,
    n_workers=3,
    threads_per_worker=5,
    task=(Term("a", 1_000_003, ""), Term("b", 10_007, "")),
    driver=(Term("c", 1_009, ""), Term("d", 503, "")),
    memory_limit=LIMIT,
    cache_limit=LIMIT,
    output_bytes=7,
    n_passes=2,
)
THREADS = replace(PROCESSES, n_workers=0)


def test_each_worker_takes_its_libraries_its_tasks_and_its_cached_rows() -> None:
    assert PROCESSES.worker_bytes == BASE + TASKS + ROWS
    assert PROCESSES.driver_bytes == BASE + DRIVER
    assert PROCESSES.total_bytes == PROCESSES.driver_bytes + 3 * PROCESSES.worker_bytes
    assert PROCESSES.needed_bytes == BASE + TASKS
    assert PROCESSES.least_total_bytes == PROCESSES.driver_bytes + 3 * (BASE + TASKS)
    assert replace(PROCESSES, is_elsewhere=True).least_total_bytes == BASE + DRIVER


def test_threads_take_all_of_it_in_one_process() -> None:
    assert THREADS.worker_bytes == 0
    assert THREADS.needed_bytes == THREADS.least_total_bytes == BASE + TASKS + DRIVER
    assert THREADS.driver_bytes == THREADS.total_bytes == BASE + TASKS + DRIVER + ROWS


def test_rows_are_cached_beside_tasks_and_with_threads_beside_the_drivers_work() -> None:
    half = LIMIT // 2
    assert PROCESSES.cache_budget == half - TASKS
    assert THREADS.cache_budget == half - TASKS - DRIVER
    tight = replace(PROCESSES, cache_limit=1_000_000_007)
    assert tight.cache_budget == int(0.7 * 1_000_000_007 - BASE - TASKS)
    assert replace(PROCESSES, n_passes=1).cache_budget == 0


def test_a_worker_may_use_what_dask_neither_pauses_nor_ends_it_at() -> None:
    assert PROCESSES.usable_bytes == 0.8 * LIMIT
    assert replace(PROCESSES, pause_share=None).usable_bytes == 0.95 * LIMIT
    assert THREADS.usable_bytes == LIMIT
    assert replace(PROCESSES, memory_limit=None).usable_bytes == float("inf")


def test_a_plan_fits_up_to_its_last_byte() -> None:
    least = replace(THREADS, memory_limit=BASE + TASKS + DRIVER + ROWS)
    assert least.fits_its_limit
    assert not replace(least, memory_limit=BASE + TASKS + DRIVER + ROWS - 1).fits_its_limit
