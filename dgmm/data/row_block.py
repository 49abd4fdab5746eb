"""The rows of one block as a data set yields them: values, and weights where they have any."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.joined_arrays import joined_arrays
from dgmm.data.row_labels import RowLabels
from dgmm.reduction.blocks import BlockGrid, BlockRange

Rows = NDArray[Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class RowBlock:
    """Rows of one block.

    Attributes
    ----------
    index : int
        The block's number.
    start : int
        Number of its first row.
    values : (b, d)
        In the stored type, native byte order, C order.
    weights : (b,) float64 or None
        Weight of each row, finite and not negative; None where each weighs 1.
    residuals : (b, r) float64 or None
        Distances from what components give back of each row, one for each `pca` that the rows have
        behind them; None where nothing reads them.
    labels : RowLabels or None
        Classes, groups and folds of the rows; None where they have none.
    """

    index: int
    start: int
    values: Rows
    weights: NDArray[np.float64] | None = None
    residuals: NDArray[np.float64] | None = None
    labels: RowLabels | None = None

    @property
    def complete(self) -> Mask | None:
        """The mask (b,) of rows without NaN or infinity; None where that is all of them."""
        return complete_rows(self.values)

    @property
    def stop(self) -> int:
        """Number of the row after the last."""
        return self.start + len(self.values)

    def rows(self, start: int, stop: int) -> RowBlock:
        """Those of its rows that have the numbers [start, stop)."""
        own = slice(max(start - self.start, 0), stop - self.start)
        return RowBlock(
            self.index,
            max(start, self.start),
            self.values[own],
            None if self.weights is None else self.weights[own],
            None if self.residuals is None else self.residuals[own],
            None if self.labels is None else self.labels.of_rows(own),
        )


def cut_again(
    blocks: Iterable[RowBlock], grid: BlockGrid, wanted: BlockRange
) -> Iterator[RowBlock]:
    """Blocks of a range of another grid from consecutive blocks that cover its rows."""
    source = iter(blocks)
    block = next(source)
    for index in range(wanted.start, wanted.stop):
        start, stop = grid.rows(index)
        parts = [block.rows(start, stop)]
        while block.stop < stop:
            block = next(source)
            parts.append(block.rows(start, stop))
        yield _joined(index, start, [part for part in parts if len(part.values)])


def _joined(index: int, start: int, parts: list[RowBlock]) -> RowBlock:
    """Consecutive rows as one block: a view where they come from one."""
    if len(parts) == 1:
        return replace(parts[0], index=index)
    return RowBlock(
        index,
        start,
        np.concatenate([part.values for part in parts]),
        joined_arrays(part.weights for part in parts),
        joined_arrays(part.residuals for part in parts),
        RowLabels.joined([part.labels for part in parts if part.labels is not None]),
    )


def complete_rows(values: Rows) -> Mask | None:
    """The mask (b,) of rows (b, d) without NaN or infinity; None where that is all of them.

    A sum is finite only if every term is, and takes a fraction of the time of a test of each
    value; only where it is not (a missing value, or an overflow) is each value looked at.
    """
    if values.dtype.kind != "f":
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(values.sum()):
            return None
    complete: Mask = np.asarray(np.isfinite(values).all(axis=1))
    return None if complete.all() else complete
