"""One pass of a fitted model over new rows: its E-step, and rows below its anomaly threshold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy, SelectedRows
from dgmm.data.row_accounting import require_all_rows
from dgmm.errors import DataError
from dgmm.fitting.em.data_pass import statistics_of
from dgmm.fitting.em.e_step_request import EStepRequest, seen
from dgmm.mixture.backends import get
from dgmm.mixture.kernels import CentredKernel, Guard, Workspace
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.marginal import MarginalKernel, PreparedParts
from dgmm.mixture.sufficient_statistics import Statistics, merged_weight
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import model_digest
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import map_reduce
from dgmm.reduction.task_size import most_blocks
from dgmm.reduction.tree import PassProgress
from dgmm.scoring.partial_rows import marginal_scorer, require_marginals
from dgmm.scoring.row_scores import score_block


@dataclass(frozen=True, slots=True, eq=False)
class DriftStatistics:
    """What the pass counts; merged in the fixed tree.

    Attributes
    ----------
    n_read, n_dropped : int
        Rows, and those of them that were left out.
    statistics : Statistics
        Of the E-step, about the old means.
    anomalous : float
        Rows below the anomaly threshold, or the sum of their weights.
    squared_weights : float or None
        Σw²; None where each row weighs 1.
    """

    n_read: int
    n_dropped: int
    statistics: Statistics
    anomalous: float = 0.0
    squared_weights: float | None = None

    @property
    def n_kept(self) -> int:
        """Rows that count."""
        return self.n_read - self.n_dropped

    def merge(self, other: Self) -> Self:
        """These blocks followed by the others."""
        squares = None
        if merged_weight(self.statistics, other.statistics) is not None:
            squares = self._squares() + other._squares()
        return type(self)(
            self.n_read + other.n_read,
            self.n_dropped + other.n_dropped,
            self.statistics.merge(other.statistics),
            self.anomalous + other.anomalous,
            squares,
        )

    def _squares(self) -> float:
        return self.statistics.n_rows if self.squared_weights is None else self.squared_weights


@dataclass(frozen=True, slots=True, eq=False)
class DriftTask:
    """The E-step and the anomalies of a range of blocks; picklable."""

    dataset: Dataset
    model: MixtureModel
    request: EStepRequest
    missing: MissingPolicy
    backend: str

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, DriftStatistics]]:
        """Yield (block, its statistics)."""
        workspace, prepared = Workspace(get(self.backend)), PreparedParts()
        scorer = Scorer(self.model.parameters)
        marginal = marginal_scorer(self.model.parameters)
        for block in self.dataset.read_blocks(blocks):
            rows = self.missing.select(block, self.dataset)
            own = seen(rows, block, self.request)
            (found,) = statistics_of([self.request], own, workspace, prepared)
            anomalous = 0.0
            if self.model.anomaly_threshold is not None:
                scored = score_block(rows, scorer, workspace, self.model, None, marginal)
                anomalous = _anomalous(rows, scored.block.anomaly)
            squares = None if rows.weights is None else float((rows.weights**2).sum())
            yield (
                block.index,
                DriftStatistics(rows.n_read, rows.n_dropped, found, anomalous, squares),
            )


def _anomalous(rows: SelectedRows, flags: np.ndarray | None) -> float:
    """Flagged rows, or the sum of their weights."""
    if flags is None:
        return 0.0
    own = (flags if rows.mask is None else flags[rows.mask]) == 1
    return float(own.sum() if rows.weights is None else rows.weights[own].sum())


def kernel_of(model: MixtureModel, missing: MissingPolicy) -> CentredKernel | MarginalKernel:
    """The E-step of the model, with moments about its own means.

    It needs no range of the rows, which nobody has read yet, and differences from the old means are
    exact to rounding, however far these are from the origin.
    """
    if missing is MissingPolicy.MARGINALISE:
        return MarginalKernel.of(model.parameters, Guard(float("inf")))
    return CentredKernel.of(model.parameters)


def drift_pass_name(model: MixtureModel, missing: MissingPolicy) -> str:
    """What tells this pass from that of any other model; a file may bear this name."""
    return f"drift-{model_digest(model)[:16]}-{missing.value}"


def drift_pass(
    dataset: Dataset,
    executor: Executor,
    model: MixtureModel,
    *,
    missing: MissingPolicy,
    backend: str,
    progress: PassProgress[DriftStatistics] | None = None,
) -> DriftStatistics:
    """Read all rows once.

    Parameters
    ----------
    dataset
        The new rows, with the model's features in its order, and its steps behind them.
    executor, backend
        Where the pass runs, and the name of what computes it.
    model
        The old model, in whose units the rows are standardised.
    missing
        What is done with rows that lack values.
    progress
        Saves the finished parts.

    Raises
    ------
    DataError
        If rows lack values that the policy refuses, no row counts, or squared distances overflow.
    """
    require_marginals(model.parameters, missing)
    request = EStepRequest(kernel_of(model, missing), model.standardisation)
    task, grid = DriftTask(dataset, model, request, missing, backend), dataset.grid
    width = model.n_components * model.parameters.family.width(grid.n_features)
    total: DriftStatistics = map_reduce(
        executor,
        task,
        grid.n_blocks,
        most_blocks=most_blocks(8.0 * width, 8 * width, grid, executor.n_threads),
        progress=progress,
    )
    require_all_rows(total, dataset, total.n_dropped)
    if total.statistics.weight == 0:
        raise DataError("drift cannot be measured: no row counts")
    if not np.isfinite(total.statistics.log_likelihood):
        raise DataError(
            "drift cannot be measured: some row lies so far from the earlier model that its "
            "squared distance overflows; correct or drop such rows"
        )
    return total
