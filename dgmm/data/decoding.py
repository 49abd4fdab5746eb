"""Stored numbers that stand for others: decoded as xarray does, value by value.

Masked cells become NaN, packed numbers are multiplied and shifted (CF conventions). Every value is
decoded on its own, so that chunking changes no bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Decoding:
    """How the numbers meant follow from those stored.

    Parameters
    ----------
    dtype : dtype
        Of the decoded values; a float where there are masks, a scale or an offset.
    masks : tuple of float
        Stored numbers that stand for missing values; compared in `dtype`, as xarray does.
    scale, offset : float
        value = stored · scale + offset.
    stored_as : dtype, optional
        The type that stored integers of the other sign are read as (`_Unsigned`).
    """

    dtype: np.dtype[Any]
    masks: tuple[float, ...] = ()
    scale: float = 1.0
    offset: float = 0.0
    stored_as: np.dtype[Any] | None = None

    @property
    def is_packed(self) -> bool:
        """Whether values are other numbers than those stored."""
        return self.scale != 1.0 or self.offset != 0.0

    def apply(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Decoded rows; the same array, changed in place, where its type stays.

        Parameters
        ----------
        rows : (b, d)
            As stored, and the caller's own.
        """
        values = rows if self.stored_as is None else rows.view(self.stored_as)
        values = values.astype(self.dtype, copy=False)
        found = [values == mask for mask in self.masks]
        for is_masked in found:
            if np.count_nonzero(is_masked):
                values[is_masked] = np.nan
        return self.unpacked(values)

    def unpacked(self, values: NDArray[Any]) -> NDArray[Any]:
        """Multiply and shift in place, in the type that the values have."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.scale != 1.0:
                values *= self.scale
            if self.offset != 0.0:
                values += self.offset
        return values
