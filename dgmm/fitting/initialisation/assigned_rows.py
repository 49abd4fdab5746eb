"""Where EM begins if it is known which component rows belong to: an M-step over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.row_block import RowBlock
from dgmm.data.standardisation import Standardisation
from dgmm.errors import DataError
from dgmm.mixture.covariance.family import Array, Family
from dgmm.mixture.parameters import Parameters, m_step
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import map_reduce

#: Responsibilities (k, b) of the rows of a block, all 0 where none is known; picklable.
Assigned = Callable[[RowBlock], Array]


@dataclass(frozen=True, slots=True)
class ByClass:
    """Rows of the class that is numbered j belong to component j; of no known class, to none."""

    n_components: int

    def __call__(self, block: RowBlock) -> Array:
        """One-hot."""
        if block.labels is None:
            raise ValueError("the rows have no labels")
        return np.asarray(
            block.labels.classes == np.arange(self.n_components)[:, None], dtype=np.float64
        )


@dataclass(frozen=True, slots=True, eq=False)
class ByRow:
    """Responsibilities (n, k) that are held in memory."""

    values: NDArray[np.float64]

    def __call__(self, block: RowBlock) -> Array:
        """Those of the block's rows."""
        return np.ascontiguousarray(self.values[block.start : block.stop].T)


def parameters_of_assigned_rows(
    dataset: Dataset,
    executor: Executor,
    standardisation: Standardisation,
    family: Family,
    assigned: Assigned,
    names: Sequence[object],
    regularisation: Array,
) -> Parameters:
    """The M-step of given responsibilities (Bishop, PRML, eq. 9.24-9.26).

    Parameters
    ----------
    dataset, executor
        Rows, and where the one pass over them runs; rows with missing values are left out.
    standardisation
        The units of the parameters.
    family
        Covariance family.
    assigned
        Responsibilities.
    names
        What components are called in messages, (k,).
    regularisation : (d,)
        Added to standardised variances.

    Raises
    ------
    DataError
        If a component has fewer rows than its covariance needs, or rows that span too little.
    """
    d = dataset.n_features
    leaves = _Leaves(dataset, standardisation, family, assigned)
    total = map_reduce(executor, leaves, dataset.grid.n_blocks)
    estimate = m_step(family, total, by_weight=True)
    least = 1 if family.is_shared else family.least_rows(1, d)
    few = np.flatnonzero(estimate.counts < least)
    if len(few):
        raise DataError(
            f"component {names[int(few[0])]!s} has {_rows(estimate.counts[few[0]])} of its own, "
            f"and its {family.name} covariance needs {least}: give it more, or choose a simpler "
            "model.covariance_type"
        )
    found = estimate.regularised(regularisation)
    singular = np.flatnonzero(found.singular)
    if len(singular):
        raise DataError(
            f"component {names[int(singular[0])]!s}: its rows have no variance in some direction; "
            "raise model.reg_covar_relative, or choose a simpler model.covariance_type"
        )
    return found


def _rows(count: float) -> str:
    return "1 row" if count == 1 else f"{count:.6g} rows"


@dataclass(frozen=True, slots=True, eq=False)
class _Leaves:
    """Blocks to statistics about the origin of standardised units; picklable."""

    dataset: Dataset
    standardisation: Standardisation
    family: Family
    assigned: Assigned

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, Statistics]]:
        for block in self.dataset.read_blocks(blocks):
            rows = MissingPolicy.DROP.select(block, self.dataset)
            R = self.assigned(block)
            if rows.mask is not None:
                R = R[:, rows.mask]
            if rows.weights is not None:
                R = R * rows.weights
            Y = self.standardisation.apply(rows.values, np.float64)
            yield block.index, self._statistics(Y, R)

    def _statistics(self, Y: Array, R: Array) -> Statistics:
        sums, scatter = [], self.family.empty_scatter(len(Y))
        for r in R:
            own = np.flatnonzero(r)
            D, w = Y[:, own], r[own]
            sums.append(np.concatenate([self.family.second_moment(D, w), D @ w, [w.sum()]]))
            if scatter is not None:
                scatter += self.family.scatter(D, w)
        weight = float(R.sum())
        return Statistics(Y.shape[1], 0.0, np.stack(sums), scatter, sum_of_weights=weight)
