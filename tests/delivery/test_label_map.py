"""Label maps have the source's dimensions, chunks and coordinates, and each row in its place."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from labelled_cases import FLOAT, PACKED, ocean, opened, written

from dgmm.data.sample_grid import SampleGrid
from dgmm.data.sources.labelled.labelled_source import LabelledSource
from dgmm.data.zarr.format_versions import ZarrFormat
from dgmm.data.zarr.map_array import MapArray
from dgmm.data.zarr.output_store import create_array, create_outputs, finish_outputs
from dgmm.delivery import label_map
from dgmm.delivery.label_map import write_label_maps
from dgmm.delivery.request import DeliveryRequest
from dgmm.errors import OutputExistsError
from dgmm.execution.threads import ThreadExecutor
from dgmm.scoring.output_registry import ROW_OUTPUTS

N_COMPONENTS = 3
NAMES = ("labels", "max_posterior", "log_density", "responsibilities")


def by_place(grid: SampleGrid) -> dict[str, Any]:
    """Results that tell their place: arrays of the grid's shape; the first places are left out."""
    number = np.arange(grid.n_rows).reshape(grid.shape)
    left_out = number < 2
    labels = np.where(left_out, -1, number % N_COMPONENTS).astype("int32")
    posterior = np.where(left_out, np.nan, 0.5 + number / (2 * grid.n_rows)).astype("float32")
    density = np.where(left_out, np.nan, -number / 7.0)
    each = np.stack([posterior * k for k in range(N_COMPONENTS)], axis=-1).astype("float32")
    return dict(zip(NAMES, (labels, posterior, density, each), strict=True))


def request_of(
    source: LabelledSource, folder: Path, version: ZarrFormat = 3, chunk_rows: int = 7
) -> DeliveryRequest:
    """The row arrays of a run, as it writes them."""
    path = folder / "outputs.zarr"
    create_outputs(path, {"written_by": "dgmm"}, version)
    grid = source.grid
    order = grid.rows_of(np.indices(grid.shape)).ravel()
    for name, values in by_place(grid).items():
        output = ROW_OUTPUTS.named(name)
        inner = values.shape[len(grid.dims) :]
        rows = np.empty((grid.n_rows, *inner), output.dtype)
        rows[order] = values.reshape(grid.n_rows, *inner)
        array = create_array(
            path,
            name,
            shape=rows.shape,
            chunks=(chunk_rows, *inner),
            dtype=output.dtype,
            dimension_names=("row", "component")[: rows.ndim],
            fill_value=output.fill,
            attributes=output.attributes(N_COMPONENTS),
            zarr_format=version,
        )
        array.write(0, rows)
    finish_outputs(path)
    return DeliveryRequest(str(path), str(folder), NAMES, N_COMPONENTS)


def delivered(source: LabelledSource, folder: Path, **how: Any) -> tuple[xr.Dataset, Any]:
    """The maps as xarray opens them, and what is recorded."""
    folder.mkdir(exist_ok=True)
    with ThreadExecutor(2) as executor:
        record = write_label_maps(source, request_of(source, folder, **how), executor)
    return xr.open_zarr(folder / "maps.zarr", chunks=None), record


def coordinates(data: xr.Dataset, dims: tuple[str, ...]) -> xr.Dataset:
    """Coordinates over no other dimensions, in memory; the group's own attributes left out."""
    own = data.drop_dims([dim for dim in data.dims if dim not in dims]).coords.to_dataset()
    return own.drop_attrs(deep=False).load()


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("select", [{}, {"lat": [-30, 50], "time": [6, None]}], ids=["all", "part"])
def test_each_row_stands_at_its_place(tmp_path: Path, version: int, select: Any) -> None:
    path = written(ocean((3, 2, 8, 12)), tmp_path / "a.zarr", (2, 2, 3, 5), PACKED)
    source = opened(path, select=select)
    maps, record = delivered(source, tmp_path / "run", version=version)
    expected = by_place(source.grid)
    labels = np.where(expected["labels"] == -1, np.nan, expected["labels"])
    np.testing.assert_array_equal(maps.labels.values, labels)
    for name in NAMES[1:]:
        np.testing.assert_array_equal(maps[name].values, expected[name])
    assert maps.labels.dims == ("time", "lat", "lon")
    assert maps.responsibilities.dims == ("time", "lat", "lon", "component")
    assert record["maps"] == list(NAMES)
    assert record["shape"] == list(source.grid.shape)
    if not select:
        assert maps.labels.encoding["chunks"] == (2, 3, 5) == tuple(record["chunks"])
    with by_xarray_decoded(path) as data:
        start = {dim: slice(*source.taken[dim]) for dim in ("time", "lat", "lon")}
        own = coordinates(data.isel(start), ("time", "lat", "lon"))
    xr.testing.assert_identical(coordinates(maps, ("time", "lat", "lon")), own)


