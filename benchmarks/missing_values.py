"""Passes over rows with missing values, × a pass over the same rows without: compiled code.

Patterns are drawn first and rows take them in turn, so that each has as many. Both sides run
alternately, and ratios of pairs are told. Rows are in memory, standardised; a task is all blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import Side, alternate, ratio_of_pairs, seconds
from benchmarks.results import Results
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.data.summary.missing_patterns import MissingPatterns
from dgmm.fitting.em.data_pass import EStepTask
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.fitting.missing_cost import MissingCost
from dgmm.mixture.covariance import family_named
from dgmm.mixture.kernels import Guard, Kernel, choose
from dgmm.mixture.marginal import MarginalKernel
from dgmm.mixture.parameters import Parameters
from dgmm.reduction.blocks import BlockGrid, BlockRange

Array = NDArray[np.float64]

#: Every row lacks values of its own.
EACH_ITS_OWN = 0
_BUDGET_S = 12.0


@dataclass(frozen=True, slots=True)
class Case:
    """A family, sizes, patterns, the share of values that a pattern lacks, and the goal."""

    family: str
    d: int
    k: int
    patterns: int
    share: float
    goal: float | None
    blocks: int = 4

    def __str__(self) -> str:
        rows = "each row its own" if self.patterns == EACH_ITS_OWN else f"{self.patterns} patterns"
        return f"d = {self.d}, k = {self.k}, {rows}, {self.share:.0%} missing"


CASES = (
    *(Case("full", d, k, 8, 0.3, 2.5) for d, k in ((8, 8), (27, 16), (64, 16))),
    *(Case("full", d, k, 50, 0.3, 6.0) for d, k in ((8, 8), (27, 16))),
    Case("full", 64, 16, 50, 0.3, None),  # blocks of 4,096 rows: the goal is set for 8,192
    *(Case("diag", 27, 16, n, 0.3, 1.8) for n in (8, EACH_ITS_OWN)),
    *(Case("spherical", 27, 16, n, 0.3, 2.5) for n in (8, EACH_ITS_OWN)),
    Case("tied", 27, 16, 8, 0.3, 5.0),
    Case("full", 27, 16, EACH_ITS_OWN, 0.1, 25.0, blocks=1),
)


def run(results: Results) -> None:
    """Every case."""
    for case in CASES:
        marginal, plain = _sides(case, 1 if results.is_trial else case.blocks)
        for side in (marginal, plain):
            side()
        budget = 0.0 if results.is_trial else _BUDGET_S
        slow, fast = alternate([marginal, plain], budget=budget, least=1 if results.is_trial else 3)
        ratio = ratio_of_pairs(slow, fast)
        estimate = planned(case)
        within = "within" if 0.5 <= ratio / estimate <= 2.0 else "not within"
        results.measured(
            *(case.family, str(case), ratio, "×"),
            goal=case.goal,
            at_least=False,
            note=f"plan said {estimate:.3g} ×: {within} 2 × of it",
            detail={"planned": estimate},
        )


def planned(case: Case) -> float:
    """What `dgmm plan` says that such rows cost."""
    grid = ArrayDataset(np.zeros((1, case.d))).grid
    n = grid.rows_per_block * case.blocks
    missing = _missing(case, n, np.random.default_rng(0))
    patterns = MissingPatterns.of_rows(np.where(missing, np.nan, 0.0))
    lacks = float(missing.sum()) / patterns.n_partial
    family, rows = family_named(case.family), BlockGrid(n, case.d)
    return MissingCost.of(family, case.k, patterns, rows, by_row=lacks).factor


def _sides(case: Case, n_blocks: int) -> tuple[Side, Side]:
    """The pass with missing values, and the one without."""
    rng = np.random.default_rng(0)
    rows_of_a_block = ArrayDataset(np.zeros((1, case.d))).grid.rows_per_block
    X = rng.normal(size=(rows_of_a_block * n_blocks, case.d))
    gaps = np.where(_missing(case, len(X), rng), np.nan, X)
    p, far = _parameters(case, rng), Guard.of_range(X.min(axis=0), X.max(axis=0))
    known = choose(p, far, with_scatter=False)
    return _side(gaps, MarginalKernel.of(p, far)), _side(X, known)


def _missing(case: Case, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    number = case.patterns or n
    patterns = rng.uniform(size=(number, case.d)) < case.share
    patterns[np.arange(number), rng.integers(case.d, size=number)] = False
    return patterns[np.arange(n) % number]


def _parameters(case: Case, rng: np.random.Generator) -> Parameters:
    family, k, d = family_named(case.family), case.k, case.d
    shape = family.covariance_shape(k, d)
    is_matrix = len(shape) > 1 and shape[-2:] == (d, d)
    covariances = np.broadcast_to(np.eye(d), shape) if is_matrix else np.ones(shape)
    means = rng.normal(size=(k, d))
    return Parameters.of(family, np.full(k, 1 / k), means, np.array(covariances))


def _side(X: Array, kernel: Kernel | MarginalKernel) -> Side:
    dataset, units = ArrayDataset(X), Standardisation.identity(X.shape[1])
    policy = MissingPolicy.MARGINALISE
    if not isinstance(kernel, MarginalKernel):
        policy = MissingPolicy.NONE_MISSING
    task = EStepTask(dataset, (EStepRequest(kernel, units),), "numba", policy)
    blocks = BlockRange(0, dataset.grid.n_blocks)
    return lambda: [seconds(lambda: list(task(blocks)))]
