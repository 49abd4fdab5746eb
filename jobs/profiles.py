"""Clusters vertical profiles by the principal components of each variable, as pyxpcm does.

The sample is made by formula: temperature and salinity of 20,000 profiles of four kinds of water,
each with its own surface, mixed layer and halocline, at 30 depths, as NetCDF. Each depth is
standardised, three components are taken of each variable, and a mixture is fitted to these six
features. The model keeps the steps: `dgmm predict` takes profiles as they are.

    python jobs/profiles.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sample_job import needs, run_sample

DEPTHS = np.linspace(5.0, 1500.0, 30)
N = 20_000
#: Of each kind of water: temperature at the surface and its decrease, depth over which it
#: decreases (m), salinity at depth and its excess at the surface, depth of the halocline (m).
KINDS = np.array(
    [
        [26.0, 22.0, 180.0, 34.7, 1.3, 150.0],
        [18.0, 14.0, 400.0, 34.9, 0.8, 350.0],
        [9.0, 6.0, 600.0, 34.4, -0.4, 120.0],
        [1.0, -1.0, 250.0, 34.7, -0.8, 200.0],
    ]
)
SPREAD = np.array([2.5, 2.5, 60.0, 0.12, 0.3, 60.0])


def write(path: Path) -> None:
    """Write the NetCDF file."""
    try:
        import xarray as xr  # noqa: PLC0415 - its absence is explained
    except ImportError as error:
        raise needs("dgmm[xarray]", error) from error
    rng = np.random.default_rng(0)
    kind = rng.integers(len(KINDS), size=N)
    drawn = KINDS[kind] + SPREAD * rng.standard_normal((N, 6))
    warm, decrease, thermocline, salt, excess, halocline = drawn.T[:, :, np.newaxis]
    shape = (N, len(DEPTHS))
    temperature = warm - decrease * (1.0 - np.exp(-DEPTHS / np.maximum(thermocline, 20.0)))
    salinity = salt + excess * np.exp(-DEPTHS / np.maximum(halocline, 20.0))
    dims = ("profile", "depth")
    values = {
        "temperature": (dims, temperature + rng.normal(scale=0.15, size=shape), {"units": "degC"}),
        "salinity": (dims, salinity + rng.normal(scale=0.02, size=shape), {"units": "1e-3"}),
        "kind": ("profile", kind),
    }
    coords = {"depth": ("depth", DEPTHS, {"units": "m", "positive": "down"})}
    xr.Dataset(values, coords).to_netcdf(path)


def main(argv: list[str] | None = None) -> int:
    """Write the sample and fit it."""
    return run_sample(
        "Cluster profiles by components of each variable.",
        *(write, "profiles.nc", "profiles.yaml", argv),
    )


if __name__ == "__main__":
    sys.exit(main())
