"""What Zarr returns where nothing was written, and whether it means that data are missing."""

from __future__ import annotations

from dataclasses import dataclass


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
