"""The summary pass over rows of several classes: one read, a summary of each class and fold.

Rows of each class and fold are summarised apart (a *cell*), and every summary that a fit needs is
that of some cells: of all rows of a class, of those outside a fold, of all that have a class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.classed_dataset import ClassedDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.row_block import RowBlock
from dgmm.data.summary.partial_summary import PartialSummary
from dgmm.data.summary.refusals import refuse_missing, refuse_outside
from dgmm.data.summary.summarise import Summary, finished
from dgmm.data.summary.uniform_sample import SampleRule
from dgmm.errors import DataError
from dgmm.mixture.backends import standardising_backend
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import map_reduce
from dgmm.reduction.tree import PassProgress

#: How often this pass and one of EM touch a number of the data, at least.
_TOUCHES = 4


@dataclass(frozen=True, slots=True)
class CellSummaries:
    """Summaries of the cells that some blocks have rows of, by the cell's number; a monoid."""

    cells: Mapping[int, PartialSummary]

    def merge(self, other: Self) -> Self:
        """These blocks followed by the others."""
        merged = dict(self.cells)
        for number, part in other.cells.items():
            merged[number] = merged[number].merge(part) if number in merged else part
        return type(self)(dict(sorted(merged.items())))


@dataclass(frozen=True, slots=True)
class Cells:
    """How rows are numbered into cells: class after class, fold after fold, the rest in the last.

    Attributes
    ----------
    n_classes, n_folds : int
        Classes, and folds, at least 1.
    """

    n_classes: int
    n_folds: int

    @property
    def rest(self) -> int:
        """The cell of rows of no known class."""
        return self.n_classes * self.n_folds

    def of(self, block: RowBlock) -> NDArray[np.int64]:
        """The cell of each row of a block, (b,)."""
        if (labels := block.labels) is None:
            raise RuntimeError("rows of classes were read without them")
        folds = 0 if labels.folds is None else labels.folds
        cells = labels.classes.astype(np.int64) * self.n_folds + folds
        return np.where(labels.classes < 0, self.rest, cells)

    def of_class(self, label: int, held_out: int | None = None) -> tuple[int, ...]:
        """The cells of a class, but for those of a fold."""
        folds = (f for f in range(self.n_folds) if f != held_out)
        return tuple(label * self.n_folds + fold for fold in folds)


@dataclass(frozen=True, slots=True, eq=False)
class ClassSummaries:
    """What the pass found; summaries of parts are made when they are asked for.

    Attributes
    ----------
    found : CellSummaries
    layout : Cells
    rules : tuple of SampleRule
        Of each class.
    sample_rows : tuple of (int, int)
        Rows of the sample of all classes, and of each.
    dataset : ClassedDataset
    """

    found: CellSummaries
    layout: Cells
    rules: tuple[SampleRule, ...]
    sample_rows: tuple[int, int]
    dataset: ClassedDataset

    @property
    def whole(self) -> Summary:
        """Of all rows, those of no known class included; its sample is of those that have one."""
        return self._of(self.found.cells, self.sample_rows[0])

    @property
    def labelled(self) -> Summary:
        """Of all rows of known classes, with a uniform sample of them."""
        own = [number for number in self.found.cells if number != self.layout.rest]
        least = min(rule.threshold for rule in self.rules)
        keys = [p.keys for n in own for p in self.found.cells[n].candidates.parts]
        below = sum(int(np.count_nonzero(k <= np.uint64(least - 1))) for k in keys)
        return self._of(own, max(min(self.sample_rows[0], below), 1))

    def of_class(self, label: int, held_out: int | None = None) -> Summary | None:
        """Of the rows of a class outside a fold; None where there are none."""
        own = [n for n in self.layout.of_class(label, held_out) if n in self.found.cells]
        return self._of(own, self.sample_rows[1]) if own else None

    def _of(self, numbers: Iterable[int], n_rows: int) -> Summary:
        part = self._merged(numbers)
        d, dtype = self.dataset.n_features, self.dataset.dtype
        return finished(part, part.candidates.smallest(n_rows, d, dtype))

    def _merged(self, numbers: Iterable[int]) -> PartialSummary:
        return reduce(PartialSummary.merge, (self.found.cells[n] for n in sorted(numbers)))


@dataclass(frozen=True, slots=True)
class _CellLeaves:
    dataset: ClassedDataset
    layout: Cells
    rules: tuple[SampleRule, ...]
    policy: MissingPolicy

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, CellSummaries]]:
        backend = standardising_backend(_TOUCHES * self.dataset.n_samples * self.dataset.n_features)
        for block in self.dataset.read_blocks(blocks):
            cells = self.layout.of(block)
            parts = {}
            for number in map(int, np.unique(cells)):
                rule = self.rules[min(number // self.layout.n_folds, len(self.rules) - 1)]
                own = (block, self.dataset, rule, backend, self.policy, cells == number)
                parts[number] = PartialSummary.of_block(*own)
            yield block.index, CellSummaries(parts)


def summarise_classes(
    dataset: ClassedDataset,
    executor: Executor,
    counts: NDArray[np.int64],
    *,
    missing: Literal["error", "drop", "marginalise"],
    sample_rows: tuple[int, int],
    seed: int,
    of_pass: Callable[[str], PassProgress[Any] | None] = lambda _: None,
    saved: Callable[[Callable[[], CellSummaries]], CellSummaries] = lambda make: make(),
) -> ClassSummaries:
    """Read all rows once.

    Parameters
    ----------
    dataset, executor
        What to read and where.
    counts : (C + 1, folds)
        Rows of each class and fold (`dgmm.data.classed_dataset.cell_counts`).
    missing
        As of `dgmm.data.summary.summarise`.
    sample_rows
        Size of the sample of all classes, and of that of each class.
    seed
        The job's seed.
    of_pass
        Gives what saves the finished parts of a pass, by the pass's name.
    saved
        Gives what the pass found: made now, or by an earlier attempt.

    Raises
    ------
    DataError
        If `missing` refuses a row, no row of a class is left, or a feature has no value.
    """
    n_classes, n_folds = len(counts) - 1, counts.shape[1]
    layout, policy = Cells(n_classes, n_folds), MissingPolicy(missing)
    # Of each fold's training rows the sample is as large as of all rows of the class.
    wanted = -(-sample_rows[1] * n_folds // max(n_folds - 1, 1))
    rules = tuple(
        SampleRule.expecting(wanted, int(n), seed) for n in counts[:n_classes].sum(axis=1)
    )
    leaves = _CellLeaves(dataset, layout, rules, policy)

    def read() -> CellSummaries:
        total: CellSummaries = map_reduce(
            executor, leaves, dataset.grid.n_blocks, progress=of_pass("summary")
        )
        return total

    found = saved(read)
    result = ClassSummaries(found, layout, rules, sample_rows, dataset)
    part = result._merged(found.cells)  # noqa: SLF001 - of this module
    if part.n_read != dataset.n_samples:
        raise RuntimeError(f"read {part.n_read} of {dataset.n_samples} rows")
    refuse_missing(part, dataset, policy)
    refuse_outside(part, dataset)
    if set(found.cells) <= {layout.rest}:
        raise DataError("no row has a class: expected the class of at least some rows")
    return result
