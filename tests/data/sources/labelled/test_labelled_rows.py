"""Rows of labelled arrays equal what xarray stacks, and each source chunk is decoded once."""

from __future__ import annotations

import pickle
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from labelled_cases import (
    FLOAT,
    PACKED,
    SAMPLE_DIMS,
    all_rows,
    by_xarray,
    in_c_order,
    ocean,
    opened,
    stacked,
    written,
)

from dgmm.data.sources.labelled.chunk_store import WholeChunksStore
from dgmm.data.sources.labelled.opening import LabelledFile
from dgmm.data.sources.row_source import RowSource
from dgmm.errors import DataError

SIZES = (4, 5, 20, 30)
CHUNKS = {"one time": (1, 5, 20, 30), "tiles": (4, 5, 2, 3), "one depth": (4, 1, 20, 30)}
FORMS: dict[str, tuple[dict[str, Any], int | None]] = {
    "packed v2": (PACKED, 2),
    "packed v3": (PACKED, 3),
    "packed NetCDF": (PACKED, None),
    "float v2": (FLOAT, 2),
    "float v3": (FLOAT, 3),
    "float NetCDF": (FLOAT, None),
}


@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_rows_equal_what_xarray_stacks_value_by_value(
    tmp_path: Path, form: tuple[dict[str, Any], int | None], chunks: tuple[int, ...]
) -> None:
    path = written(ocean(SIZES), tmp_path / "ocean", chunks, *form)
    with by_xarray(path) as data:
        expected = stacked(data)
    source = opened(path)
    assert isinstance(source, RowSource)
    rows = all_rows(pickle.loads(pickle.dumps(source)))  # noqa: S301 - our own bytes
    assert rows.dtype == expected.dtype == source.description.dtype
    np.testing.assert_array_equal(in_c_order(source, rows), expected)
    assert np.isnan(expected).any()


MANY = {
    "one time": ((500, 3, 4, 5), (1, 3, 4, 5)),
    "tiles": ((2, 3, 50, 60), (2, 3, 2, 3)),
    "one depth": ((3, 500, 4, 5), (3, 1, 4, 5)),
}


@pytest.mark.parametrize(("sizes", "chunks"), MANY.values(), ids=MANY)
def test_each_of_a_thousand_source_chunks_is_decoded_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sizes: tuple[int, int, int, int],
    chunks: tuple[int, ...],
) -> None:
    path = written(ocean(sizes), tmp_path / "many.zarr", chunks, PACKED)
    source = opened(path)
    asked: Counter[str] = Counter()
    get = WholeChunksStore.get

    async def counted(self: Any, key: str, *rest: Any, **named: Any) -> Any:
        asked[key] += 1
        return await get(self, key, *rest, **named)

    monkeypatch.setattr(WholeChunksStore, "get", counted)
    rows = sum(len(r.values) for part in source.parts() for r in source.read(part))
    assert rows == source.grid.n_rows
    chunk_reads = {key: n for key, n in asked.items() if "/c/" in key}
    assert len(chunk_reads) >= 1000
    assert set(chunk_reads.values()) == {1}
    assert "SR: each source chunk is decoded once" in source.description.notes


def test_rows_run_chunk_by_chunk_and_are_located_by_their_coordinates(tmp_path: Path) -> None:
    source = opened(written(ocean((2, 2, 4, 6)), tmp_path / "a.zarr", (1, 2, 2, 3), FLOAT))
    assert source.description.attributes == {
        "sample_dims": ["time", "lat", "lon"],
        "sample_shape": [2, 4, 6],
        "sample_chunks": [[[1, 2]], [[2, 2]], [[3, 2]]],
        "sample_coordinates": {"time": [0.0, 6.0], "lat": [-60.0, 60.0], "lon": [0.0, 350.0]},
    }
    assert [part.n_rows for part in source.parts()] == [6] * 8
    assert source.parts()[1].name == "a.zarr at time 0 to 0, lat 0 to 1, lon 3 to 5"
    assert source.locate(7) == (
        f"{tmp_path / 'a.zarr'}, time=0.0 hours since 2001-01-01 (0), "
        "lat=-60.0 degrees_north (0), lon=280.0 degrees_east (4)"
    )