def by_xarray_decoded(path: Path) -> xr.Dataset:
    """What xarray opens, dates decoded."""
    if path.is_dir():
        return xr.open_zarr(path, chunks=None, consolidated=False)
    return xr.open_dataset(path, engine="netcdf4", chunks=None)


def curvilinear(data: xr.Dataset) -> xr.Dataset:
    """A grid whose latitudes and longitudes have two dimensions, with a scalar beside them."""
    lat, lon = np.meshgrid(data.lat.values, data.lon.values, indexing="ij")
    data = data.drop_vars(["lat", "lon"]).rename(lat="nlat", lon="nlon")
    return data.assign_coords(
        TLAT=(("nlat", "nlon"), lat + 0.1 * lon, {"units": "degrees_north"}),
        TLONG=(("nlat", "nlon"), lon - 0.1 * lat, {"units": "degrees_east"}),
        mask=(("depth",), [True, False]),
        realization=np.int32(4),
    )


def noleap(data: xr.Dataset) -> xr.Dataset:
    """Dates of a calendar without leap days, and one of them that no other calendar shows so."""
    return data.assign_coords(
        time=("time", [58.5, 59.5, 60.0], {"units": "days since 2000-01-01", "calendar": "noleap"})
    )


def repeated(data: xr.Dataset) -> xr.Dataset:
    """The same longitude twice, the same date three times."""
    lon = data.lon.values.copy()
    lon[1] = lon[0]
    time = ("time", [6.0, 6.0, 6.0], data.time.attrs)
    return data.assign_coords(lon=("lon", lon, data.lon.attrs), time=time)


def named(data: xr.Dataset) -> xr.Dataset:
    """Places with names in place of numbers, and bounds of dates."""
    data = data.assign_coords(lat=[f"station {i}" for i in range(data.sizes["lat"])])
    bounds = np.stack([data.time.values - 3, data.time.values + 3], axis=-1)
    data["time"].attrs["bounds"] = "time_bnds"
    data = data.assign(time_bnds=(("time", "bnds"), bounds), crs=((), np.int32(0), {"epsg": 4326}))
    data["SR"].attrs["grid_mapping"] = "crs"
    return data


@pytest.mark.parametrize("version", [2, 3, None])
@pytest.mark.parametrize("change", [curvilinear, noleap, repeated, named])
@pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification")
def test_coordinates_are_identical_to_those_of_the_source(
    tmp_path: Path, change: Callable[[xr.Dataset], xr.Dataset], version: int | None
) -> None:
    data = change(ocean((3, 2, 4, 6)).drop_vars("area"))
    how = {"chunks" if version else "chunksizes": (1, 2, 2, 3), **FLOAT}
    path = tmp_path / "source"
    encoding: dict[str, Any] = {"SR": how, "dSA": how}
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
    dims = tuple(dim for dim in data.SR.dims if dim != "depth")
    source = opened(path, sample_dims=dims)
    maps, _ = delivered(source, tmp_path / "run")
    with by_xarray_decoded(path) as stored:
        own = coordinates(stored, dims)
        assert len(own.coords) >= 3 if change is curvilinear else len(own.coords) == 3
        xr.testing.assert_identical(coordinates(maps, dims), own)
        if change is named:
            assert maps.labels.attrs["grid_mapping"] == "crs"
            xr.testing.assert_identical(maps.crs.load(), stored.crs.load())
            xr.testing.assert_identical(maps.time_bnds.load(), stored.time_bnds.load())


