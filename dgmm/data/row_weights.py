"""Weights of rows: a row of weight 3 counts as three copies of it, one of weight 0 not at all."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dgmm.errors import DataError

#: Positive weights beyond these are refused: a pass in float32 multiplies by them.
LEAST: Final = 1e-30
LARGEST: Final = 1e30


def without_mask(weights: Any) -> Any:
    """Weights as they are, and NaN where one is masked: it is not known."""
    if not isinstance(weights, np.ma.MaskedArray):
        return weights
    return np.ma.filled(weights.astype(np.float64), np.nan)


def row_weights(weights: ArrayLike, n_samples: int) -> NDArray[np.float64]:
    """Weights (n,) as float64.

    Raises
    ------
    DataError
        If they are not one finite number per row, one is negative or outside [1e-30, 1e30], or all
        are 0.
    """
    found = np.ascontiguousarray(without_mask(weights), dtype=np.float64)
    if found.shape != (n_samples,):
        raise DataError(
            f"weights have shape {found.shape}, expected ({n_samples},): one per row of X"
        )
    wrong = ~(np.isfinite(found) & (found >= 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"the weight of row {row} is {found[row]:g}, expected a finite number that is not "
            "negative. Give rows to be left out the weight 0"
        )
    beyond = (found > 0) & ~((found >= LEAST) & (found <= LARGEST))
    if beyond.any():
        row = int(np.argmax(beyond))
        raise DataError(
            f"the weight of row {row} is {found[row]:g}, expected 0 or a number from {LEAST:g} to "
            f"{LARGEST:g}. Multiply all weights by one number: only their ratios matter to a fit"
        )
    if not found.any():
        raise DataError("all weights are zero, so no row is left. Give some rows a positive one")
    return found
