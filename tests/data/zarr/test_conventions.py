"""CF masks, packing and maps of one variable: read where nothing needs decoding, else refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import xarray
import zarr

from dgmm.data.fill_value import FillValue
from dgmm.data.open_dataset import as_dataset
from dgmm.data.zarr.dataset import open_zarr
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockRange

# zarr warns of texts in version 3, which xarray writes all the same.
pytestmark = pytest.mark.filterwarnings("ignore:The data type")

N, D = 60, 4
RNG = np.random.default_rng(5)


def table(path, zarr_format, values, *, fill=None, coords=None, dims=("station", "level")):
    """An array `X` as xarray writes it."""
    encoding = {} if fill is None else {"X": {"_FillValue": fill}}
    dataset = xarray.Dataset({"X": (dims, values)}, coords=coords or {})
    dataset.to_zarr(path, zarr_format=zarr_format, encoding=encoding, consolidated=False)
    return str(path)


def read(path):
    dataset = open_zarr(path, "X")
    return np.concatenate(
        [block.values for block in dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks))]
    )


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_mask_that_is_nan_is_read_as_it_stands(tmp_path, zarr_format, dtype):
    values = RNG.normal(size=(N, D)).astype(dtype)
    values[7, 1] = np.nan
    path = table(tmp_path / "a", zarr_format, values)
    np.testing.assert_array_equal(read(path), values)
    assert open_zarr(path, "X").fill_value is None


@pytest.mark.parametrize(
    "attributes",
    [
        {"_FillValue": "NaN"},
        {"_FillValue": [math.nan], "missing_value": [math.nan, math.nan]},
        {"missing_value": "AAAAAAAA+H8=", "scale_factor": 1, "add_offset": 0.0},
        {"scale_factor": [1.0], "add_offset": [0]},
    ],
)
def test_attributes_that_change_no_number_are_read(tmp_path, attributes):
    values = RNG.normal(size=(N, D))
    zarr.create_array(str(tmp_path / "X"), data=values, chunks=(9, D), attributes=attributes)
    np.testing.assert_array_equal(read_alone(tmp_path / "X"), values)


def read_alone(path):
    dataset = open_zarr(str(path))
    return np.concatenate(
        [block.values for block in dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks))]
    )


@pytest.mark.parametrize(
    ("attributes", "shown"),
    [
        (
            {"scale_factor": 0.5, "add_offset": 0},
            r"attributes scale_factor say.*scale_factor = 0\.5",
        ),
        ({"scale_factor": 1, "add_offset": 20.0}, r"attributes add_offset say"),
        ({"_FillValue": "AAAAAABAj8A="}, r"_FillValue = -1000\b"),
        ({"_FillValue": "Infinity"}, r"_FillValue = inf"),
        ({"missing_value": [math.nan, -8.0]}, r"attributes missing_value say"),
        ({"_FillValue": "no number", "missing_value": -7}, r"attributes _FillValue, missing_value"),
        ({"_FillValue": None}, r"attributes _FillValue say"),
    ],
)
def test_attributes_that_change_numbers_are_refused_with_their_values(tmp_path, attributes, shown):
    zarr.create_array(str(tmp_path / "X"), data=np.ones((N, D)), chunks=(9, D))
    document = json.loads((tmp_path / "X/zarr.json").read_text())
    (tmp_path / "X/zarr.json").write_text(json.dumps(document | {"attributes": attributes}))
    with pytest.raises(DataError, match=shown):
        open_zarr(str(tmp_path / "X"))


@pytest.mark.parametrize(("dtype", "unsigned"), [("i1", "true"), ("u2", "false")])
def test_integers_of_another_sign_than_stored_are_refused(tmp_path, dtype, unsigned):
    values = np.ones((N, D), dtype)
    attributes = {"_Unsigned": unsigned}
    zarr.create_array(str(tmp_path / "X"), data=values, chunks=(9, D), attributes=attributes)
    with pytest.raises(DataError, match="attributes _Unsigned say"):
        open_zarr(str(tmp_path / "X"))


@pytest.mark.parametrize(("fill", "dtype"), [(-32767, "i2"), (9.5e30, "f4"), (254, "u1")])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_mask_of_xarray_is_refused_in_both_formats(tmp_path, zarr_format, fill, dtype):
    fill = np.dtype(dtype).type(fill)
    path = table(tmp_path / "a", zarr_format, np.ones((N, D), dtype), fill=fill)
    with pytest.raises(DataError, match=r"fill_value .* is a mask|attributes _FillValue say"):
        open_zarr(path, "X")


def test_a_mask_of_version_2_is_data_once_the_metadata_say_null(tmp_path):
    values = np.where(np.arange(D) < 2, 3.0, np.zeros((N, D)))
    path = table(tmp_path / "a", 2, values, fill=3.0)
    with pytest.raises(DataError, match=r"fill_value 3 is a mask.*set fill_value to null"):
        open_zarr(path, "X")
    metadata = tmp_path / "a/X/.zarray"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"fill_value": None}))
    np.testing.assert_array_equal(read(path), values)


@pytest.mark.parametrize("fill", [0.0, 12.0])
def test_a_fill_value_that_no_one_reads_as_a_mask_is_read(tmp_path, fill):
    for zarr_format in (2, 3):
        path = tmp_path / str(zarr_format)
        zarr.create_array(
            str(path), data=np.ones((N, D)), chunks=(9, D), zarr_format=zarr_format, fill_value=fill
        )
        assert open_zarr(str(path)).fill_value == FillValue(fill)


def test_zero_may_be_the_default_and_is_a_mask_of_xarray_only_where_it_occurs(tmp_path):
    path = table(tmp_path / "a", 2, np.ones((N, D)), fill=0.0)
    assert open_zarr(path, "X").fill_value == FillValue(0.0, is_mask=True)


def coordinate(size):
    return np.linspace(-3.0, 8.0, size)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    "coords",
    [
        {"station": coordinate(N), "level": coordinate(D)},
        {"station": np.arange(N), "level": coordinate(D).astype("f4")},
        {"station": np.arange("2001-01-01", N, dtype="M8[D]").astype("M8[ns]"), "level": range(D)},
        {"lat": (("station", "level"), RNG.normal(size=(N, D)))},
    ],
)
def test_a_map_of_one_variable_is_refused_with_both_dimensions(tmp_path, zarr_format, coords):
    path = table(tmp_path / "a", zarr_format, np.ones((N, D)), coords=coords)
    for opened in ((path, "X"), (f"{path}/X", None)):
        with pytest.raises(DataError, match=r"station and level have numeric coord.*feature_names"):
            open_zarr(*opened)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    "coords",
    [
        {},
        {"station": coordinate(N)},
        {"level": coordinate(D)},
        {"station": coordinate(N), "level": ["t", "s", "o", "p"]},
        {"station": [f"s{i}" for i in range(N)], "level": coordinate(D)},
        {"station": coordinate(N), "depth": ("level", ["t", "s", "o", "p"])},
        {"station": coordinate(N), "level": np.array([True, False, True, False])},
    ],
)
def test_a_table_with_coordinates_of_its_rows_or_columns_is_read(tmp_path, zarr_format, coords):
    values = RNG.normal(size=(N, D))
    path = table(tmp_path / "a", zarr_format, values, coords=coords)
    np.testing.assert_array_equal(read(path), values)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_columns_that_have_names_are_features_whatever_their_coordinates(tmp_path, zarr_format):
    coords = {"station": coordinate(N), "level": coordinate(D)}
    path = table(tmp_path / "a", zarr_format, np.ones((N, D)), coords=coords)
    zarr.open_array(f"{path}/X").attrs["feature_names"] = list("abcd")
    assert open_zarr(path, "X").feature_names == ("a", "b", "c", "d")


@pytest.mark.parametrize("names", [["../X", "level"], ["station", "station"], ["", "a/b"], "ab", 7])
def test_strange_names_of_dimensions_are_nobodys_coordinates(tmp_path, names):
    coords = {"station": coordinate(N), "level": coordinate(D)}
    path = table(tmp_path / "a", 2, np.ones((N, D)), coords=coords)
    metadata = tmp_path / "a/X/.zattrs"
    metadata.write_text(json.dumps({"_ARRAY_DIMENSIONS": names}))
    assert open_zarr(path, "X").n_features == D


@pytest.mark.parametrize("attributes", [{"_FillValue": -77.5}, {"scale_factor": 0.25}])
def test_attributes_of_arrays_without_coordinates_count_in_memory(attributes):
    values = RNG.normal(size=(N, D))
    for make in (xarray.Variable, xarray.DataArray):
        plain = make(dims=("a", "b"), data=values)
        assert as_dataset(plain).n_features == D
        plain.attrs.update(attributes)
        with pytest.raises(DataError, match=f"attributes {next(iter(attributes))} say"):
            as_dataset(plain)
