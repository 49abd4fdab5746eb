"""What the fits of one fold begin with: the data without that fold's rows.

Units and regularisation are those of all rows: standardising is affine, so that likelihood does not
depend on it. All else (the sample that starts are drawn from, which EM re-seeds lost components
from and priors are estimated from, and the numbers of rows) is of the rows outside the fold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.summary.summarise import Summary
from dgmm.errors import DataError
from dgmm.fitting.choice_of_inference import with_inference
from dgmm.fitting.em.saved_progress import SavedProgress
from dgmm.fitting.inference import MAXIMUM_LIKELIHOOD
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.selection.folds import Folds, OutsideFold
from dgmm.fitting.settings import FitSettings
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import map_reduce

Array = NDArray[np.float64]

#: Rows whose folds are found at a time where no data are read for it.
_ROWS_AT_ONCE = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class FoldCounts:
    """Rows that count in each fold (F,), and their weights (F,); a monoid."""

    n_rows: NDArray[np.int64]
    weight: Array

    @classmethod
    def of(cls, folds: NDArray[np.int64], n_folds: int, weights: Array | None = None) -> FoldCounts:
        """Of rows in these folds (b,)."""
        n_rows = np.bincount(folds, minlength=n_folds)
        if weights is None:
            return cls(n_rows, n_rows.astype(np.float64))
        weight = np.bincount(folds, weights=weights, minlength=n_folds)
        return cls(n_rows, weight.astype(np.float64))

    def merge(self, other: FoldCounts) -> FoldCounts:
        """Of these rows and the others."""
        return FoldCounts(self.n_rows + other.n_rows, self.weight + other.weight)


@dataclass(frozen=True, slots=True, eq=False)
class CountingTask:
    """Counts the rows of each fold, block by block; picklable."""

    dataset: Dataset
    folds: Folds
    missing: MissingPolicy

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, FoldCounts]]:
        """Yield (block, its counts)."""
        for block in self.dataset.read_blocks(blocks):
            rows = self.missing.select(block, self.dataset)
            own = self.folds.of_block(block)
            own = own if rows.mask is None else own[rows.mask]
            yield block.index, FoldCounts.of(own, self.folds.n_folds, rows.weights)


def fold_counts(
    dataset: Dataset,
    executor: Executor,
    folds: Folds,
    summary: Summary,
    progress: SavedProgress,
) -> FoldCounts:
    """Rows in each fold; the data are read for it only where not all count, or not alike.

    Raises
    ------
    DataError
        If a fold has no row.
    """

    def counted() -> FoldCounts:
        if summary.n_dropped == 0 and summary.sum_of_weights is None:
            return _without_reading(folds, dataset.n_samples)
        missing = MissingPolicy.after_summary(summary.n_dropped, summary.n_partial)
        task, n_blocks = CountingTask(dataset, folds, missing), dataset.grid.n_blocks
        own = progress.of_pass(f"count {folds!r}")
        found: FoldCounts = map_reduce(executor, task, n_blocks, progress=own)
        return found

    found = progress.once("fold-counts", counted)
    if (empty := np.flatnonzero(found.n_rows == 0)).size:
        raise DataError(
            f"fold {empty[0]} of {folds.n_folds} has no row of the {int(found.n_rows.sum()):,} "
            "that count: lower selection.folds or selection.fold_rows"
        )
    return found


def _without_reading(folds: Folds, n_samples: int) -> FoldCounts:
    total = FoldCounts.of(np.empty(0, np.int64), folds.n_folds)
    for start in range(0, n_samples, _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, n_samples))
        total = total.merge(FoldCounts.of(folds.of_rows(rows), folds.n_folds))
    return total


def outside_fold(
    prepared: Sequence[PreparedFit],
    models: Sequence[FitSettings],
    folds: Folds,
    fold: int,
    counts: FoldCounts,
) -> list[PreparedFit]:
    """What models are fitted with to the rows outside a fold; common parts are one object.

    Parameters
    ----------
    prepared, models
        Those of all rows, and what is asked for.
    folds, fold
        Which rows are left out.
    counts
        Rows in each fold.
    """
    seen = OutsideFold(folds, fold)  # one object: candidates that share it share prepared rows
    summary = _summary(prepared[0].summary, folds, fold, counts)
    is_own = folds.of_rows(prepared[0].summary.sample_numbers) != fold
    known: dict[int, Array] = {}

    def own_rows(rows: Array) -> Array:
        if id(rows) not in known:
            known[id(rows)] = rows[is_own]
        return known[id(rows)]

    found = []
    for whole, settings in zip(prepared, models, strict=True):
        sample = own_rows(whole.sample)
        observed = None if whole.observed is None else own_rows(whole.observed)
        policy = replace(
            whole.problem.collapse, sample=sample, weights=summary.sample_weights, observed=observed
        )
        problem = replace(whole.problem, rows=seen, collapse=policy, inference=MAXIMUM_LIKELIHOOD)
        own = replace(whole, summary=summary, sample=sample, observed=observed, problem=problem)
        found.append(with_inference(own, settings))
    return found


def _summary(whole: Summary, folds: Folds, fold: int, counts: FoldCounts) -> Summary:
    """That of all rows, with the sample and the numbers of rows outside the fold."""
    is_own = folds.of_rows(whole.sample_numbers) != fold
    weight = float(counts.weight.sum() - counts.weight[fold])
    drawn = whole.sample_weights
    return replace(
        whole,
        n_kept=int(counts.n_rows.sum() - counts.n_rows[fold]),
        sample=whole.sample[is_own],
        sample_numbers=whole.sample_numbers[is_own],
        sample_weights=None if drawn is None else drawn[is_own],
        sum_of_weights=None if whole.sum_of_weights is None else weight,
    )
