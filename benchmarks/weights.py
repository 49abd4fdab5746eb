"""Passes over weighted rows, × a pass over the same rows without weights: compiled code.

Both sides run alternately; a figure is the median ratio of pairs. Rows are in memory, standardised;
a task is all blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import Side, alternate, ratio_of_pairs, seconds
from benchmarks.results import Results
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.data.weighted_dataset import WeightedDataset
from dgmm.fitting.em.data_pass import EStepTask
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.mixture.covariance import family_named
from dgmm.mixture.kernels import Guard, Kernel, choose
from dgmm.mixture.parameters import Parameters
from dgmm.reduction.blocks import BlockRange

_BUDGET_S, _BLOCKS, _GOAL = 6.0, 4, 1.05


@dataclass(frozen=True, slots=True)
class Case:
    """A family and sizes."""

    family: str
    d: int
    k: int

    def __str__(self) -> str:
        return f"d = {self.d}, k = {self.k}"


CASES = (
    Case("full", 8, 8),
    Case("full", 16, 32),
    Case("full", 27, 16),
    Case("tied", 27, 16),
    Case("diag", 27, 16),
    Case("spherical", 27, 16),
)


def run(results: Results) -> None:
    """Every case."""
    for case in CASES:
        weighted, plain = _sides(case, 1 if results.is_trial else _BLOCKS)
        for side in (weighted, plain):
            side()
        budget = 0.0 if results.is_trial else _BUDGET_S
        slow, fast = alternate([weighted, plain], budget=budget, least=1 if results.is_trial else 5)
        ratio = ratio_of_pairs(slow, fast)
        results.measured(case.family, str(case), ratio, "×", goal=_GOAL, at_least=False)


def _sides(case: Case, n_blocks: int) -> tuple[Side, Side]:
    """The pass with weights, and the one without."""
    rng = np.random.default_rng(0)
    grid = ArrayDataset(np.zeros((1, case.d))).grid
    X = rng.normal(size=(grid.rows_per_block * n_blocks, case.d))
    w = rng.integers(1, 6, size=(len(X), 1)).astype(np.float64)
    rows = ArrayDataset(X)
    total = float(w.sum())
    weighted = WeightedDataset(rows, ArrayDataset(w), "counts", total=total)
    kernel = _kernel(case, X, rng)
    return _side(weighted, kernel, case.d), _side(rows, kernel, case.d)


def _kernel(case: Case, X: NDArray[np.float64], rng: np.random.Generator) -> Kernel:
    family, k, d = family_named(case.family), case.k, case.d
    shape = family.covariance_shape(k, d)
    is_matrix = len(shape) > 1 and shape[-2:] == (d, d)
    covariances = np.array(np.broadcast_to(np.eye(d), shape) if is_matrix else np.ones(shape))
    p = Parameters.of(family, np.full(k, 1 / k), rng.normal(size=(k, d)), covariances)
    return choose(p, Guard.of_range(X.min(axis=0), X.max(axis=0)), with_scatter=False)


def _side(dataset: Dataset, kernel: Kernel, d: int) -> Side:
    request = EStepRequest(kernel, Standardisation.identity(d))
    task = EStepTask(dataset, (request,), "numba", MissingPolicy.NONE_MISSING)
    blocks = BlockRange(0, dataset.grid.n_blocks)
    return lambda: [seconds(lambda: list(task(blocks)))]