def test_features_are_named_by_coordinate_and_have_units(tmp_path: Path) -> None:
    data = ocean((2, 3, 4, 5))
    source = opened(
        written(data, tmp_path / "a.zarr", (1, 3, 4, 5), FLOAT), variables=("SR", "area")
    )
    names = ("SR[depth=0 dbar]", "SR[depth=10 dbar]", "SR[depth=20 dbar]", "area")
    assert source.description.feature_names == names
    assert source.description.units == dict.fromkeys(names[:3], "g kg-1")
    data = data.drop_vars("depth")
    plain = opened(written(data, tmp_path / "b.zarr", (1, 3, 4, 5), FLOAT), variables=("SR",))
    assert plain.description.feature_names == ("SR[depth=0]", "SR[depth=1]", "SR[depth=2]")
    data = data.assign_coords(depth=[5.0, 5.0, 7.5])
    twice = opened(written(data, tmp_path / "c.zarr", (1, 3, 4, 5), FLOAT), variables=("SR",))
    assert twice.description.feature_names == (
        *("SR[depth=5, 0]", "SR[depth=5, 1]", "SR[depth=7.5, 2]"),
    )


def test_several_feature_dimensions_run_in_the_order_of_the_job(tmp_path: Path) -> None:
    path = written(ocean((2, 3, 4, 5)), tmp_path / "a.zarr", (1, 3, 4, 5), FLOAT)
    source = opened(
        path, variables=("SR",), sample_dims=("lat", "lon"), feature_dims=("depth", "time")
    )
    assert source.description.feature_names[:2] == (
        "SR[depth=0 dbar, time=0 hours since 2001-01-01]",
        "SR[depth=0 dbar, time=6 hours since 2001-01-01]",
    )
    with by_xarray(path) as data:
        expected = data.SR.transpose("lat", "lon", "depth", "time").values.reshape(20, 6)
    np.testing.assert_array_equal(in_c_order(source, all_rows(source)), expected)


def test_a_variable_without_a_sample_dimension_is_repeated_and_the_notes_say_so(
    tmp_path: Path,
) -> None:
    path = written(ocean((3, 2, 4, 5)), tmp_path / "a.zarr", (1, 2, 2, 5), FLOAT)
    source = opened(path, variables=("SR", "area"))
    rows = in_c_order(source, all_rows(source))
    with by_xarray(path) as data:
        area = np.broadcast_to(data.area.values, (3, 4, 5)).ravel()
    np.testing.assert_array_equal(rows[:, 2], area)
    notes = source.description.notes
    assert "area has no dimension time: its values are repeated along it" in notes
    assert "area: read once by each process, and kept in memory" in notes


def test_an_interval_of_a_coordinate_selects_places_and_features(tmp_path: Path) -> None:
    path = written(ocean((3, 5, 10, 12)), tmp_path / "a.zarr", (1, 2, 3, 5), PACKED)
    select = {"depth": [10, 30], "lat": [50, -30], "time": [6, None]}
    source = opened(path, select=select)
    with by_xarray(path) as data:
        part = data.sel(depth=slice(10, 30), lat=slice(-30, 50), time=slice(6, None))
        expected = stacked(part)
    np.testing.assert_array_equal(in_c_order(source, all_rows(source)), expected)
    assert source.grid.shape == (2, part.sizes["lat"], 12)
    assert len(source.description.feature_names) == 6


def test_a_descending_coordinate_is_selected_as_well(tmp_path: Path) -> None:
    data = ocean((1, 2, 10, 4)).isel(lat=slice(None, None, -1))
    path = written(data, tmp_path / "a.zarr", (1, 2, 3, 4), FLOAT)
    source = opened(path, select={"lat": [-30, 50]})
    with by_xarray(path) as opened_data:
        expected = stacked(opened_data.sel(lat=slice(50, -30)))
    np.testing.assert_array_equal(in_c_order(source, all_rows(source)), expected)


