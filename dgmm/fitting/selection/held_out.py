"""The log-likelihood of rows that a model has not seen, of several models, from one read.

Each row is scored by the models that were fitted without its fold, so that every row counts once.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy, SelectedRows
from dgmm.data.row_accounting import require_all_rows
from dgmm.data.row_block import RowBlock
from dgmm.fitting.iterate import ModelKey
from dgmm.fitting.selection.folds import Folds
from dgmm.fitting.selection.held_out_sums import HeldOutRows, HeldOutSums
from dgmm.mixture.backends import get
from dgmm.mixture.kernels import Workspace
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.model.mixture_model import MixtureModel
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import map_reduce
from dgmm.reduction.task_size import most_blocks
from dgmm.reduction.tree import PassProgress
from dgmm.scoring.row_scores import score_block

Array = NDArray[np.float64]

#: Log densities that are held at once, at most, where that is not fewer rows than the second.
_MOST_NUMBERS, _LEAST_ROWS = 2**19, 256


class FoldModel(NamedTuple):
    """A mixture that was fitted without one fold, and the name of what computes its densities."""

    model: MixtureModel
    backend: str


class Difference(NamedTuple):
    """By how much a model's held-out log-likelihood is below another's, nats per row."""

    mean: float
    standard_error: float


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Held-out log-likelihoods of models.

    Attributes
    ----------
    models
        What tells them apart, in the order of the sums.
    sums
        Over all rows.
    failed
        Why models that could not be fitted without one of the folds are not among them, by name.
    """

    models: tuple[ModelKey, ...]
    sums: HeldOutSums
    failed: Mapping[str, str] = field(default_factory=dict)

    def mean(self, model: ModelKey) -> float:
        """Log-likelihood of a row that a model has not seen, nats; NaN where it is not known."""
        if model not in self.models:
            return math.nan
        total = self.sums.log_likelihood[:, self.models.index(model)].sum()
        return float(total / self.sums.weight.sum())

    def by_fold(self, model: ModelKey) -> list[float]:
        """The same of each fold's rows."""
        own = self.sums.log_likelihood[:, self.models.index(model)] / self.sums.weight
        return [float(value) for value in own]

    def below(self, model: ModelKey, best: ModelKey) -> Difference:
        """By how much one model is below another, with the standard error of that."""
        a, b = self.models.index(best), self.models.index(model)
        mean = self.mean(best) - self.mean(model)
        sums, n = self.sums, self.sums.n_groups
        Q, products = sums.squares, sums.products
        squares = Q[a, a] + Q[b, b] - 2.0 * Q[a, b]
        about_mean = squares - 2.0 * mean * (products[a] - products[b])
        about_mean += mean**2 * sums.square_weight
        share = n / (n - 1) if n > 1 else math.inf
        error = math.sqrt(max(float(about_mean), 0.0) * share) / float(sums.weight.sum())
        return Difference(mean, 0.0 if a == b else error)


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutTask:
    """Scores rows by the models of their folds; picklable.

    Attributes
    ----------
    dataset
        The rows.
    models
        Those of each fold, in the same order.
    folds
        Which rows are in which.
    missing
        What is done with missing values.
    counts_are_rows
        Whether weights are counts.
    """

    dataset: Dataset
    models: tuple[tuple[FoldModel, ...], ...]
    folds: Folds
    missing: MissingPolicy
    counts_are_rows: bool

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, HeldOutSums]]:
        """Yield (block, its sums)."""
        names = {one.backend for fold in self.models for one in fold}
        workspaces = {name: Workspace(get(name)) for name in names}
        scorers = [
            [_FoldScorer(one.model, workspaces[one.backend]) for one in fold]
            for fold in self.models
        ]
        for block in self.dataset.read_blocks(blocks):
            yield block.index, self._of_block(block, scorers)

    def _of_block(self, block: RowBlock, scorers: list[list[_FoldScorer]]) -> HeldOutSums:
        rows = self.missing.select(block, self.dataset)
        numbers = np.arange(block.start, block.stop)
        numbers = numbers if rows.mask is None else numbers[rows.mask]
        n = max(_MOST_NUMBERS // len(self.models[0]), _LEAST_ROWS)
        parts = [
            self._of_rows(rows, slice(start, start + n), numbers[start : start + n], scorers)
            for start in range(0, max(len(numbers), 1), n)
        ]
        total = parts[0]
        for part in parts[1:]:
            total = total.merge(part)
        return total.of_block(rows.n_read, rows.n_dropped)

    def _of_rows(
        self,
        rows: SelectedRows,
        place: slice,
        numbers: NDArray[np.int64],
        scorers: list[list[_FoldScorer]],
    ) -> HeldOutSums:
        """Sums of some of the rows that count, (b,) of these numbers."""
        values, lacks = rows.values[place], rows.lacks[place]
        folds = self.folds.of_rows(numbers)
        found = np.empty((len(self.models[0]), len(values)))
        for fold, own in enumerate(scorers):
            mask = folds == fold
            if mask.any():
                few = values[mask]
                lacking = lacks[mask] if lacks[mask].any() else None
                for i, scorer in enumerate(own):
                    found[i, mask] = scorer.log_density(few, lacking)
        held_out = HeldOutRows(
            log_density=found,
            folds=folds,
            groups=numbers // self.folds.fold_rows,
            weights=None if rows.weights is None else rows.weights[place],
            are_whole=self.folds.fold_rows == 1,
            are_counts=self.counts_are_rows,
        )
        return HeldOutSums.of_rows(held_out, self.folds.n_folds)


class _FoldScorer:
    """Log densities under one model."""

    def __init__(self, model: MixtureModel, workspace: Workspace) -> None:
        self._model, self._workspace = model, workspace
        self._scorer = Scorer(model.parameters)

    def log_density(self, values: NDArray[Any], lacking: NDArray[np.bool_] | None) -> Array:
        """Of rows (b, d), nats in user units; those that lack values by what they have."""
        rows = SelectedRows(values, None, None, lacking, len(values))
        # What is prepared for a pattern of missing values is not kept: there are many models.
        scored = score_block(rows, self._scorer, self._workspace, self._model, None)
        return scored.block.log_density


def held_out(
    dataset: Dataset,
    executor: Executor,
    models: Mapping[ModelKey, Sequence[FoldModel]],
    folds: Folds,
    *,
    missing: MissingPolicy,
    n_dropped: int,
    counts_are_rows: bool,
    of_pass: Callable[[str], PassProgress[HeldOutSums] | None],
) -> HeldOut:
    """Score every row by the models that have not seen its fold, in one read.

    Parameters
    ----------
    dataset, executor
        The rows, and where the pass runs.
    models
        Of each model those of the folds, in order.
    folds
        Which rows are in which.
    missing, n_dropped
        What is done with missing values, and how many rows are left out for it.
    counts_are_rows
        Whether weights are counts.
    of_pass
        Gives who saves the finished parts of the pass, by its name.
    """
    by_fold = tuple(zip(*models.values(), strict=True))
    task = HeldOutTask(dataset, by_fold, folds, missing, counts_are_rows)
    grid, first = dataset.grid, by_fold[0]
    flops = 4.0 * sum(
        one.model.n_components * one.model.parameters.family.width(grid.n_features) for one in first
    )
    total = map_reduce(
        executor,
        task,
        grid.n_blocks,
        most_blocks=most_blocks(flops, 8 * len(first) ** 2, grid, executor.n_threads),
        progress=of_pass(f"held out {_digest(by_fold)} {folds!r}"),
    )
    require_all_rows(total, dataset, n_dropped)
    return HeldOut(tuple(models), total.finished())


def _digest(models: tuple[tuple[FoldModel, ...], ...]) -> str:
    """What tells these models from those of another pass."""
    digest = hashlib.sha256()
    for model, backend in (one for fold in models for one in fold):
        p = model.parameters
        digest.update(backend.encode())
        for array in (p.weights, p.means, p.covariances):
            digest.update(array.tobytes())
    return digest.hexdigest()[:16]
