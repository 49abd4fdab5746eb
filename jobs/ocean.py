"""Clusters profiles of a gridded ocean with gaps: NetCDF in, a map of labels out.

The sample is made by formula: temperature and salinity over 12 depths on a grid of 90 x 180 points,
packed as 16-bit integers as archives store them, without values over land and below the sea
floor. Each point of the map is a row of 24 features; rows that lack some values count with those
they have (`missing: marginalise`). `maps.zarr` in the run directory opens in xarray with the
coordinates of the sample.

    python jobs/ocean.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sample_job import needs, run_sample

DEPTHS = np.array([5, 20, 50, 100, 150, 200, 300, 500, 750, 1000, 1500, 2000], dtype=np.float64)
LATITUDES = np.arange(-89.0, 90.0, 2.0)
LONGITUDES = np.arange(1.0, 360.0, 2.0)


def write(path: Path) -> None:
    """Write the NetCDF file."""
    try:
        import xarray as xr  # noqa: PLC0415 - its absence is explained
    except ImportError as error:
        raise needs("dgmm[xarray]", error) from error
    depth, lat, lon = np.meshgrid(DEPTHS, LATITUDES, LONGITUDES, indexing="ij")
    rng = np.random.default_rng(0)
    warmth = 28.0 * np.exp(-((lat / 38.0) ** 2)) - 1.0
    mixed = np.exp(-depth / (150.0 + 4.0 * np.abs(lat)))
    temperature = 2.0 + warmth * mixed + rng.normal(scale=0.3, size=depth.shape)
    dry = np.exp(-(((np.abs(lat) - 25.0) / 12.0) ** 2))
    salinity = 34.6 + 1.8 * dry * mixed + rng.normal(scale=0.05, size=depth.shape)
    waves = np.sin(np.radians(2.0 * lon + lat)) + 0.6 * np.cos(np.radians(3.0 * lon - 2.0 * lat))
    floor = 2500.0 * (0.5 + waves)  # in metres; land where it is negative
    is_water = depth < floor
    dims = ("depth", "lat", "lon")
    ocean = xr.Dataset(
        {
            "temperature": (dims, np.where(is_water, temperature, np.nan), {"units": "degC"}),
            "salinity": (dims, np.where(is_water, salinity, np.nan), {"units": "1e-3"}),
        },
        coords={
            "depth": ("depth", DEPTHS, {"units": "m", "positive": "down"}),
            "lat": ("lat", LATITUDES, {"units": "degrees_north"}),
            "lon": ("lon", LONGITUDES, {"units": "degrees_east"}),
        },
    )
    packed = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 20.0, "_FillValue": -32768}
    ocean.to_netcdf(path, encoding={"temperature": packed, "salinity": packed})


def main(argv: list[str] | None = None) -> int:
    """Write the sample and fit it."""
    return run_sample("Cluster a gridded ocean with gaps.", write, "ocean.nc", "ocean.yaml", argv)


if __name__ == "__main__":
    sys.exit(main())
