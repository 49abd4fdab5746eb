"""The rows of one block as a data set yields them: values, and weights where they have any."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """

    index: int
    start: int
    values: Rows
    weights: NDArray[np.float64] | None = None

    @property
    def complete(self) -> Mask | None:
        """The mask (b,) of rows without NaN or infinity; None where that is all of them."""
        return complete_rows(self.values)


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
