"""Scores of every row as arrays in memory: the scoring pass for those who can hold its results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import REMEDY, MissingPolicy, empty_rows_warning
from dgmm.mixture.backends import uncached_warnings
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import TASKS_PER_THREAD, split_ranges
from dgmm.scoring.block_scorer import BlockScorer
from dgmm.scoring.fill_values import filled_rows
from dgmm.scoring.output_registry import row_output
from dgmm.scoring.partial_rows import require_marginals
from dgmm.scoring.row_scores import ScoredMixture, select_scoring_backend

#: Name of the rows' weights beside their scores.
WEIGHTS = "weights"


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """Scores the blocks of a range into arrays over all rows, each task its own part of them.

    Handed back instead, they would be copied by one thread while the others have ended.
    """

    dataset: Dataset
    model: ScoredMixture
    names: tuple[str, ...]
    out: dict[str, NDArray[Any]]
    missing: MissingPolicy
    remedy: str
    backend: str

    def __call__(self, blocks: BlockRange) -> tuple[int, int]:
        """How many rows have a cell equal to the fill value, and how many no value at all."""
        outputs = [row_output(name) for name in self.names]
        score = BlockScorer(
            *(self.dataset, self.model, self.missing, self.backend),
            np.float64 if any(o.needs_posteriors for o in outputs) else None,
            remedy=self.remedy,
            impute=any(o.is_per_feature for o in outputs),
            merge=any(o.needs_clusters for o in outputs),
        )
        n_filled, n_empty, grid = 0, 0, self.dataset.grid
        for block in self.dataset.read_blocks(blocks):
            scored = score(block)
            n_filled += filled_rows(self.dataset, block, scored.rows)
            n_empty += scored.rows.n_empty
            rows = slice(*grid.rows(block.index))
            for output in outputs:
                self.out[output.name][rows] = output.values(scored.block)
            if block.weights is not None:
                self._weights()[rows] = block.weights
            del scored  # its posteriors, before those of the next block
        return n_filled, n_empty

    def _weights(self) -> NDArray[Any]:
        """The array of all rows' weights, which the first task that needs it makes."""
        found = self.out.get(WEIGHTS)
        if found is None:  # two may come here; `setdefault` keeps the first one's
            found = self.out.setdefault(WEIGHTS, np.ones(self.dataset.n_samples))
        return found

    def __reduce__(self) -> NoReturn:
        raise TypeError("scores in memory are written by threads of this process, not by workers")


def scores(
    dataset: Dataset,
    executor: Executor,
    model: ScoredMixture,
    names: tuple[str, ...],
    *,
    missing: MissingPolicy = MissingPolicy.ERROR,
    remedy: str = REMEDY,
    backend: str = "auto",
    warn: Callable[[str], None] | None = None,
) -> dict[str, NDArray[Any]]:
    """Arrays over all rows: `labels` (n,), `max_posterior` (n,), `log_density` (n,),
    `responsibilities` (n, k); and `weights` (n,) where the rows have any.

    Parameters
    ----------
    dataset, executor, model
        What is scored, on threads of this process, with what.
    names
        Which arrays.
    missing
        What is done with missing values; rows that are left out get label −1 and NaN scores.
    remedy
        End of that error's message.
    backend
        What computes: `auto`, `numpy` or `numba`.
    warn
        Hears what a user should know of the rows.

    Raises
    ------
    DataError
        If `missing` refuses a row, or a value is one that stands for missing.
    """
    require_marginals(model.parameters, missing)
    computed_by = select_scoring_backend(backend, model, dataset, executor)
    if warn is not None:
        for text in uncached_warnings(computed_by):
            warn(text)
    out = _empty_arrays(dataset, model, names)
    task = _Scores(dataset, model, names, out, missing, remedy, computed_by)
    runs = split_ranges(dataset.grid.n_blocks, executor.n_threads * TASKS_PER_THREAD)
    counts = [found for _, found in executor.run(task, runs)]
    n_filled, n_empty = (sum(own) for own in zip(*counts, strict=True))
    if warn is not None:
        for text in _warnings_of_rows(dataset, missing, n_filled, n_empty):
            warn(text)
    return out


def _empty_arrays(
    dataset: Dataset, model: ScoredMixture, names: tuple[str, ...]
) -> dict[str, NDArray[Any]]:
    """The named arrays over all rows, still to be written."""
    sizes = model.parameters.n_labels, dataset.n_features
    out: dict[str, NDArray[Any]] = {}
    for output in map(row_output, names):
        dtype = np.float64 if output.needs_posteriors else output.dtype
        out[output.name] = np.empty((dataset.n_samples, *output.shape(*sizes)), dtype)
    return out


def _warnings_of_rows(
    dataset: Dataset, missing: MissingPolicy, n_filled: int, n_empty: int
) -> Iterator[str]:
    """What a user should know of cells that may stand for missing values, and of empty rows."""
    if n_filled and dataset.fill_value is not None:
        yield dataset.fill_value.scored_warning(n_filled, dataset.n_samples)
    if n_empty and missing is not MissingPolicy.DROP:
        yield empty_rows_warning(n_empty, dataset.n_samples)
