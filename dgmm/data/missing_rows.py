"""Which rows can be fitted: those whose values are all finite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def kept_rows(rows: NDArray[Any]) -> NDArray[np.bool_] | None:
    """The mask (b,) of rows (b, d) without NaN or infinity; None where that is all of them.

    A sum is finite only if every term is, and takes a fraction of the time of a test of each
    value; only where it is not (a fault, or an overflow) is each value looked at.
    """
    if rows.dtype.kind != "f":
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(rows.sum()):
            return None
    kept: NDArray[np.bool_] = np.isfinite(rows).all(axis=1)
    return None if kept.all() else kept
