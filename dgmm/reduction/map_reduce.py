"""Map-reduce over blocks: tasks on an executor, their results merged in the fixed tree.

A *task* is a range of consecutive blocks. It returns the complete subtrees of the tree that lie
inside it, so that task size may follow the cluster while the order of every addition stays the
same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic

from dgmm.errors import StoppedError
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.tree import M, PassProgress, Subtree, TreeReducer
from dgmm.runtime import stop_flag

#: A block's number and value, or several consecutive blocks merged already.
Part = tuple[int, M] | Subtree[M]
#: Computes a range of blocks: yields its parts, in any order; picklable.
RangeTask = Callable[[BlockRange], Iterable[Part[M]]]


@dataclass(frozen=True)
class SubtreeTask(Generic[M]):
    """One task of a reduction: blocks to values, merged into the subtrees inside its range."""

    leaves: RangeTask[M]
    n_blocks: int

    def __call__(self, blocks: BlockRange) -> list[Subtree[M]]:
        """Reduce one range of blocks."""
        reducer: TreeReducer[M] = TreeReducer(self.n_blocks)
        for found in self.leaves(blocks):
            if stop_flag.requested.is_set():
                raise StoppedError("stopped in the middle of a task")
            reducer.add(found if isinstance(found, Subtree) else Subtree(0, *found))
        return reducer.subtrees()


def split_ranges(n_blocks: int, n_tasks: int, align: int = 1, start: int = 0) -> list[BlockRange]:
    """At most `n_tasks` ranges of near-equal length that start at multiples of `align` blocks.

    They cover blocks [start, start + n_blocks); `start` is such a multiple.
    """
    units = -(-n_blocks // align)
    n_ranges = max(1, min(n_tasks, units))
    bounds = [start + min(i * units // n_ranges * align, n_blocks) for i in range(n_ranges + 1)]
    return [BlockRange(a, b) for a, b in itertools.pairwise(bounds) if a < b]


def _split_gaps(gaps: Sequence[BlockRange], n_tasks: int, align: int) -> list[BlockRange]:
    """Ranges over all gaps; each gap has its share of the tasks, at least one."""
    total = sum(gap.stop - gap.start for gap in gaps)
    ranges = []
    for gap in gaps:
        length = gap.stop - gap.start
        ranges += split_ranges(length, -(-n_tasks * length // total), align, gap.start)
    return ranges


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
    leaves: RangeTask[M],
    n_blocks: int,
    *,
    align: int = 1,
    tasks: int = TASKS_PER_THREAD,
    most_blocks: int = MOST_BLOCKS,
    progress: PassProgress[M] | None = None,
) -> M:
    """Reduce `leaves` over all blocks; bit-identical for any executor and any task size.

    Parameters
    ----------
    leaves
        Picklable; yields the parts of a range, each block in one of them.
    n_blocks
        Leaves of the tree, at least 1.
    align
        Ranges start at multiples of this many blocks.
    tasks
        Tasks for each thread.
    most_blocks
        Of one task: what is lost when a run is killed in it.
    progress
        Saves what is finished, and knows what an earlier attempt has finished: it is not done
        again.
    """
    reducer: TreeReducer[M] = TreeReducer(n_blocks)
    for subtree in progress.finished() if progress is not None else ():
        reducer.add(subtree)
    gaps = reducer.missing()
    n_tasks = max(executor.n_threads * tasks, -(-n_blocks // most_blocks))
    ranges = _split_gaps(gaps, n_tasks, align) if gaps else []
    try:
        task = SubtreeTask(leaves, n_blocks)
        for _, subtrees in executor.run(task, ranges, align=align) if ranges else ():
            for subtree in subtrees:
                reducer.add(subtree)
            if progress is not None:
                progress.advanced(reducer.subtrees)
    except BaseException:
        if progress is not None:
            progress.interrupted(reducer.subtrees)
        raise
    return reducer.result()