@pytest.mark.parametrize("version", [3, None])
def test_files_are_joined_along_a_dimension_in_natural_order(
    tmp_path: Path, version: int | None
) -> None:
    data = ocean((7, 2, 4, 5))
    for name, part in {"f2": slice(0, 3), "f10": slice(3, 4), "f11": slice(4, 7)}.items():
        # Each file is packed in its own way.
        how = PACKED | {"scale_factor": 0.001 if name == "f2" else 0.002}
        own = data.isel(time=part)
        written(own, tmp_path / name, (min(2, own.sizes["time"]), 2, 3, 5), how, version)
    source = opened([tmp_path / "f*"], concat_dim="time")
    parts = [by_xarray(tmp_path / name).load() for name in ("f2", "f10", "f11")]
    expected = stacked(xr.concat(parts, "time", data_vars="minimal"))
    np.testing.assert_array_equal(in_c_order(source, all_rows(source)), expected)
    assert source.grid.edges[0] == (0, 2, 3, 4, 6, 7)
    last = source.grid.n_rows - 1
    assert source.locate(last).startswith(f"{tmp_path / 'f11'}, time=36.0 hours since")
    assert source.parts()[-1].name == "f11 at time 6 to 6, lat 3 to 3, lon 0 to 4"
    area = opened([tmp_path / "f*"], concat_dim="time", variables=("SR", "area"))
    note = f"area is taken from {tmp_path / 'f2'}, and is the same in all files: it has "
    assert any(each.startswith(note) for each in area.description.notes)
    for each in parts:
        each.close()


def test_files_are_joined_along_a_feature_dimension(tmp_path: Path) -> None:
    data = ocean((2, 5, 4, 5))
    paths = [
        written(data.isel(depth=part), tmp_path / f"{part.start}.zarr", (1, 1, 3, 5), PACKED)
        for part in (slice(0, 2), slice(2, 5))
    ]
    source = opened(paths, concat_dim="depth", select={"depth": [10, 30]})
    whole = written(data, tmp_path / "all.zarr", (1, 1, 3, 5), PACKED)
    with by_xarray(whole) as joined:
        expected = stacked(joined.sel(depth=slice(10, 30)))
    np.testing.assert_array_equal(in_c_order(source, all_rows(source)), expected)


def test_weights_are_a_variable_beside_the_rows(tmp_path: Path) -> None:
    path = written(ocean((2, 2, 4, 6)), tmp_path / "a.zarr", (1, 2, 2, 3), FLOAT)
    source = opened(path, weight_column="area")
    assert source.description.has_weights
    found = [rows.weights for part in source.parts() for rows in source.read(part)]
    weights = np.concatenate([w for w in found if w is not None])
    area = np.broadcast_to(ocean((2, 2, 4, 6)).area.values, (2, 4, 6)).ravel()
    np.testing.assert_array_equal(in_c_order(source, weights), area)


def weights_by_cosine(path: Path, units: str | None) -> Any:
    """Of rows at latitudes 0.1 and 60.0 in those units."""
    attributes = {} if units is None else {"units": units}
    lat = ("lat", [0.1, 60.0], attributes)
    data = xr.Dataset({"A": (("lat", "lon"), np.ones((2, 1)))}, coords={"lat": lat})
    data.to_netcdf(path, engine="netcdf4")
    how: dict[str, Any] = {"variables": ("A",), "sample_dims": ("lat", "lon")}
    source = opened(path, weight_cosine="lat", **how)
    return np.concatenate([rows.weights for part in source.parts() for rows in source.read(part)])


