"""What Zarr returns where nothing was written, if that is a number like others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.number_words import exact


@dataclass(frozen=True, slots=True)
class FillValue:
    """The number that Zarr returns where nothing was written, and that is no mask.

    A fill value that is read as missing is NaN by the time anybody looks (`data.decoding`).

    Parameters
    ----------
    value : float
        Of the array's type, decoded where it is packed; not NaN.
    """

    value: float

    def rows_with_it(self, rows: NDArray[Any]) -> int:
        """How many of the rows (b, d) have a cell equal to it."""
        found = rows == self.value
        return int(found.any(axis=1).sum()) if np.count_nonzero(found) else 0

    def scored_warning(self, n_with_it: int, n_rows: int) -> str:
        """What to say of rows with such cells that were scored."""
        return (
            f"{n_with_it:,} of {n_rows:,} rows have cells equal to the array's own fill value, "
            f"{exact(self.value)}, and were scored as if those were values. If they stand for "
            "missing data, write NaN there and set data.missing to drop"
        )
