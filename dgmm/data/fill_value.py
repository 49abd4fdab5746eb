"""What Zarr returns where nothing was written, and whether it means that data are missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FillValue:
    """The number that Zarr returns where nothing was written.

    Parameters
    ----------
    value : float
        Of the array's type, not NaN.
    is_mask : bool
        Whether xarray reads it as missing, so that cells equal to it may be no data.
    """

    value: float
    is_mask: bool = False

    def rows_with_it(self, rows: NDArray[Any]) -> int:
        """How many of the rows (b, d) have a cell equal to it."""
        found = rows == self.value
        return int(found.any(axis=1).sum()) if np.count_nonzero(found) else 0

    def refusal(self, counts: str) -> str:
        """Why cells that xarray reads as missing are refused; `counts` says in how many rows."""
        return (
            f"cells equal the array's fill value {self.value:.6g}, which xarray reads as missing "
            f"in Zarr version 2: {counts}. dgmm does not decode them yet. Write NaN where they "
            "are missing, or set fill_value to null in .zarray if they are data"
        )

    def scored_warning(self, n_with_it: int, n_rows: int) -> str:
        """What to say of rows with such cells that were scored."""
        return (
            f"{n_with_it:,} of {n_rows:,} rows have cells equal to the array's own fill value, "
            f"{self.value:.6g}, and were scored as if those were values. If they stand for missing "
            "data, write NaN there and set data.missing to drop"
        )
