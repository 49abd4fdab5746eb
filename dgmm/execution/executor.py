"""One protocol for every place where tasks run, and the reduction over it that fixes the bits.

A *task* is a run of consecutive blocks. It returns the complete subtrees of the fixed binary tree
over block indices that lie inside it, so that task size may follow the cluster while the order of
every addition stays the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from dgmm import stopping
from dgmm.data.blocks import Run
from dgmm.errors import StoppedError


class Monoid(Protocol):
    """A value with an associative `merge`; its order of merging is fixed by the tree."""

    def merge(self, other: Self, /) -> Self:
        """Return this value followed by the other."""


M = TypeVar("M", bound=Monoid)
T = TypeVar("T")


class Executor(Protocol):
    """Runs tasks somewhere; results come in any order, each run exactly once."""

    @property
    def n_threads(self) -> int:
        """How many tasks can run at the same time."""

    def environment(self) -> dict[str, Any]:
        """`driver` (a report), `workers` (groups of equal reports) and `mixed`, for run.json."""

    def run(
        self, task: Callable[[Run], T], runs: Sequence[Run], *, align: int = 1
    ) -> Iterator[tuple[Run, T]]:
        """Yield (run, task(run)) as they complete; an exception of a task is raised here.

        A run that ends its workers may be cut at multiples of `align` blocks, and its parts yielded
        in its place.
        """


class OpenExecutor(Executor, Protocol):
    """What `open_executor` gives: an executor that also tells where it runs, until it is closed."""

    @property
    def dashboard(self) -> str | None:
        """Address of a page that shows progress; None where no page would be served."""

    @property
    def task_memory_limit(self) -> int | None:
        """Bytes one worker may use; None where nothing limits it."""

    @property
    def pause_share(self) -> float | None:
        """Share of that limit above which a worker is given nothing more to do; None: no such."""

    @property
    def threads_per_worker(self) -> int:
        """Most tasks that run at the same time in one process."""

    @property
    def warnings(self) -> list[str]:
        """One sentence for each way in which driver and workers differ."""

    def close(self) -> None:
        """Stop what was started; further runs are refused."""


@dataclass(frozen=True, slots=True)
class Subtree(Generic[M]):
    """The merged value of blocks [index·2^level, (index + 1)·2^level), cut at the last block."""

    level: int
    index: int
    value: M

    def blocks(self, n_blocks: int) -> Run:
        """The blocks it covers, of so many."""
        return Run(self.index << self.level, min((self.index + 1) << self.level, n_blocks))


class PassProgress(Protocol[M]):
    """Keeps the finished subtrees of one pass, for the case that it does not come to its end."""

    def finished(self) -> list[Subtree[M]]:
        """What an earlier attempt at this pass has finished."""

    def advanced(self, subtrees: Callable[[], list[Subtree[M]]]) -> None:
        """More is finished; `subtrees` tells what, if it is to be kept now."""

    def interrupted(self, subtrees: Callable[[], list[Subtree[M]]]) -> None:
        """The pass ends here, unfinished."""


class TreeReducer(Generic[M]):
    """Merges subtrees, in whatever order they arrive, into the one value of the fixed tree.

    Parameters
    ----------
    n_blocks : int
        Leaves of the tree.
    """

    def __init__(self, n_blocks: int) -> None:
        self._n_blocks = n_blocks
        self._height = max(n_blocks - 1, 0).bit_length()
        self._waiting: dict[tuple[int, int], M] = {}

    def add(self, subtree: Subtree[M]) -> None:
        """Take one subtree in and merge as far up as its siblings are there."""
        level, index, value = subtree.level, subtree.index, subtree.value
        while level < self._height:
            sibling = (level, index ^ 1)
            if (index | 1) << level < self._n_blocks:  # the pair's right half exists
                if sibling not in self._waiting:
                    break
                other = self._waiting.pop(sibling)
                value = other.merge(value) if index & 1 else value.merge(other)
            level, index = level + 1, index >> 1
        self._waiting[level, index] = value

    def subtrees(self) -> list[Subtree[M]]:
        """What is merged so far, leftmost first."""
        held = sorted(self._waiting.items(), key=lambda item: item[0][1] << item[0][0])
        return [Subtree(level, index, value) for (level, index), value in held]

    def missing(self) -> list[Run]:
        """The blocks that are in no subtree yet, as runs."""
        gaps, reached = [], 0
        for subtree in self.subtrees():
            start, stop = subtree.blocks(self._n_blocks)
            gaps.append(Run(reached, start))
            reached = stop
        gaps.append(Run(reached, self._n_blocks))
        return [gap for gap in gaps if gap.start < gap.stop]

    def result(self) -> M:
        """The value of the whole tree.

        Raises
        ------
        RuntimeError
            If a block is missing: the accounting of rows would be wrong.
        """
        if set(self._waiting) != {(self._height, 0)}:
            raise RuntimeError(f"reduction over {self._n_blocks} blocks is incomplete")
        return self._waiting[self._height, 0]


@dataclass(frozen=True)
class SubtreeTask(Generic[M]):
    """One task of a reduction: blocks to values, merged into the subtrees inside the run."""

    leaves: Callable[[Run], Iterable[tuple[int, M]]]
    n_blocks: int

    def __call__(self, run: Run) -> list[Subtree[M]]:
        """Reduce one run of blocks."""
        reducer: TreeReducer[M] = TreeReducer(self.n_blocks)
        for block, value in self.leaves(run):
            if stopping.requested.is_set():
                raise StoppedError("stopped in the middle of a task")
            reducer.add(Subtree(0, block, value))
        return reducer.subtrees()


def split_runs(n_blocks: int, n_tasks: int, align: int = 1, start: int = 0) -> list[Run]:
    """At most `n_tasks` runs of near-equal length that start at multiples of `align` blocks.

    They cover blocks [start, start + n_blocks); `start` is such a multiple.
    """
    units = -(-n_blocks // align)
    n_runs = max(1, min(n_tasks, units))
    cuts = [start + min(i * units // n_runs * align, n_blocks) for i in range(n_runs + 1)]
    return [Run(a, b) for a, b in itertools.pairwise(cuts) if a < b]


def _split_gaps(gaps: Sequence[Run], n_tasks: int, align: int) -> list[Run]:
    """Runs over all gaps; each gap has its share of the tasks, at least one."""
    total = sum(gap.stop - gap.start for gap in gaps)
    runs = []
    for gap in gaps:
        length = gap.stop - gap.start
        runs += split_runs(length, -(-n_tasks * length // total), align, gap.start)
    return runs


#: Tasks per thread and pass: enough to balance and to show progress, few enough for the scheduler.
TASKS_PER_THREAD = 3
#: Blocks of one task at most: at 2 MiB each, some seconds of reading. A run that is killed goes on
#: from the last finished tasks of its pass, so that they must not take hours.
MOST_BLOCKS = 2048
#: A pass shorter than this is one task a thread: a task costs Dask some 5 ms, and there is nothing
#: to watch or to balance.
SHORT_PASS_S = 0.3


def tasks_per_thread(last_s: float) -> int:
    """Tasks a thread for a pass like one that took that many seconds; bits do not follow it."""
    return 1 if last_s < SHORT_PASS_S else TASKS_PER_THREAD


def map_reduce(
    executor: Executor,
    leaves: Callable[[Run], Iterable[tuple[int, M]]],
    n_blocks: int,
    *,
    align: int = 1,
    tasks: int = TASKS_PER_THREAD,
    most_blocks: int = MOST_BLOCKS,
    progress: PassProgress[M] | None = None,
) -> M:
    """Reduce `leaves` over all blocks; the same bits for any executor and any task size.

    Parameters
    ----------
    leaves
        Picklable; for a run yields (block, value) in order, one a block.
    n_blocks
        Leaves of the tree, at least 1.
    align
        Runs start at multiples of this many blocks.
    tasks
        Tasks for each thread.
    most_blocks
        Of one task: what is lost when a run is killed in it.
    progress
        Keeps what is finished and knows what an earlier attempt has finished: it is not done again.
    """
    reducer: TreeReducer[M] = TreeReducer(n_blocks)
    for subtree in progress.finished() if progress is not None else ():
        reducer.add(subtree)
    gaps = reducer.missing()
    n_tasks = max(executor.n_threads * tasks, -(-n_blocks // most_blocks))
    runs = _split_gaps(gaps, n_tasks, align) if gaps else []
    try:
        task = SubtreeTask(leaves, n_blocks)
        for _, subtrees in executor.run(task, runs, align=align) if runs else ():
            for subtree in subtrees:
                reducer.add(subtree)
            if progress is not None:
                progress.advanced(reducer.subtrees)
    except BaseException:
        if progress is not None:
            progress.interrupted(reducer.subtrees)
        raise
    return reducer.result()
