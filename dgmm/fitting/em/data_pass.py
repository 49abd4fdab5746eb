"""One pass over the data: blocks to the statistics of every candidate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.dataset import Dataset
from dgmm.data.forwarding_dataset import read_in_grid
from dgmm.data.missing_rows import MissingPolicy, SelectedRows
from dgmm.data.row_accounting import require_all_rows
from dgmm.data.row_block import RowBlock
from dgmm.errors import PoisonBlocksError
from dgmm.fitting.em.e_step_request import EStepRequest, SeenRows, seen
from dgmm.fitting.em.standardised_rows import StandardisedRows
from dgmm.mixture.backends import get
from dgmm.mixture.kernels import (
    BlockKernel,
    LeafSums,
    Workspace,
    Workspaces,
    e_step,
    leaves_together,
)
from dgmm.mixture.kernels.kernel_digest import digest_of_kernels
from dgmm.mixture.marginal import MarginalKernel, PreparedParts, marginal_e_step
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.reduction.blocks import BlockGrid, BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import Part, map_reduce, tasks_per_thread
from dgmm.reduction.task_size import most_blocks
from dgmm.reduction.tree import PassProgress, Subtree, merge_consecutive_sums

#: Raised where the bits of a pass's statistics change: parts of a pass that were saved before are
#: then done again, and never merged with others.
_ARITHMETIC = 3


@dataclass(frozen=True, slots=True, eq=False)
class PassStatistics:
    """What a pass returns: rows read and dropped, exactly, and one value a candidate.

    `backend` names what computed them, such as `numba`.
    """

    n_read: int
    n_dropped: int
    candidates: tuple[Statistics, ...]
    backend: frozenset[str] = frozenset()

    def merge(self, other: Self) -> Self:
        """These blocks followed by the others."""
        merged = (a.merge(b) for a, b in zip(self.candidates, other.candidates, strict=True))
        return type(self)(
            self.n_read + other.n_read,
            self.n_dropped + other.n_dropped,
            tuple(merged),
            self.backend | other.backend,
        )


@dataclass(frozen=True, slots=True, eq=False)
class EStepTask:
    """The E-step of all candidates over a range of leaves; picklable.

    Attributes
    ----------
    dataset, requests
        The rows, and what is asked of them.
    backend
        Name of what computes it (`dgmm.mixture.backends.select`), the same for all tasks; a
        request may name its own.
    missing
        What is done with rows that lack values.
    leaves
        How the rows are cut into leaves of the reduction: blocks, or parts of them; None is the
        data set's blocks.
    workspaces
        What tasks of this process work with, pass after pass; workers have their own.
    """

    dataset: Dataset
    requests: tuple[EStepRequest, ...]
    backend: str
    missing: MissingPolicy
    leaves: BlockGrid | None = None
    workspaces: Workspaces = field(default_factory=Workspaces)

    def __call__(self, leaves: BlockRange) -> Iterator[Part[PassStatistics]]:
        """Yield (leaf, its statistics), or those of several leaves as a subtree.

        A block is read once for all candidates. Where leaves are parts of blocks, two tasks may
        read the block that they share.
        """
        names = {request.backend for request in self.requests}
        with ExitStack() as stack:
            own = {
                name: stack.enter_context(self.workspaces.borrowed(get(name or self.backend)))
                for name in names
            }
            yield from self._found(leaves, own)

    def _found(
        self, leaves: BlockRange, workspaces: dict[str, Workspace]
    ) -> Iterator[Part[PassStatistics]]:
        prepared = PreparedParts()
        used = frozenset(workspace.backend.name for workspace in workspaces.values())
        if (together := self._together(leaves, next(iter(workspaces.values())))) is not None:
            for found in together:
                for level, index, merged in merge_consecutive_sums(found.first, found.arrays):
                    one = found.statistics(merged)
                    yield Subtree(level, index, PassStatistics(one.n_rows, 0, (one,), used))
            return
        for block in self._read(leaves):
            rows = self.missing.select(block, self.dataset)
            statistics = self._statistics(rows, block, workspaces, prepared)
            yield block.index, PassStatistics(rows.n_read, rows.n_dropped, statistics, used)

    def _together(self, leaves: BlockRange, workspace: Workspace) -> Iterator[LeafSums] | None:
        """Sums of several leaves a call; None where each needs a call of its own.

        They go together where one candidate takes all rows of an array in memory.
        """
        request, grid, dataset = self.requests[0], self.leaves or self.dataset.grid, self.dataset
        takes_all = request.rows is None and self.missing is MissingPolicy.NONE_MISSING
        if len(self.requests) > 1 or not takes_all or leaves.stop - leaves.start == 1:
            return None
        if type(dataset) is not ArrayDataset:  # a subclass may read otherwise
            return None
        values = dataset.rows_in_memory(*grid.rows_of_range(leaves))
        if values is None:
            return None
        columns = StandardisedRows.of(
            values, request.standardisation, request.kernel.dtype, workspace
        )
        rows, first = grid.rows_per_block, leaves.start
        return leaves_together(request.kernel, columns, rows, workspace, first)

    def _read(self, leaves: BlockRange) -> Iterator[RowBlock]:
        grid = self.dataset.grid
        if self.leaves is None or self.leaves == grid:
            return self.dataset.read_blocks(leaves)
        return read_in_grid(self.dataset, self.leaves, leaves)

    def _statistics(
        self,
        rows: SelectedRows,
        block: RowBlock,
        workspaces: dict[str, Workspace],
        prepared: PreparedParts,
    ) -> tuple[Statistics, ...]:
        """Statistics in the order of the requests; those that can share prepared rows."""
        groups: dict[tuple[Hashable, ...], list[int]] = {}
        for i, request in enumerate(self.requests):
            groups.setdefault(request.sharing, []).append(i)
        results: dict[int, Statistics] = {}
        for members in groups.values():
            requests = [self.requests[i] for i in members]
            own = seen(rows, block, requests[0])
            found = statistics_of(requests, own, workspaces[requests[0].backend], prepared)
            results.update(zip(members, found, strict=True))
        return tuple(results[i] for i in range(len(self.requests)))


def statistics_of(
    requests: list[EStepRequest], rows: SeenRows, workspace: Workspace, prepared: PreparedParts
) -> list[Statistics]:
    """Statistics of the rows that requests which share them see."""
    first, (values, weights, lacks) = requests[0], rows
    columns = StandardisedRows.of(values, first.standardisation, first.kernel.dtype, workspace)
    marginal, plain = list[MarginalKernel](), list[BlockKernel]()
    for request in requests:
        kernel = request.kernel
        if isinstance(kernel, MarginalKernel):
            marginal.append(kernel)
        else:
            plain.append(kernel)
    if marginal:  # `sharing` parts the two
        return marginal_e_step(
            *(marginal, values, weights, columns.some, workspace, prepared), lacks=lacks
        )
    return e_step(plain, columns, workspace, weights)


class EStepRunner:
    """The E-step of all candidates over all rows, every row accounted for.

    Parameters
    ----------
    dataset, executor
        The rows, and where passes over them run.
    backend
        What computes a pass, by its name.
    n_dropped
        Rows that the summary has left out for what they lack.
    n_partial
        Rows that count though they lack values.
    of_pass
        Gives who saves the finished parts of a pass, by its name; None where they are not saved.
    n_passes
        Passes made in earlier attempts; counts on from there.
    """

    def __init__(
        self,
        dataset: Dataset,
        executor: Executor,
        backend: str,
        *,
        n_dropped: int = 0,
        n_partial: int = 0,
        of_pass: Callable[[str], PassProgress[Any] | None] | None = None,
        n_passes: int = 0,
    ) -> None:
        self._dataset, self._executor, self._backend = dataset, executor, backend
        self._n_dropped, self._n_partial = n_dropped, n_partial
        # What a pattern of missing values costs, it costs in each leaf.
        self._leaves = dataset.grid if n_partial else dataset.grid.in_parts()
        self._of_pass, self.n_passes = of_pass, n_passes
        self._workspaces, self._last_s = Workspaces(), math.inf

    def __call__(self, requests: tuple[EStepRequest, ...]) -> PassStatistics:
        """Statistics of every candidate, from one read of the rows.

        Raises
        ------
        DataError
            If rows read and rows dropped are not those of the summary.
        """
        leaves = EStepTask(
            *(self._dataset, requests, self._backend),
            MissingPolicy.after_summary(self._n_dropped, self._n_partial),
            *(self._leaves, self._workspaces),
        )
        kernels = tuple(request.kernel for request in requests)
        begun, grid, threads = time.perf_counter(), self._leaves, self._executor.n_threads
        widths = sum(k.n_components * k.family.width(grid.n_features) for k in kernels)
        with self._blocks_named():
            total: PassStatistics = map_reduce(
                self._executor,
                leaves,
                grid.n_blocks,
                tasks=tasks_per_thread(self._last_s),
                most_blocks=most_blocks(4.0 * widths, 8 * widths, grid, threads),
                progress=None if self._of_pass is None else self._of_pass(self._name(requests)),
            )
        self._last_s = time.perf_counter() - begun
        self.n_passes += 1
        require_all_rows(total, self._dataset, self._n_dropped)
        return total

    def _name(self, requests: tuple[EStepRequest, ...]) -> str:
        """What tells this pass from every other.

        By its kernels too: a raised max_iter may ask for another pass of that number.
        """
        digest = digest_of_kernels([request.kernel for request in requests])
        filters = "".join(f" {r.rows!r}" for r in requests if r.rows is not None)
        cut = "" if self._leaves.n_parts == 1 else f" of {self._leaves.n_parts} parts a block"
        return f"em {self.n_passes} {digest}{filters}{cut} (arithmetic {_ARITHMETIC})"

    @contextmanager
    def _blocks_named(self) -> Iterator[None]:
        """An error names blocks, not the parts of them that end workers."""
        try:
            yield
        except PoisonBlocksError as error:
            rows = self._leaves.rows_of_range(BlockRange(*error.blocks))
            blocks = self._dataset.grid.range_of_rows(*rows)
            raise PoisonBlocksError(error.ended, blocks, None) from error
