"""Cells of each feature that may stand for missing values, counted in the columns of a block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgmm.data.summary.extremes import Extremes
from dgmm.data.valid_range import ValidRange

Floats = NDArray[np.float64]


def count_equal(columns: Floats, extremes: Extremes, fill_value: float | None) -> NDArray[np.int64]:
    """How many values of each column (d, b) equal the fill value.

    Features are gone through only where one is found: most blocks hold none.
    """
    counts = np.zeros(len(columns), np.int64)
    if fill_value is not None and np.count_nonzero(columns == fill_value):
        within = (extremes.minimum <= fill_value) & (fill_value <= extremes.maximum)
        for feature in np.flatnonzero(within):
            counts[feature] = np.count_nonzero(columns[feature] == fill_value)
    return counts


def count_outside(
    columns: Floats, extremes: Extremes, valid_range: ValidRange | None
) -> NDArray[np.int64]:
    """How many values of each column (d, b) lie outside the valid range."""
    counts = np.zeros(len(columns), np.int64)
    if valid_range is not None:
        below, above = extremes.minimum < valid_range.low, extremes.maximum > valid_range.high
        for feature in np.flatnonzero(below | above):
            counts[feature] = valid_range.count_outside(columns[feature])
    return counts
