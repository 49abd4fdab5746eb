"""The steps of `preprocess` fitted to a source's rows: a pass for each step that is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.source_dataset import SourceDataset
from dgmm.data.sources.transformed_rows import TransformedRows
from dgmm.data.transforms.asked_step import MEASURED, AskedStep
from dgmm.data.transforms.measured_rows import MeasuredRows, fitted_step, measured
from dgmm.data.transforms.preprocessing import Preprocessing
from dgmm.errors import DataError
from dgmm.ingest.groups import Group, groups_named, groups_of
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import map_reduce
from dgmm.runtime.blas_threads import limited_thread
from dgmm.storage.retry import retry_budget

#: Groups of a task at most.
_MOST_GROUPS = 16


@limited_thread()
def fitted_rows(
    dataset: SourceDataset,
    executor: Executor,
    *,
    retry_s: float = 0.0,
    note: Callable[[str], None] = lambda _: None,
) -> SourceDataset:
    """The data set of a source whose steps are fitted to its rows, each behind those before it.

    Values out of a step's domain are counted in the same passes; one more pass counts them where a
    step that has a domain comes last. Bit-identical for any executor.

    Raises
    ------
    DataError
        If too few rows have values, or a part cannot be read.
    """
    source = dataset.source
    if not isinstance(source, TransformedRows) or source.steps is not None:
        return dataset
    found = Preprocessing(source.source.description.feature_names)
    is_weighted = source.description.has_weights
    lost = 0.0 if source.weight_kind == "importance" else 1.0
    for step in source.asked:
        sums = None
        if step.kind in MEASURED:
            note(f"preprocess: all rows are read to fit {step.kind}")
            sums = _pass(dataset, RowsMeasured(dataset, source, found, step, retry_s), executor)
            found = found.with_counts(sums.n_outside)
        fitted = fitted_step(*(step, found.output_names, sums), is_weighted=is_weighted, lost=lost)
        found = found.then(step, fitted)
    if source.counts_apart:
        note("preprocess: all rows are read to count values out of the domain of log")
        sums = _pass(dataset, RowsMeasured(dataset, source, found, None, retry_s), executor)
        found = found.with_counts(sums.n_outside)
    return SourceDataset.of(source.with_steps(found))


@dataclass(frozen=True, slots=True, eq=False)
class RowsMeasured:
    """The task of such a pass: reads groups, applies the steps before, and measures; picklable."""

    dataset: SourceDataset
    source: TransformedRows
    before: Preprocessing
    step: AskedStep | None
    retry_s: float

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, MeasuredRows]]:
        """Yield (group, what was measured)."""
        for group in _groups(self.dataset)[blocks.start : blocks.stop]:
            with retry_budget(self.retry_s):
                yield group.index, self._of(group)

    def _of(self, group: Group) -> MeasuredRows:
        d = len(self.before.input_names)
        found, first = self._measured(np.empty((0, d)), None, group.start), group.start
        for part in group.parts:
            for rows in self.source.untransformed(part):
                found = found.merge(self._measured(rows.values, rows.weights, first))
                first += len(rows.values)
        if first != group.stop:
            raise DataError(
                f"{group.name}: {first - group.start:,} rows were read, its metadata say "
                f"{group.stop - group.start:,}. It was changed or cut short since it was opened"
            )
        return found

    def _measured(
        self, rows: NDArray[Any], weights: NDArray[np.float64] | None, first: int
    ) -> MeasuredRows:
        values, counts = self.before.applied(rows)
        groups = () if self.step is None else self.step.groups(self.before.output_names)
        own = None if weights is None else _usable(weights)
        return MeasuredRows(measured(self.step, groups, values, first, own), counts)


def _usable(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights, 0 where they are none: the read of the weights refuses these, naming the row."""
    return np.where(np.isfinite(weights) & (weights > 0), weights, 0.0)


def _pass(dataset: SourceDataset, task: RowsMeasured, executor: Executor) -> MeasuredRows:
    groups = _groups(dataset)
    with groups_named(groups):
        return map_reduce(executor, task, len(groups), most_blocks=_MOST_GROUPS)


def _groups(dataset: SourceDataset) -> tuple[Group, ...]:
    return groups_of(dataset.parts, dataset.chunk_rows)
