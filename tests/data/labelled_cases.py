"""Labelled arrays by formula: four dimensions, gaps, packed or plain, in any chunks."""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dgmm.data.data_source import DataSource
from dgmm.data.sources.labelled.chunk_store import WholeChunksStore
from dgmm.data.sources.labelled.labelled_source import LabelledSource
from dgmm.data.sources.labelled.open_source import open_labelled
from dgmm.data.sources.labelled.opening import LabelledFile

DIMS = ("time", "depth", "lat", "lon")
SAMPLE_DIMS = ("time", "lat", "lon")
PACKED = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 30.0, "_FillValue": -32768}
FLOAT = {"dtype": "float32", "_FillValue": np.float32(np.nan)}


def ocean(sizes: tuple[int, int, int, int]) -> xr.Dataset:
    """Two variables (time, depth, lat, lon) with missing values, and one of (lat, lon)."""
    index = np.indices(sizes).astype(np.float64)
    t, z, y, x = index
    salinity = 34 + np.sin(0.7 * t + 0.3 * z) + np.cos(0.5 * y) * np.sin(0.9 * x)
    anomaly = 30.5 + 0.01 * t * z - 0.02 * y + 0.03 * x
    land = (y * 3 + x) % 7 == 0
    salinity[land] = np.nan
    anomaly[land & (z > 0)] = np.nan
    return xr.Dataset(
        {
            "SR": (DIMS, salinity, {"units": "g kg-1"}),
            "dSA": (DIMS, anomaly, {"units": "g kg-1"}),
            "area": (("lat", "lon"), 1.0 + np.add.outer(np.arange(sizes[2]), np.arange(sizes[3]))),
        },
        {
            "time": ("time", np.arange(sizes[0]) * 6.0, {"units": "hours since 2001-01-01"}),
            "depth": ("depth", np.arange(sizes[1]) * 10.0, {"units": "dbar", "positive": "down"}),
            "lat": ("lat", np.linspace(-60, 60, sizes[2]), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(0, 350, sizes[3]), {"units": "degrees_east"}),
        },
    )


def written(
    data: xr.Dataset,
    path: Path,
    chunks: tuple[int, ...],
    how: dict[str, Any],
    version: int | None = 3,
) -> Path:
    """Write it to Zarr of that version, or to NetCDF where it is None; area is one chunk."""
    encoding: dict[str, Any] = {}
    key = "chunks" if version else "chunksizes"
    for name in data.data_vars:
        if data[name].dims == DIMS:
            encoding[str(name)] = how | {key: chunks}
    if version:
        data.to_zarr(
            path,
            zarr_format=version,
            consolidated=False,
            encoding=encoding,
            write_empty_chunks=True,
        )
    else:
        data.to_netcdf(path, engine="netcdf4", encoding=encoding)
    return path


def by_xarray(path: Path) -> xr.Dataset:
    """What xarray opens, dates left as numbers."""
    if path.is_dir():
        return xr.open_zarr(path, chunks=None, decode_times=False, consolidated=False)
    return xr.open_dataset(path, engine="netcdf4", chunks=None, decode_times=False)


def opened(path: Path | list[Path], **options: Any) -> LabelledSource:
    """A source of SR and dSA over time, lat and lon, where `options` say nothing else."""
    paths = tuple(map(str, path)) if isinstance(path, list) else (str(path),)
    options = {"variables": ("SR", "dSA"), "sample_dims": SAMPLE_DIMS} | options
    return open_labelled(DataSource(paths[0], paths=paths, **options))


def all_rows(source: LabelledSource) -> NDArray[Any]:
    """The rows of all parts, in order."""
    return np.concatenate([rows.values for part in source.parts() for rows in source.read(part)])


def in_c_order(source: LabelledSource, rows: NDArray[Any]) -> NDArray[Any]:
    """Rows in C order over the places of the grid, as `stack` has them."""
    return rows[source.grid.rows_of(np.indices(source.grid.shape)).ravel()]


def stacked(data: xr.Dataset, names: tuple[str, ...] = ("SR", "dSA")) -> NDArray[Any]:
    """What xarray makes of the variables: rows in C order, features variable by variable."""
    columns = [data[name].stack(row=SAMPLE_DIMS).transpose("row", "depth").values for name in names]
    return np.concatenate(columns, axis=1)


class LoggedStore(WholeChunksStore):
    """A store that writes down each chunk it is asked for; and ends its process once, if told so.

    The log is `chunks.log` beside the group. A file `deadly` there names a chunk: the process that
    is asked for it first removes the file and is killed.
    """

    def with_read_only(self, read_only: bool = False) -> LoggedStore:
        return type(self)(str(self.root), self.files)

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        folder = Path(self.root).parent
        if "/c/" in key:
            with (folder / "chunks.log").open("a", encoding="utf-8") as log:
                log.write(f"{key}\n")
            deadly = folder / "deadly"
            if deadly.exists() and deadly.read_text("utf-8") == key:
                deadly.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return await super().get(key, prototype, byte_range)


class LoggedFile(LabelledFile):
    """A group that is read through a `LoggedStore`."""

    def _open(self, library: Any, options: dict[str, Any]) -> Any:
        store = LoggedStore(self.root, self.chunks)
        return library.open_dataset(store, engine="zarr", consolidated=False, **options)


def logged(source: LabelledSource) -> LabelledSource:
    """The same source, whose chunks are written down as they are read."""
    files = tuple(LoggedFile(f.path, f.group, f.chunks, f.version) for f in source.collection.files)
    return replace(source, collection=replace(source.collection, files=files))


def chunk_reads(path: Path) -> Counter[str]:
    """How often each chunk of a group was asked for."""
    return Counter((path.parent / "chunks.log").read_text("utf-8").split())