def test_coordinates_of_text_are_read_and_written_without_warnings(tmp_path: Path) -> None:
    data = named(ocean((1, 2, 4, 6))).drop_vars("area")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = written(data, tmp_path / "a.zarr", (1, 2, 2, 3), FLOAT, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = opened(path, variables=("SR",))
        with ThreadExecutor(2) as executor:
            write_label_maps(source, request_of(source, tmp_path), executor)
        source.check_unchanged()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        maps = xr.open_zarr(tmp_path / "maps.zarr", chunks=None)
    assert maps.lat.values.tolist() == [f"station {i}" for i in range(4)]


def test_labels_are_codes_with_meanings_and_dropped_rows_are_missing(tmp_path: Path) -> None:
    source = opened(written(ocean((1, 2, 4, 6)), tmp_path / "a.zarr", (1, 2, 2, 3), FLOAT))
    maps, _ = delivered(source, tmp_path / "run")
    raw = xr.open_zarr(tmp_path / "run" / "maps.zarr", chunks=None, mask_and_scale=False)
    assert raw.labels.dtype == np.int32
    assert raw.labels.attrs["_FillValue"] == -1
    assert raw.labels.values.ravel()[:3].tolist() == [-1, -1, 2]
    assert raw.labels.attrs["flag_values"] == [0, 1, 2]
    assert raw.labels.attrs["flag_meanings"] == "component_0 component_1 component_2"
    assert np.isnan(maps.labels.values.ravel()[:2]).all()
    assert np.isnan(maps.log_density.values.ravel()[:2]).all()


def test_a_result_called_as_a_coordinate_is_named_apart(tmp_path: Path) -> None:
    at = {
        "labels": ("lat", np.arange(4.0)),
        "component": ((), 2.0),
        "log_density": ("lon", [5.0] * 6),
    }
    data = ocean((1, 2, 4, 6)).rename({"time": "max_posterior"}).assign_coords(at)
    data["SR"].encoding["coordinates"] = "labels component log_density"
    data.to_netcdf(tmp_path / "a.nc", engine="netcdf4")
    source = opened(tmp_path / "a.nc", sample_dims=("max_posterior", "lat", "lon"))
    maps, record = delivered(source, tmp_path / "run")
    own = ["dgmm_labels", "dgmm_max_posterior", "dgmm_log_density", "responsibilities"]
    assert record["maps"] == own
    expected = by_place(source.grid)
    np.testing.assert_array_equal(maps.dgmm_log_density.values, expected["log_density"])
    np.testing.assert_array_equal(maps.responsibilities.values, expected["responsibilities"])
    assert maps.responsibilities.dims[-1] == "component_of_mixture"
    assert maps.labels.values.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert maps.component.values == 2.0


def test_dimensions_stand_in_the_order_of_the_source(tmp_path: Path) -> None:
    path = written(ocean((2, 2, 4, 6)), tmp_path / "a.zarr", (1, 2, 2, 3), FLOAT)
    source = opened(path, sample_dims=("lon", "time", "lat"))
    maps, record = delivered(source, tmp_path / "run")
    assert maps.labels.dims == ("time", "lat", "lon") == tuple(record["dims"])
    labels = by_place(source.grid)["labels"].transpose(1, 2, 0)
    np.testing.assert_array_equal(maps.labels.fillna(-1).values, labels)


def test_files_joined_along_time_give_one_map(tmp_path: Path) -> None:
    data = ocean((5, 2, 4, 6))
    for i, part in enumerate((slice(0, 1), slice(1, 5))):
        written(data.isel(time=part), tmp_path / f"{i}.zarr", (1, 2, 4, 6), FLOAT)
    source = opened([tmp_path / "*.zarr"], concat_dim="time")
    maps, _ = delivered(source, tmp_path / "run")
    whole = written(data, tmp_path / "whole", (1, 2, 4, 6), FLOAT)
    with by_xarray_decoded(whole) as stored:
        dims = ("time", "lat", "lon")
        xr.testing.assert_identical(coordinates(maps, dims), coordinates(stored, dims))


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    parts = [f"{path.relative_to(folder)}".encode() + path.read_bytes() for path in files]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


@pytest.mark.parametrize("n_chunks", [1, 5])
def test_a_map_that_was_interrupted_is_the_same_when_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_chunks: int
) -> None:
    source = opened(written(ocean((2, 2, 4, 6)), tmp_path / "a.zarr", (1, 2, 2, 3), FLOAT))
    whole = tmp_path / "whole"
    delivered(source, whole)
    write, n_written = MapArray.write_box, [0]

    def failing(self: MapArray, *rest: Any) -> None:
        if n_written[0] >= n_chunks:
            raise KeyboardInterrupt
        n_written[0] += 1
        write(self, *rest)

    folder = tmp_path / "run"
    folder.mkdir()
    request = request_of(source, folder)
    monkeypatch.setattr(MapArray, "write_box", failing)
    with pytest.raises(KeyboardInterrupt), ThreadExecutor(1) as executor:
        write_label_maps(source, request, executor)
    assert not (folder / "maps.zarr").exists()
    monkeypatch.setattr(MapArray, "write_box", write)
    for _ in range(2):
        with ThreadExecutor(2) as executor:
            write_label_maps(source, request, executor)
        assert digest(folder / "maps.zarr") == digest(whole / "maps.zarr")
    assert sorted(p.name for p in folder.iterdir()) == ["maps.zarr", "outputs.zarr"]


