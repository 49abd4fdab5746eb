"""Quartiles as order statistics, of rows with weights and of values some of which are missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgmm.data.weighted_statistics import weighted_quartiles

Floats = NDArray[np.float64]


def quartiles(
    columns: Floats, weights: Floats | None, known: NDArray[np.bool_] | None
) -> tuple[Floats, Floats, Floats]:
    """Lower quartile, lower median and upper quartile of each row of columns (d, m).

    Parameters
    ----------
    columns : (d, m)
    weights : (m,) or None
        None where each weighs the same.
    known : (d, m) or None
        Where there is a value; each row has one. None for everywhere.
    """
    if known is not None:
        each = [
            quartiles(row[None, of], None if weights is None else weights[of], None)
            for row, of in zip(columns, known, strict=True)
        ]
        low, median, high = (np.concatenate(column) for column in zip(*each, strict=True))
        return low, median, high
    return _quartiles(columns) if weights is None else weighted_quartiles(columns, weights)


def _quartiles(columns: Floats) -> tuple[Floats, Floats, Floats]:
    """Lower quartile, lower median and upper quartile of each row (d, m), as order statistics.

    Order statistics need no average, which could overflow. The median separates the values; the
    part below and the part above are then partitioned on their own. A partition may move every
    value of its part, so that neither includes the median's place. Zeros come back positive: which
    of −0 and 0 stands first depends on the processor.
    """
    last = columns.shape[1] - 1
    middle, quarter = last // 2, last // 4
    ordered = np.partition(columns, middle, axis=1)
    median = ordered[:, middle] + 0.0
    low = _order_statistic(ordered[:, :middle], quarter, median)
    high = _order_statistic(ordered[:, middle + 1 :], last - quarter - middle - 1, median)
    return low, median, high


def _order_statistic(part: Floats, place: int, median: Floats) -> Floats:
    """The value at `place` of each row of a part, partitioned in place; the median beyond it."""
    if not 0 <= place < part.shape[1]:
        return median.copy()
    part.partition(place, axis=1)
    return part[:, place] + 0.0
