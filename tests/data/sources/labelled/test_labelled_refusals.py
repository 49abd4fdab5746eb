"""Labelled arrays that cannot be rows are refused, with the name, the place and the remedy."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from labelled_cases import FLOAT, PACKED, all_rows, ocean, opened, written

from dgmm.data.data_source import DataSource
from dgmm.data.formats import detected_format
from dgmm.errors import DataError, DataNotFoundError, UnavailableError

CHUNKS = (1, 2, 2, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(ocean((2, 2, 4, 6)), tmp_path / "a.zarr", CHUNKS, FLOAT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variables": ("SR", "dSa")}, r"no variable 'dSa' \(data.variables\). Did you mean 'dSA'"),
        ({"sample_dims": ("time", "lat", "lom")}, r"no dimension 'lom' .* mean 'lon'"),
        ({"feature_dims": ("dpth",)}, r"no dimension 'dpth' .*feature_dims.* mean 'depth'"),
        ({"select": {"depht": [0, 10]}}, r"no dimension 'depht' .*data.select.* mean 'depth'"),
        ({"select": {"depth": [50, 90]}}, r"no coordinate lies in \[50, 90\]; .* 0 to 10 dbar"),
        ({"select": {"depth": [0, "deep"]}}, r"expected \[first, last\], two numbers"),
        ({"sample_dims": ("lat", "lon"), "feature_dims": ("depth",)}, r"dimension time .* neither"),
        ({"feature_dims": ("lat", "depth")}, r"both name lat"),
        ({"variables": ("time",), "sample_dims": ("time",)}, r"encoded dates"),
        ({"variables": ("area",)}, r"no variable of data.variables has the dimension time"),
        ({"sample_dims": ("time", "lat", "lon", "lat")}, r"dimension lat .* is named twice"),
        ({"variables": ("area",), "weight_column": "area"}, r"names the weights of rows alone"),
        ({"weight_column": "are"}, r"no variable 'are' \(data.weights\). Did you mean 'area'"),
        ({"concat_dim": "tme"}, r"no dimension 'tme' \(data.concat_dim\). Did you mean 'time'"),
    ],
)
def test_what_is_not_there_or_no_feature_is_named(
    path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        opened(path, **options)


def test_missing_sample_dims_are_proposed_as_a_job(path: Path) -> None:
    proposed = r"data: \{path: a.zarr, variables: \[.*SR.*\], sample_dims: \[time, lat, lon\]\}"
    missing = rf"(?s)data.sample_dims is not given; .*{proposed}"
    with pytest.raises(DataError, match=missing) as error:
        opened(path, sample_dims=())
    for dim, size in ocean((2, 2, 4, 6)).sizes.items():
        assert f"{dim} {size}" in str(error.value)
    with pytest.raises(DataError, match=r"data.variables is not given"):
        opened(path, variables=())


def test_a_variable_that_holds_no_numbers_is_refused_by_name(tmp_path: Path) -> None:
    data = ocean((1, 1, 2, 3)).assign(kind=(("lat", "lon"), np.full((2, 3), "sea")))
    data.to_netcdf(tmp_path / "a.nc", engine="netcdf4")
    with pytest.raises(DataError, match=r"variable kind holds .*expected numbers"):
        opened(tmp_path / "a.nc", variables=("kind",), sample_dims=("lat", "lon"))


def test_chunks_that_would_be_decoded_many_times_are_refused_with_the_remedy(
    tmp_path: Path,
) -> None:
    data = ocean((4, 2, 8, 8))
    encoding = {"SR": {"chunks": (1, 2, 4, 4)}, "dSA": {"chunks": (4, 2, 8, 8)}}
    data.to_zarr(tmp_path / "a.zarr", consolidated=False, encoding=encoding, zarr_format=3)
    with pytest.raises(DataError, match=r"dSA .* is decoded 16 times.*Name dSA first") as error:
        opened(tmp_path / "a.zarr")
    assert "rewrite dSA in chunks of SR" in str(error.value)
    turned = opened(tmp_path / "a.zarr", variables=("dSA", "SR"))
    assert "SR: each source chunk is decoded once" in turned.description.notes
    twice = {"SR": {"chunks": (1, 2, 4, 8)}, "dSA": {"chunks": (1, 2, 8, 8)}}
    data.to_zarr(tmp_path / "b.zarr", consolidated=False, encoding=twice, zarr_format=3)
    notes = opened(tmp_path / "b.zarr").description.notes
    assert "dSA: each source chunk is decoded 2 times" in notes
    for name, lon, n in (("c.zarr", 4, 4), ("d.zarr", 3, 6)):
        several = {"SR": {"chunks": (1, 2, 4, lon)}, "dSA": {"chunks": (1, 2, 8, 8)}}
        data.to_zarr(tmp_path / name, consolidated=False, encoding=several, zarr_format=3)
        if n == 4:
            notes = opened(tmp_path / name).description.notes
            assert "dSA: each source chunk is decoded 4 times" in notes
        else:
            with pytest.raises(DataError, match="decoded 6 times; at most 4 are accepted"):
                opened(tmp_path / name)


@pytest.mark.parametrize("version", [2, 3])
def test_absent_chunks_are_refused_unless_they_are_fill_values(
    tmp_path: Path, version: int
) -> None:
    path = written(ocean((2, 2, 4, 6)), tmp_path / "a.zarr", CHUNKS, PACKED, version)
    key = "dSA/c/1/0/1/0" if version == 3 else "dSA/1.0.1.0"
    (path / key).unlink()
    shown = key.partition("/")[2]
    with pytest.raises(DataError, match=rf"dSA: 1 of 8 chunks do not exist \({shown}\).*fill"):
        opened(path)
    source = opened(path, absent_chunks="fill")
    rows, (warning,) = all_rows(source), source.description.warnings
    assert warning == f"{path}/dSA: 1 of 8 chunks do not exist and are read as fill values"
    part = rows[6 * 6 : 7 * 6, 2:]
    # Version 2 keeps the mask in fill_value; the fill value of version 3 is the packed number 0.
    np.testing.assert_array_equal(part, np.full((6, 2), np.nan if version == 2 else 30.0))


def test_a_coordinate_of_one_zero_has_no_chunk_and_is_read(tmp_path: Path) -> None:
    at = {"t": np.array([0]), "member": 0, "lat": [1.0, 2.0]}
    data = xr.Dataset({"A": (("t", "lat"), np.ones((1, 2)))}, coords=at)
    data.to_zarr(tmp_path / "a.zarr", zarr_format=2, consolidated=False)
    assert not (tmp_path / "a.zarr/t/0").exists()
    how: dict[str, Any] = {"variables": ("A",), "sample_dims": ("t", "lat")}
    assert all_rows(opened(tmp_path / "a.zarr", **how)).shape == (2, 1)


def stepwise(path: Path, times: list[int], **more: Any) -> Path:
    """A time step a chunk, as files are appended to; nothing of `time` is stored where it is 0."""
    at = {"time": times, "lat": [1, 2], **more}
    data = xr.Dataset({"A": (("time", "lat"), np.ones((len(times), 2)))}, coords=at)
    encoding = {"time": {"chunks": (1,)}}
    data.to_zarr(path, zarr_format=2, consolidated=False, encoding=encoding)
    return path


STEPWISE: dict[str, Any] = {"variables": ("A",), "sample_dims": ("time", "lat")}


def test_a_time_of_0_that_is_not_stored_is_read_where_even_steps_lead_to_it(tmp_path: Path) -> None:
    even = stepwise(tmp_path / "even.zarr", [-6, 0, 6, 12])
    assert not (even / "time/1").exists()
    source = opened(even, **STEPWISE)
    assert source.locate(2).startswith(f"{even}, time=0 (1)")
    assert source.description.warnings == ()
    (even / "time/2").unlink()
    said = r"time: 2 of 4 chunks do not exist \(1, 2\)\. .* looks the same\. If none was lost"
    with pytest.raises(DataError, match=said):
        opened(even, **STEPWISE)
    for name, times in (("uneven", [-6, 0, 7, 12]), ("few", [0, 6, 12])):
        with pytest.raises(DataError, match=r"time: 1 of . chunks do not exist .*fill"):
            opened(stepwise(tmp_path / name, times), **STEPWISE)


def test_a_lost_time_is_refused_since_steps_to_0_are_none(tmp_path: Path) -> None:
    lost = stepwise(tmp_path / "a.zarr", [6, 12, 18, 24])
    (lost / "time/3").unlink()
    with pytest.raises(DataError, match=r"time: 1 of 4 chunks do not exist \(3\)"):
        opened(lost, **STEPWISE)


def test_a_coordinate_of_zeros_that_is_only_copied_is_a_warning(tmp_path: Path) -> None:
    path = stepwise(tmp_path / "a.zarr", [1, 2], height=("lat", [0, 0]))
    assert not (path / "height/0").exists()
    (warning,) = opened(path, **STEPWISE).description.warnings
    assert f"{path}/height: 1 of 1 chunks do not exist (0). height is copied to maps" in warning


@pytest.mark.parametrize("select", [{"lat": [1, 20]}, {}])
def test_an_absent_chunk_of_a_coordinate_is_refused_before_it_selects(
    tmp_path: Path, select: dict[str, Any]
) -> None:
    lat, values = np.arange(1.0, 41.0), np.arange(80.0).reshape(40, 2)
    data = xr.Dataset({"A": (("lat", "lon"), values)}, coords={"lat": lat, "lon": [0.0, 1.0]})
    encoding = {"lat": {"chunks": (10,)}}
    data.to_zarr(tmp_path / "a.zarr", zarr_format=3, consolidated=False, encoding=encoding)
    how: dict[str, Any] = {"variables": ("A",), "sample_dims": ("lat", "lon"), "select": select}
    rows = all_rows(opened(tmp_path / "a.zarr", **how))
    assert len(rows) == (40 if select else 80)
    (tmp_path / "a.zarr/lat/c/1").unlink()
    with pytest.raises(DataError, match=r"a.zarr/lat: 1 of 4 chunks do not exist \(c/1\)"):
        opened(tmp_path / "a.zarr", **how)


@pytest.mark.parametrize("absent_chunks", ["error", "fill"])
def test_a_chunk_that_is_gone_later_is_an_error(path: Path, absent_chunks: str) -> None:
    source = opened(path, absent_chunks=absent_chunks)
    (path / "SR" / "c" / "0" / "0" / "1" / "0").unlink()
    with pytest.raises(DataError, match=r"chunk SR/c/0/0/1/0 was there .* and is gone"):
        all_rows(source)


@pytest.mark.parametrize("place", ["start", "end"])
def test_inner_chunks_that_a_shard_lacks_are_refused(tmp_path: Path, place: str) -> None:
    data = ocean((2, 2, 4, 6))
    data["SR"][0, :, :2, :3] = 0.0
    shards = {"shape": (2, 2, 4, 6), "index_location": place}
    how = {"chunks": (1, 2, 2, 3), "shards": shards, "fill_value": 0.0, "_FillValue": None}
    encoding = {"SR": how, "dSA": how}
    data.to_zarr(tmp_path / "a.zarr", consolidated=False, encoding=encoding, zarr_format=3)
    with pytest.raises(DataError, match=r"SR/c/0/0/0/0: 1 inner chunks of this shard do not exist"):
        opened(tmp_path / "a.zarr")
    source = opened(tmp_path / "a.zarr", absent_chunks="fill")
    rows, (warning,) = all_rows(source), source.description.warnings
    np.testing.assert_array_equal(rows[:6, :2], 0.0)
    said = "1 of 8 chunks do not exist and are read as fill values"
    assert warning == f"{tmp_path / 'a.zarr'}/SR: {said}"
    (tmp_path / "a.zarr/SR/c/0/0/0/0").unlink()
    (warning,) = opened(tmp_path / "a.zarr", absent_chunks="fill").description.warnings
    assert warning == f"{tmp_path / 'a.zarr'}/SR: {said.replace('1 of', '8 of')}"


def test_a_damaged_chunk_is_named(path: Path) -> None:
    (path / "SR" / "c" / "1" / "0" / "1" / "1").write_bytes(b"no chunk")
    source = opened(path)
    with pytest.raises(DataError, match=r"variable SR cannot be read at time 1 to 2, .*lon 3 to 6"):
        all_rows(source)


@pytest.mark.parametrize("how", [PACKED, FLOAT], ids=["packed", "float"])
def test_values_outside_the_valid_range_are_refused(tmp_path: Path, how: dict[str, Any]) -> None:
    data = ocean((2, 2, 4, 6))
    data["SR"][1, 0, 2, 5] = 60.0
    # Of packed values the range is one of stored integers: 30 to 50 in the units of the values.
    ends = np.array([0, 20_000], "i2") if how is PACKED else np.array([30, 50], "f4")
    data["SR"].attrs["valid_range"] = ends
    path = written(data, tmp_path / "a.zarr", CHUNKS, how)
    with pytest.raises(DataError, match=r"variable SR: values outside .*valid_range.*: 1 of"):
        all_rows(opened(path))
    data["SR"][1, 0, 2, 5] = 50.0
    within = written(data, tmp_path / "b.zarr", CHUNKS, how)
    assert np.nanmax(all_rows(opened(within))[:, 0]) == 50.0


@pytest.mark.parametrize(
    ("dtype", "value", "is_masked"),
    [("i8", 2**53 + 1, False), ("i8", -(2**53) - 1, True), ("u8", 2**64 - 1, False)],
)
def test_integers_that_rows_would_round_are_refused(
    tmp_path: Path, dtype: str, value: int, is_masked: bool
) -> None:
    largest = np.array([[1, 2**53], [3, 4]], dtype)
    attributes = {"_FillValue": np.array(-(2**62), dtype)} if is_masked else {}
    for name in ("exact", "beyond"):
        values = largest.copy()
        values[1, 0] = value if name == "beyond" else 3
        if is_masked:
            values[0, 0] = -(2**62)
        encoding = {"A": attributes or {"_FillValue": None}}
        data = xr.Dataset({"A": xr.Variable(("y", "x"), values)})
        data.to_netcdf(tmp_path / f"{name}.nc", engine="netcdf4", encoding=encoding)
    how: dict[str, Any] = {"variables": ("A",), "sample_dims": ("y", "x")}
    exact = all_rows(opened(tmp_path / "exact.nc", **how))
    np.testing.assert_array_equal(exact[:, 0], [np.nan if is_masked else 1, 2**53, 3, 4])
    with pytest.raises(DataError, match=rf"beyond.nc: variable A: {value} is an integer beyond"):
        all_rows(opened(tmp_path / "beyond.nc", **how))


def test_integers_of_the_other_sign_are_refused_by_what_they_mean(tmp_path: Path) -> None:
    how: dict[str, Any] = {"variables": ("A",), "sample_dims": ("y", "x")}
    for name, value in (("exact", 5), ("beyond", -1)):
        stored = xr.Variable(("y", "x"), np.array([[1, 2], [3, value]]), {"_Unsigned": "true"})
        data, encoding = xr.Dataset({"A": stored}), {"A": {"_FillValue": None}}
        data.to_netcdf(tmp_path / f"{name}.nc", engine="netcdf4", encoding=encoding)
    assert all_rows(opened(tmp_path / "exact.nc", **how))[:, 0].tolist() == [1, 2, 3, 5]
    with pytest.raises(DataError, match=f"variable A: {2**64 - 1} is an integer beyond"):
        all_rows(opened(tmp_path / "beyond.nc", **how))


def test_files_that_differ_are_named(tmp_path: Path) -> None:
    data = ocean((4, 2, 4, 6))
    one = written(data.isel(time=slice(0, 2)), tmp_path / "1.zarr", CHUNKS, FLOAT)
    later = data.isel(time=slice(2, 4))
    moved = later.assign_coords(lat=later.lat + 0.5)
    two = written(moved, tmp_path / "2.zarr", CHUNKS, FLOAT)
    with pytest.raises(DataError, match=r"2.zarr: coordinate lat differs from that of .*1.zarr"):
        opened([one, two], concat_dim="time")
    three = written(later.isel(lat=slice(0, 3)), tmp_path / "3.zarr", CHUNKS, FLOAT)
    with pytest.raises(DataError, match=r"3.zarr: dimension lat of variable SR has 3 places"):
        opened([one, three], concat_dim="time")
    four = written(later.drop_vars("dSA"), tmp_path / "4.zarr", CHUNKS, FLOAT)
    with pytest.raises(DataError, match=r"4.zarr has no variable 'dSA'"):
        opened([one, four], concat_dim="time")
    later["time"].attrs["units"] = "hours since 2002-01-01"
    five = written(later, tmp_path / "5.zarr", CHUNKS, FLOAT)
    with pytest.raises(DataError, match=r"5.zarr: coordinate time has units = hours since 2002"):
        opened([one, five], concat_dim="time")
    at = {"TLAT": (("lat", "lon"), np.ones((4, 6)))}
    data["SR"].encoding["coordinates"] = "TLAT"
    six = written(data.isel(time=slice(0, 2)).assign_coords(at), tmp_path / "6.zarr", CHUNKS, FLOAT)
    at["TLAT"][1][2, 3] = 1.5
    seven = written(
        data.isel(time=slice(2, 4)).assign_coords(at), tmp_path / "7.zarr", CHUNKS, FLOAT
    )
    with pytest.raises(DataError, match=r"7.zarr: coordinate TLAT differs from that of .*6.zarr"):
        opened([six, seven], concat_dim="time")
    with pytest.raises(DataError, match=r"data.path names 2 files .* data.concat_dim"):
        opened([one, five])


def joined(folder: Path, one: xr.Dataset, other: xr.Dataset, *names: str) -> Any:
    """The rows (t, x) of two NetCDF files along t, in a folder of their own: others stay open."""
    folder = folder / str(len([*folder.iterdir()]))
    folder.mkdir()
    for name, data in (("1.nc", one), ("2.nc", other)):
        data.to_netcdf(folder / name, engine="netcdf4")
    how: dict[str, Any] = {"variables": names, "sample_dims": ("t", "x"), "concat_dim": "t"}
    return all_rows(opened([folder / "1.nc", folder / "2.nc"], **how))


def grid(dtype: str = "f8", **attributes: Any) -> xr.Dataset:
    """A variable A (t, x) in K, and S (x); x is stored as 1, 2, 3."""
    x = ("x", np.arange(1, 4).astype(dtype), attributes)
    values = {"A": (("t", "x"), np.ones((2, 3)), {"units": "K"}), "S": ("x", [0.5, np.nan, 2.0])}
    return xr.Dataset(values, coords={"x": x})


def test_coordinates_of_joined_files_are_compared_as_decoded(tmp_path: Path) -> None:
    once, tenfold = grid("i2", scale_factor=1.0), grid("i2", scale_factor=10.0)
    with pytest.raises(DataError, match=r"2.nc: coordinate x differs from that of .*1.nc"):
        joined(tmp_path, once, tenfold, "A")
    # The same places, packed in another way.
    assert joined(tmp_path, grid("f8"), once, "A").shape == (12, 1)
    for bare in (0, 1):
        files = [grid(), grid()]
        files[bare] = files[bare].drop_vars("x")
        message = r"2.nc has a coordinate x, which" if bare == 0 else r"2.nc: coordinate x differs"
        with pytest.raises(DataError, match=message):
            joined(tmp_path, *files, "A")


def test_units_of_joined_files_are_the_same(tmp_path: Path) -> None:
    other = grid()
    other["A"].attrs["units"] = "degC"
    with pytest.raises(DataError, match=r"2.nc: variable A has units = degC; expected K"):
        joined(tmp_path, grid(), other, "A")
    with pytest.raises(DataError, match=r"2.nc: coordinate x has units = km; expected m"):
        joined(tmp_path, grid(units="m"), grid(units="km"), "A")
    del other["A"].attrs["units"]
    assert joined(tmp_path, grid(), other, "A").shape == (12, 1)


@pytest.mark.parametrize("compared", [4_000_000, 2])
def test_a_variable_that_is_repeated_along_files_is_the_same_in_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compared: int
) -> None:
    monkeypatch.setattr("dgmm.data.sources.labelled.collection._COMPARED", compared)
    rows = joined(tmp_path, grid(), grid(), "A", "S")
    np.testing.assert_array_equal(rows[:, 1].reshape(4, 3), np.tile([0.5, np.nan, 2.0], (4, 1)))
    other = grid()
    other["S"][2] = 2.5
    with pytest.raises(DataError, match=r"2.nc: the values of variable S differ .*1.nc: .* t,"):
        joined(tmp_path, grid(), other, "A", "S")


def test_paths_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"none.nc does not exist"):
        opened(tmp_path / "none.nc")
    with pytest.raises(DataNotFoundError, match=r"\*.nc matches nothing"):
        opened(tmp_path / "*.nc")
    (tmp_path / "text.nc").write_text("no NetCDF")
    with pytest.raises(DataError, match=r"text.nc cannot be opened as labelled arrays"):
        opened(tmp_path / "text.nc")


@pytest.mark.parametrize("second", ["*.nc", "../{name}/1.nc", "link.nc"])
def test_a_file_that_is_named_twice_is_refused(tmp_path: Path, second: str) -> None:
    ocean((2, 1, 2, 3)).to_netcdf(tmp_path / "1.nc", engine="netcdf4")
    if second == "link.nc":
        (tmp_path / second).symlink_to(tmp_path / "1.nc")
    again = tmp_path / second.format(name=tmp_path.name)
    with pytest.raises(DataError, match=r"names .*1\.nc twice"):
        opened([tmp_path / "1.nc", again], concat_dim="time")


def test_a_dimension_without_places_is_refused(tmp_path: Path) -> None:
    data = ocean((1, 2, 4, 6)).isel(time=slice(0, 0))
    data.to_netcdf(tmp_path / "a.nc", engine="netcdf4")
    with pytest.raises(DataError, match=r"dimension time \(data.sample_dims\) has no places"):
        opened(tmp_path / "a.nc")


def test_without_netcdf4_the_pip_line_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(ocean((1, 1, 2, 3)), tmp_path / "a.nc", (1, 1, 2, 3), FLOAT, None)
    monkeypatch.setattr("dgmm.data.sources.labelled.opening.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"netCDF4.*pip install 'dgmm\[xarray\]'"):
        opened(path)


def test_a_selection_that_is_not_contiguous_is_refused(tmp_path: Path) -> None:
    data = ocean((1, 2, 4, 6)).assign_coords(lat=[0.0, 30.0, 10.0, 40.0])
    path = written(data, tmp_path / "a.zarr", CHUNKS, FLOAT)
    with pytest.raises(DataError, match=r"data.select of lat: .* not contiguous"):
        opened(path, select={"lat": [0, 10]})


def test_without_xarray_the_pip_line_is_given(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refused(name: str, *rest: Any, **named: Any) -> Any:
        if name == "xarray":
            raise ImportError("No module named 'xarray'")
        return real(name, *rest, **named)

    monkeypatch.delitem(sys.modules, "xarray")
    monkeypatch.setattr(builtins, "__import__", refused)
    with pytest.raises(UnavailableError, match=r"pip install 'dgmm\[xarray\]'"):
        opened(path)


def test_groups_and_netcdf_files_are_told_by_content(path: Path, tmp_path: Path) -> None:
    netcdf = written(ocean((1, 1, 2, 3)), tmp_path / "b", (1, 1, 2, 3), FLOAT, None)
    assert detected_format(DataSource(str(netcdf))) == "netcdf"
    assert detected_format(DataSource(str(path), variables=("SR",))) == "labelled"
    assert detected_format(DataSource(str(path), array="SR")) == "zarr"
    with xr.open_dataset(netcdf, engine="netcdf4") as data:
        assert data.sizes["lat"] == 2
