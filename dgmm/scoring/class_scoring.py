"""The scoring pass of a classifier: class, posteriors and density of every row, in one read.

Rows of a fold are compared with the classifier that has not seen them in the same read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy, SelectedRows
from dgmm.data.row_block import RowBlock
from dgmm.data.row_labels import RowLabels
from dgmm.mixture.backends import get
from dgmm.mixture.kernels import Workspace
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import map_reduce
from dgmm.reduction.task_size import most_blocks
from dgmm.reduction.tree import PassProgress
from dgmm.scoring.class_posteriors import ClassPosteriors, class_posteriors
from dgmm.scoring.class_statistics import ClassStatistics, Evaluation, GroupSums
from dgmm.scoring.fill_values import filled_rows
from dgmm.scoring.output_registry import ScoredBlock
from dgmm.scoring.partial_rows import marginal_scorer, require_marginals
from dgmm.scoring.row_scores import ScoredMixture, score_block
from dgmm.scoring.scoring_pass import ChunkWriter, Products, chunk_blocks
from dgmm.scoring.scoring_statistics import ScoringStatistics

Array = NDArray[np.float64]


class ScoredClasses(Protocol):
    """What scoring needs of a classifier."""

    @property
    def mixtures(self) -> tuple[ScoredMixture, ...]:
        """One for each class."""

    @property
    def log_priors(self) -> Array:
        """Logarithms of the classes' probabilities, (C,)."""


@dataclass(frozen=True, slots=True, eq=False)
class _MixtureScorers:
    """Log densities of rows under the mixtures of all classes."""

    mixtures: tuple[ScoredMixture, ...]
    scorers: tuple[tuple[Scorer, Any], ...]
    workspace: Workspace

    @classmethod
    def of(cls, classes: ScoredClasses, workspace: Workspace) -> _MixtureScorers:
        """What a task prepares once."""
        own = (m.parameters for m in classes.mixtures)
        scorers = tuple((Scorer(p), marginal_scorer(p)) for p in own)
        return cls(classes.mixtures, scorers, workspace)

    def log_densities(self, rows: SelectedRows) -> Array:
        """(b, C), in the data's units; NaN in rows that are left out."""
        columns = [
            score_block(rows, scorer, self.workspace, mixture, None, marginal).block.log_density
            for mixture, (scorer, marginal) in zip(self.mixtures, self.scorers, strict=True)
        ]
        return np.column_stack(columns)


@dataclass(frozen=True, slots=True, eq=False)
class ClassRowWriter:
    """Scores a run of blocks by classes and writes its chunks; picklable."""

    dataset: Dataset
    classes: ScoredClasses
    folds: tuple[ScoredClasses, ...]
    products: Products
    missing: MissingPolicy
    backend: str

    def __call__(self, run: BlockRange) -> Iterator[tuple[int, ClassStatistics]]:
        """Yield (block, statistics); a chunk is on disk before its last block is yielded."""
        workspace = Workspace(get(self.backend))
        own = _MixtureScorers.of(self.classes, workspace)
        folds = [_MixtureScorers.of(fold, workspace) for fold in self.folds]
        per_chunk, writer = chunk_blocks(self.dataset.grid), self._writer()
        for block in self.dataset.read_blocks(run):
            rows = self.missing.select(block, self.dataset, weightless=True)
            log_densities = own.log_densities(rows)
            found = class_posteriors(log_densities, self.classes.log_priors)
            digests = writer.add(block.index, _scored_block(found, rows))
            if (block.index + 1) % per_chunk == 0 or block.index + 1 == run.stop:
                digests |= writer.flush()
            counted = _counted(rows, found, filled_rows(self.dataset, block, rows))
            total = _of_rows(block, log_densities, found, replace(counted, digests=digests))
            yield block.index, self._with_folds(total, block, folds)

    def _writer(self) -> ChunkWriter:
        return ChunkWriter(self.products, self.dataset.grid)

    def _with_folds(
        self, total: ClassStatistics, block: RowBlock, folds: list[_MixtureScorers]
    ) -> ClassStatistics:
        """The same with the rows of each fold compared with what has not seen them."""
        labels = block.labels
        if labels is None or labels.folds is None or not folds:
            return total
        for number, scorers in enumerate(folds):
            part = _rows_of(block, labels, labels.folds == number)
            if not len(part.values) or part.labels is None:
                continue
            rows = self.missing.select(part, self.dataset, weightless=True)
            log_densities = scorers.log_densities(rows)
            found = class_posteriors(log_densities, self.folds[number].log_priors)
            own = Evaluation.of(found, part.labels.classes)
            held_out = own if total.held_out is None else total.held_out.merge(own)
            total = replace(total, held_out=held_out)
            if part.labels.groups is not None:
                sums = GroupSums.of(log_densities, part.labels.groups, part.labels.classes)
                before = total.held_out_groups
                total = replace(
                    total, held_out_groups=sums if before is None else before.merge(sums)
                )
        return total


