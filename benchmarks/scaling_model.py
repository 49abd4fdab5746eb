"""What an iteration takes on many workers, from constants measured on few: docs/scaling.md.

A pass is a pipeline of three waves of tasks a thread. Workers read and compute, the scheduler hands
messages on, the driver unpacks and merges; scheduler and driver are one thread each. Whoever is
slowest sets the pace, and the others' last (or first) wave comes on top:

    T = max over roles r of (t_r + Σ of the others' t / waves) + M-step + latency
"""

from __future__ import annotations

from dataclasses import dataclass

from dgmm.reduction.blocks import BlockGrid
from dgmm.reduction.map_reduce import TASKS_PER_THREAD, split_ranges
from dgmm.reduction.task_size import most_blocks


@dataclass(frozen=True, slots=True)
class Constants:
    """Seconds of one processor, measured by `benchmarks.scaling`.

    Attributes
    ----------
    driver_task, scheduler_task
        A task's messages.
    driver_byte, scheduler_byte
        A byte of a result: received, unpacked and merged; passed on.
    read_byte
        A byte of stored rows on one worker's thread.
    latency
        From the beginning of a pass to its end where nothing is to be done.
    """

    driver_task: float
    scheduler_task: float
    driver_byte: float
    scheduler_byte: float
    read_byte: float
    latency: float


@dataclass(frozen=True, slots=True)
class Shape:
    """A mixture of k components over n rows of d features."""

    covariance_type: str
    n: int
    d: int
    k: int

    def __str__(self) -> str:
        return f"{self.covariance_type}, {self.n:,} × {self.d}, k = {self.k}"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is fitted where.

    Attributes
    ----------
    n_rows, n_features, n_components, width
        N, d, k, p.
    row_seconds
        One row's E-step on one thread.
    m_step
        Seconds of the M-step.
    n_workers
        One thread each.
    itemsize
        Bytes of a stored value.
    storage_rate
        Bytes a second that the store gives to all workers together; None for more than they ask.
    """

    n_rows: int
    n_features: int
    n_components: int
    width: int
    row_seconds: float
    m_step: float
    n_workers: int
    itemsize: int = 4
    storage_rate: float | None = None

    @property
    def n_blocks(self) -> int:
        """Leaves of the reduction tree."""
        return BlockGrid(self.n_rows, self.n_features).n_blocks

    @property
    def n_tasks(self) -> int:
        """Tasks of a pass: a few a thread, more where one would take too long to be lost."""
        grid = BlockGrid(self.n_rows, self.n_features)
        flops = 4.0 * self.n_components * self.width
        most = most_blocks(flops, self.statistics_bytes, grid, self.n_workers)
        wanted = max(TASKS_PER_THREAD * self.n_workers, -(-self.n_blocks // most))
        return min(wanted, self.n_blocks)

    @property
    def statistics_bytes(self) -> int:
        """Of one subtree."""
        return 8 * self.n_components * self.width

    @property
    def n_subtrees(self) -> int:
        """Values that all tasks send: the complete subtrees inside each range of blocks."""
        runs = split_ranges(self.n_blocks, self.n_tasks)
        return sum(subtrees_of(run.start, run.stop) for run in runs)


@dataclass(frozen=True, slots=True)
class Iteration:
    """Seconds of each role, and of the whole."""

    worker: float
    scheduler: float
    driver: float
    m_step: float
    latency: float

    @property
    def total(self) -> float:
        """The slowest role sets the pace; a wave of the others is not hidden."""
        roles = (self.worker, self.scheduler, self.driver)
        slowest = max(roles)
        rest = (sum(roles) - slowest) / TASKS_PER_THREAD
        return slowest + rest + self.m_step + self.latency

    @property
    def bound_by(self) -> str:
        """The slowest role."""
        roles = {"worker": self.worker, "scheduler": self.scheduler, "driver": self.driver}
        return max(roles, key=lambda role: roles[role])


def predict(problem: Problem, constants: Constants) -> Iteration:
    """One iteration of EM."""
    stored = problem.n_rows * problem.n_features * problem.itemsize
    compute = problem.n_rows * problem.row_seconds / problem.n_workers
    read = stored * constants.read_byte / problem.n_workers
    store = 0.0 if problem.storage_rate is None else stored / problem.storage_rate
    sent = problem.n_subtrees * problem.statistics_bytes
    return Iteration(
        worker=max(compute + read, store),  # decoding shares the processor with computing
        scheduler=problem.n_tasks * constants.scheduler_task + sent * constants.scheduler_byte,
        driver=problem.n_tasks * constants.driver_task + sent * constants.driver_byte,
        m_step=problem.m_step,
        latency=constants.latency,
    )


def subtrees_of(start: int, stop: int) -> int:
    """How many complete subtrees blocks [start, stop) consist of: at most 2·log₂ of their number.

    Examples
    --------
    >>> subtrees_of(0, 8), subtrees_of(1, 8), subtrees_of(3, 4)
    (1, 3, 1)
    """
    count = 0
    while start < stop:
        size = start & -start or 1 << (stop - start).bit_length()
        while start + size > stop:
            size >>= 1
        start += size
        count += 1
    return count
