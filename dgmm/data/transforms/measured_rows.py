"""What a pass over rows measures for the next step: sums or a sample, and values out of domains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.transforms.asked_step import COMPONENTS, AskedStep, ColumnGroup
from dgmm.data.transforms.centred_scatter import CentredScatter
from dgmm.data.transforms.column_moments import ColumnMoments
from dgmm.data.transforms.elementwise import Asinh, Clip, Elementwise, Log, Standardise
from dgmm.data.transforms.fitted_step import ComponentsStep, ElementwiseStep, FittedStep
from dgmm.data.transforms.preprocessing import Counts
from dgmm.data.transforms.principal_components import PrincipalComponents
from dgmm.data.transforms.row_sample import RowSample
from dgmm.errors import DataError
from dgmm.terminal_text import listed

Floats = NDArray[np.float64]
Statistic = ColumnMoments | CentredScatter | RowSample


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredRows:
    """Of some consecutive rows; merged in their order.

    Parameters
    ----------
    statistics : tuple
        One for each group of columns of the next step.
    n_outside : tuple of (d,) int64
        For each step before it, how many values it has made missing.
    """

    statistics: tuple[Any, ...]
    n_outside: Counts

    def merge(self, other: Self) -> Self:
        """Of both."""
        pairs = zip(self.statistics, other.statistics, strict=True)
        counts = zip(self.n_outside, other.n_outside, strict=True)
        return type(self)(tuple(a.merge(b) for a, b in pairs), tuple(a + b for a, b in counts))


def measured(
    step: AskedStep | None,
    groups: tuple[ColumnGroup, ...],
    rows: Floats,
    first: int,
    weights: Floats | None,
) -> tuple[Statistic, ...]:
    """What a step needs to know of rows (b, d), the first of which has the number `first`."""
    if step is None:
        return ()
    own = [np.ascontiguousarray(rows[:, list(group.columns)]) for group in groups]
    if step.kind == "clip":
        return tuple(RowSample.of_rows(columns, first, weights) for columns in own)
    of_rows: Callable[[Floats, Floats | None], Statistic] = (
        CentredScatter.of_rows if step.kind == COMPONENTS else ColumnMoments.of_rows
    )
    return tuple(of_rows(columns, weights) for columns in own)


def fitted_step(
    step: AskedStep,
    names: tuple[str, ...],
    found: MeasuredRows | None,
    *,
    is_weighted: bool,
    lost: float,
) -> FittedStep:
    """A step with its numbers, from what was measured where its kind needs that.

    `lost` is that of `PrincipalComponents.of_scatter`.

    Raises
    ------
    DataError
        If too few rows have values, naming the step.
    """
    groups, options = step.groups(names), step.options
    if step.kind == COMPONENTS:
        if found is None:
            raise RuntimeError("components of rows that were not measured")
        pairs = []
        for group, scatter in zip(groups, found.statistics, strict=True):
            try:
                components = PrincipalComponents.of_scatter(scatter, lost=lost, **options)
            except DataError as error:
                columns = listed((names[i] for i in group.columns), 6)
                raise DataError(f"preprocess: {error} ({columns})") from error
            pairs.append((group.columns, components))
        kept = [len(components.axes) for _, components in pairs]
        return ComponentsStep(names, step.output_names(names, kept), tuple(pairs))
    transform = _elementwise(step, found, is_weighted=is_weighted)
    return ElementwiseStep(step.kind, names, groups[0].columns, transform)


def _elementwise(step: AskedStep, found: MeasuredRows | None, *, is_weighted: bool) -> Elementwise:
    options = step.options
    if step.kind == "asinh":
        return Asinh(float(options["scale"]))
    if step.kind == "log":
        return Log(float(options["offset"]))
    if found is None:
        raise RuntimeError(f"{step.kind} of rows that were not measured")
    statistic = found.statistics[0]
    if step.kind == "standardise":
        return Standardise.of_moments(statistic.mean, statistic.variance)
    low, high = options["quantiles"]
    return Clip.of_quantiles(
        statistic.rows, (low, high), statistic.weights if is_weighted else None
    )