def class_scoring_pass(
    dataset: Dataset,
    executor: Executor,
    classes: ScoredClasses,
    folds: tuple[ScoredClasses, ...],
    products: Products,
    *,
    missing: MissingPolicy,
    backend: str,
    progress: PassProgress[ClassStatistics] | None = None,
) -> ClassStatistics:
    """Read all rows once, write all products, return exact statistics of the saved classifier.

    Parameters
    ----------
    dataset, executor
        What is read, with its classes where these are known, and where.
    classes, folds
        The saved classifier, and those that have not seen a fold each.
    products, missing, backend, progress
        As of `dgmm.scoring.scoring_pass.scoring_pass`.
    """
    for mixture in classes.mixtures:
        require_marginals(mixture.parameters, missing)
    leaves = ClassRowWriter(dataset, classes, folds, products, missing, backend)
    grid = dataset.grid
    components = sum(mixture.n_components for mixture in classes.mixtures)
    width = classes.mixtures[0].parameters.family.width(grid.n_features)
    return map_reduce(
        executor,
        leaves,
        grid.n_blocks,
        align=chunk_blocks(grid),
        most_blocks=most_blocks(4.0 * components * width, 8 * components, grid, executor.n_threads),
        progress=progress,
    )


def _scored_block(found: ClassPosteriors, rows: SelectedRows) -> ScoredBlock:
    """As output arrays take it: labels are classes."""
    return ScoredBlock(
        labels=found.classes,
        max_posterior=found.largest.astype(np.float32),
        log_density=found.log_density,
        anomaly=None,
        posteriors=found.posteriors,
        complete=rows.mask,
        completed_log_density=found.log_density,
    )


def _counted(rows: SelectedRows, found: ClassPosteriors, n_filled: int) -> ScoringStatistics:
    known = found.log_density if rows.mask is None else found.log_density[rows.mask]
    finite = np.isfinite(known)
    own = found.posteriors[found.classes >= 0]
    logs = np.log(np.maximum(own, np.finfo(np.float64).tiny))
    return ScoringStatistics(
        n_read=rows.n_read,
        n_dropped=rows.n_dropped,
        n_underflowed=len(known) - int(np.count_nonzero(finite)),
        log_likelihood=float(known[finite].sum()),
        entropy=-float((own * logs).sum()),
        label_counts=np.bincount(
            found.classes[found.classes >= 0], minlength=found.posteriors.shape[1]
        ),
        n_filled=n_filled,
        n_empty=rows.n_empty,
        n_incomplete=rows.n_incomplete,
    )


def _of_rows(
    block: RowBlock, log_densities: Array, found: ClassPosteriors, scoring: ScoringStatistics
) -> ClassStatistics:
    labels = block.labels
    if labels is None:
        labels = RowLabels(np.full(len(block.values), -1, np.int32))
    groups = None
    if labels.groups is not None:
        groups = GroupSums.of(log_densities, labels.groups, labels.classes)
    return ClassStatistics(
        scoring,
        Evaluation.of(found, labels.classes),
        int(np.count_nonzero(labels.classes < 0)),
        groups=groups,
    )


def _rows_of(block: RowBlock, labels: RowLabels, mask: NDArray[np.bool_]) -> RowBlock:
    """Some rows of a block; their numbers are no longer those of the data."""
    groups = None if labels.groups is None else labels.groups[mask]
    own = RowLabels(labels.classes[mask], groups)
    weights = None if block.weights is None else block.weights[mask]
    return RowBlock(block.index, block.start, block.values[mask], weights, labels=own)
