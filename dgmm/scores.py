"""Scores of every row as arrays in memory: the last walk for those who can hold its results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.blocks import Run
from dgmm.data.dataset import Dataset
from dgmm.execution.executor import TASKS_PER_THREAD, Executor, split_runs
from dgmm.kernels import Workspace
from dgmm.kernels.scoring import Scorer
from dgmm.model import MixtureModel
from dgmm.row_scores import LAYOUT, refuse_missing, score_block


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """The named arrays of a run of blocks; picklable."""

    dataset: Dataset
    model: MixtureModel
    names: tuple[str, ...]
    drop: bool

    def __call__(self, run: Run) -> dict[str, NDArray[Any]]:
        scorer, workspace = Scorer(self.model.parameters), Workspace()
        posteriors = np.float64 if "responsibilities" in self.names else None
        parts: list[dict[str, NDArray[Any]]] = []
        for block, rows in self.dataset.read_blocks(run):
            if not self.drop:
                refuse_missing(self.dataset, self.dataset.grid.rows(block)[0], rows)
            parts.append(
                score_block(rows, scorer, workspace, self.model, self.drop, posteriors).values
            )
        return {name: np.concatenate([p[name] for p in parts]) for name in self.names}


def scores(
    dataset: Dataset,
    executor: Executor,
    model: MixtureModel,
    names: tuple[str, ...],
    *,
    drop: bool = False,
) -> dict[str, NDArray[Any]]:
    """Arrays over all rows: `labels` (n,), `max_posterior` (n,), `log_density` (n,),
    `responsibilities` (n, k).

    Parameters
    ----------
    dataset, executor, model
        What is scored, where, with what.
    names
        Which arrays.
    drop
        Rows with missing values get label −1 and NaN scores; otherwise they are an error.

    Raises
    ------
    DataError
        If a value is not finite and `drop` is off.
    """
    grid = dataset.grid
    out = {}
    for name in names:
        wide = (model.n_components,) if name == "responsibilities" else ()
        dtype = np.float64 if wide else LAYOUT[name][0]
        out[name] = np.empty((dataset.n_samples, *wide), dtype)
    runs = split_runs(grid.n_blocks, executor.n_threads * TASKS_PER_THREAD)
    for run, part in executor.run(_Scores(dataset, model, names, drop), runs):
        start, stop = grid.rows_of_run(run)
        for name, values in part.items():
            out[name][start:stop] = values
    return out