def test_weights_by_cosine_take_latitudes_in_their_units(tmp_path: Path) -> None:
    for i, units in enumerate((None, "degrees_north", "degree", "degrees_N")):
        found = weights_by_cosine(tmp_path / f"{i}.nc", units)
        np.testing.assert_allclose(found, np.cos([0.1 * np.pi / 180, np.pi / 3]), rtol=1e-15)
    for units in ("radians", "radian"):
        found = weights_by_cosine(tmp_path / f"{units}.nc", units)
        np.testing.assert_allclose(found, np.cos([0.1, 60.0]), rtol=1e-15)
    with pytest.raises(DataError, match=r"cosine of lat, which has units = km; expected degrees"):
        weights_by_cosine(tmp_path / "km.nc", "km")


def test_reading_a_part_takes_no_more_memory_than_is_said(tmp_path: Path) -> None:
    chunks = (1, 8, 200, 300)
    source = opened(written(ocean((2, 8, 200, 300)), tmp_path / "a.zarr", chunks, PACKED))
    for _ in source.read(source.parts()[0]):
        pass  # what is opened once
    tracemalloc.start()
    for _ in source.read(source.parts()[1]):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < source.read_bytes < 2**26


def test_files_without_chunks_are_cut_in_parts_that_keep_c_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "contiguous.nc"
    ocean((3, 2, 10, 20)).to_netcdf(path, engine="scipy")
    monkeypatch.setattr("dgmm.data.sources.labelled.chunk_use._PART_BYTES", 60 * 4 * 8)
    source = opened(path)
    assert source.grid.edges == ((0, 1, 2, 3), (0, 3, 6, 9, 10), (0, 20))
    with xr.open_dataset(path, decode_times=False) as data:
        np.testing.assert_array_equal(all_rows(source), stacked(data))


@pytest.mark.parametrize("version", [3, None])
def test_a_file_is_opened_once_for_all_tasks_of_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int | None
) -> None:
    path = written(ocean((2, 2, 4, 6)), tmp_path / "a", (1, 2, 2, 3), FLOAT, version)
    source = opened(path)
    n_opened = 0
    anew = LabelledFile.opened_anew

    def counted(self: LabelledFile) -> xr.Dataset:
        nonlocal n_opened
        n_opened += 1
        return anew(self)

    monkeypatch.setattr(LabelledFile, "opened_anew", counted)
    sent = pickle.dumps(source)
    first, second = (all_rows(pickle.loads(sent)) for _ in range(2))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(first, second)
    assert n_opened == 1
    written(ocean((2, 2, 4, 6)) + 1.0, tmp_path / "b", (1, 2, 2, 3), FLOAT, version)
    (tmp_path / "a").rename(tmp_path / "old")
    (tmp_path / "b").rename(path)
    np.testing.assert_array_equal(all_rows(opened(path)), first + np.float32(1.0))


def test_a_source_that_changed_is_noticed(tmp_path: Path) -> None:
    path = written(ocean((2, 2, 4, 6)), tmp_path / "a.zarr", (1, 2, 2, 3), FLOAT)
    source = opened(path)
    source.check_unchanged()
    assert opened(path).fingerprint() == source.fingerprint()
    assert opened(path, sample_dims=("lat", "lon", "time")).fingerprint() != source.fingerprint()
    (path / "dSA" / "c" / "0" / "0" / "0" / "0").touch()
    with pytest.raises(DataError, match=r"a.zarr changed during the run"):
        source.check_unchanged()


def test_sample_dims_in_another_order_give_the_rows_in_that_order(tmp_path: Path) -> None:
    path = written(ocean((2, 2, 4, 6)), tmp_path / "a.zarr", (1, 2, 2, 3), FLOAT)
    source = opened(path, sample_dims=("lon", "lat", "time"))
    with by_xarray(path) as data:
        columns = [
            data[name].stack(row=SAMPLE_DIMS[::-1]).transpose("row", "depth").values
            for name in ("SR", "dSA")
        ]
    expected = np.concatenate(columns, axis=1)
    np.testing.assert_array_equal(in_c_order(source, all_rows(source)), expected)