def test_a_map_is_finished_once_its_chunks_are_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that stops forgets what was not synchronised."""
    source = opened(written(ocean((2, 2, 4, 6)), tmp_path / "a.zarr", (1, 2, 2, 3), FLOAT))
    lacking: set[tuple[MapArray, Any]] = set()
    n_written, at_the_end = [0], []
    write, sync, finish = MapArray.write_box, MapArray.sync_boxes, label_map.finish_outputs

    def writing(self: MapArray, box: Any, values: Any) -> None:
        write(self, box, values)
        lacking.add((self, box))
        n_written[0] += 1

    def syncing(self: MapArray, boxes: Any) -> None:
        own = list(boxes)
        sync(self, own)
        lacking.difference_update((self, box) for box in own)

    def finishing(group: Any) -> None:
        at_the_end.append(set(lacking))
        assert not (tmp_path / "run/maps.zarr").exists()
        finish(group)

    monkeypatch.setattr(MapArray, "write_box", writing)
    monkeypatch.setattr(MapArray, "sync_boxes", syncing)
    monkeypatch.setattr(label_map, "finish_outputs", finishing)
    delivered(source, tmp_path / "run")
    assert n_written[0] > len(NAMES)
    assert at_the_end == [set()]


def test_each_chunk_of_the_row_arrays_is_decoded_about_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(ocean((2, 1, 20, 30)), tmp_path / "a.zarr", (1, 1, 2, 3), FLOAT)
    source = opened(path)
    reads: list[int] = []
    read = MapArray.read

    def counted(self: Any, start: int, stop: int) -> Any:
        reads.append(start)
        return read(self, start, stop)

    monkeypatch.setattr("dgmm.data.zarr.output_array.OutputArray.read", counted)
    delivered(source, tmp_path / "run", chunk_rows=150)
    # 8 chunks of each of 4 arrays; a task may begin in the middle of one.
    assert len(reads) <= 4 * (8 + 6)


def test_a_folder_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    source = opened(written(ocean((1, 2, 4, 6)), tmp_path / "a.zarr", (1, 2, 2, 3), FLOAT))
    zarr.create_group(tmp_path / "run" / "maps.zarr", attributes={"title": "mine"})
    with pytest.raises(OutputExistsError, match=r"maps.zarr exists and was not written by dgmm"):
        delivered(source, tmp_path / "run")
