"""CF masks and packing are decoded as xarray does; names of features; maps are refused."""

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
    assert open_zarr(path, "X").decoding is None  # costs nothing where nothing is to be decoded


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


def decoded_by_xarray(path, **options):
    with xarray.open_zarr(path, consolidated=False, decode_times=False, **options) as dataset:
        return dataset["X"].values


def as_is(path, values, zarr_format=3, fill_value=None, **attributes):
    """An array with dimensions' names and whatever attributes, as other writers make it."""
    group = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)
    names = {"dimension_names": ("station", "level")} if zarr_format == 3 else {}
    array = group.create_array(
        "X", data=values, chunks=(9, 3), fill_value=fill_value, overwrite=True, **names
    )
    if zarr_format == 2:
        array.attrs["_ARRAY_DIMENSIONS"] = ["station", "level"]
    array.attrs.update(attributes)
    return str(path)


PACKED = [
    ("i2", {"scale_factor": 0.001, "add_offset": 30.0}),
    ("i2", {"scale_factor": -0.5}),
    ("i4", {"add_offset": 273.15}),
    ("f4", {"scale_factor": 0.1, "add_offset": 1.0}),
    ("u1", {"scale_factor": [0.25], "add_offset": 3}),
    ("i8", {}),
    ("f2", {}),
    ("f8", {}),
]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("masks", [(), (7,), (7, 11)])
@pytest.mark.parametrize(("dtype", "packing"), PACKED)
def test_packed_and_masked_values_are_those_of_xarray(
    tmp_path, zarr_format, masks, dtype, packing, recwarn
):
    values = RNG.integers(0, 30, size=(N, D)).astype(dtype)
    attributes = packing | ({"missing_value": list(masks)} if masks else {})
    path = as_is(tmp_path / "a", values, zarr_format, **attributes)
    if zarr_format == 2:
        edit(tmp_path / "a/X/.zarray", fill_value=None)
    expected, found = decoded_by_xarray(path), read(path)
    np.testing.assert_array_equal(found, expected)
    assert np.isnan(expected).any() == bool(masks)
    if attributes:
        assert (found.dtype, open_zarr(path, "X").dtype) == (expected.dtype, expected.dtype)
    assert not [one for one in recwarn if one.category is RuntimeWarning]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("fill", "dtype"), [(-32767, "i2"), (9.5e30, "f4"), (254, "u1"), (0, "i4"), (-999.99, "f4")]
)
def test_a_mask_of_xarray_is_missing_in_both_formats(tmp_path, zarr_format, fill, dtype, recwarn):
    fill = np.dtype(dtype).type(fill)
    values = RNG.integers(1, 9, size=(N, D)).astype(dtype)
    values[5, 2] = values[41, 0] = fill
    path = table(tmp_path / "a", zarr_format, values, fill=fill)
    found = read(path)
    assert np.argwhere(np.isnan(found)).tolist() == [[5, 2], [41, 0]]
    np.testing.assert_array_equal(found, decoded_by_xarray(path))
    dataset = open_zarr(path, "X")
    assert dataset.fill_value is None or zarr_format == 3
    assert any("zeros are read as missing" in w for w in dataset.warnings) == (
        fill == 0 and zarr_format == 2
    )


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_floats_whose_mask_is_nan_keep_their_type(tmp_path, scale):
    values = RNG.normal(size=(N, D)).astype("f4")
    values[3, 3] = np.nan
    path = as_is(tmp_path / "a", values, 2, math.nan, scale_factor=scale)
    np.testing.assert_array_equal(read(path), decoded_by_xarray(path))
    assert read(path).dtype == decoded_by_xarray(path).dtype == np.float32


@pytest.mark.parametrize(("dtype", "unsigned"), [("i1", "true"), ("u2", "false")])
@pytest.mark.parametrize("attributes", [{}, {"scale_factor": 0.5}, {"_FillValue": 3}])
def test_integers_of_another_sign_than_stored_are_those_of_xarray(
    tmp_path, dtype, unsigned, attributes
):
    values = RNG.integers(-99, 99, size=(N, D)).astype(dtype)
    path = as_is(tmp_path / "a", values, _Unsigned=unsigned, **attributes)
    expected = decoded_by_xarray(path)
    np.testing.assert_array_equal(read(path), expected)
    assert read(path).dtype == expected.dtype
    assert (expected < 0).any() == (unsigned == "false")


def test_a_fill_value_of_another_sign_is_masked(tmp_path):
    path = as_is(tmp_path / "a", np.full((N, D), -1, "i1"), _Unsigned="true", _FillValue=-1)
    assert np.isnan(read(path)).all()
    assert np.isnan(decoded_by_xarray(path)).all()


@pytest.mark.parametrize("chunks", [(97, 1), (70, 3), (60, 4), (999, 4)])
def test_decoding_gives_the_same_bits_for_any_chunks_and_from_the_cache(tmp_path, chunks):
    values = RNG.integers(-900, 900, size=(9000, D)).astype("i2")
    packing = {"scale_factor": 0.0123, "add_offset": 7.7, "_FillValue": 17}
    zarr.create_array(
        str(tmp_path / "X"), data=values, chunks=chunks, config={"write_empty_chunks": True}
    )
    zarr.open_array(str(tmp_path / "X")).attrs.update(packing)
    meant = np.where(values == 17, np.nan, values.astype("f8") * 0.0123 + 7.7)
    dataset = open_zarr(str(tmp_path / "X")).with_cache(10**8)
    for _ in range(2):
        blocks = dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks))
        found = np.concatenate([block.values for block in blocks])
        assert found.tobytes() == meant.tobytes()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_array_in_a_store_is_decoded_as_one_in_a_folder(tmp_path, zarr_format):
    values = RNG.integers(0, 9, size=(N, D)).astype("i2")
    attributes = {"scale_factor": 0.5, "missing_value": 8}
    path = as_is(tmp_path / "a", values, zarr_format, 4, **attributes)
    store = zarr.storage.MemoryStore()
    group = zarr.open_group(store, mode="w", zarr_format=zarr_format)
    array = group.create_array("X", data=values, fill_value=4)
    array.attrs.update(zarr.open_array(f"{path}/X").attrs.asdict())
    dataset = as_dataset(array)
    found = np.concatenate(
        [b.values for b in dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks))]
    )
    np.testing.assert_array_equal(found, read(path))
    np.testing.assert_array_equal(
        np.isnan(found), (values == 8) | (values == 4) & (zarr_format == 2)
    )
    assert dataset.fill_value == (FillValue(2.0) if zarr_format == 3 else None)


def edit(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"_FillValue": "no number", "missing_value": -7}, "attribute _FillValue is no number"),
        ({"_FillValue": None}, "attribute _FillValue is None"),
        ({"scale_factor": "half"}, "attribute scale_factor is half; expected one finite number"),
        ({"add_offset": [1, 2]}, "attribute add_offset is .*expected one finite"),
        ({"scale_factor": math.nan}, "attribute scale_factor is nan"),
    ],
)
def test_attributes_that_should_be_numbers_are_refused_by_name(tmp_path, attributes, told):
    zarr.create_array(str(tmp_path / "X"), data=np.ones((N, D)), chunks=(9, D))
    edit(tmp_path / "X/zarr.json", attributes=attributes)
    with pytest.raises(DataError, match=told):
        open_zarr(str(tmp_path / "X"))


def test_masks_in_base64_infinities_and_several_are_read(tmp_path):
    values = np.ones((N, D))
    values[1, 1], values[2, 2], values[3, 3] = -1000.0, np.inf, 5.0
    zarr.create_array(str(tmp_path / "X"), data=values, chunks=(9, D))
    for attributes, n in (
        ({"_FillValue": "AAAAAABAj8A="}, 1),
        ({"_FillValue": "Infinity"}, 1),
        ({"_FillValue": -1000.0, "missing_value": [math.nan, 5.0]}, 2),
    ):
        edit(tmp_path / "X/zarr.json", attributes=attributes)
        assert np.isnan(read_alone(tmp_path / "X")).sum() == n


def test_two_fill_values_of_version_2_are_refused(tmp_path):
    values = np.ones((N, D))
    path = as_is(tmp_path / "a", values, 2, -5.0, _FillValue=-9.0)
    with pytest.raises(DataError, match=r"_FillValue is -9, and its fill_value -5, which xarray"):
        open_zarr(path, "X")
    zarr.open_array(f"{path}/X").attrs["_FillValue"] = -5.0
    np.testing.assert_array_equal(read(path), values)
    edit(tmp_path / "a/X/.zarray", fill_value=None)
    np.testing.assert_array_equal(read(path), values)


def test_a_fill_value_of_version_2_masks_only_where_dimensions_have_names(tmp_path):
    values = np.where(np.arange(D) < 2, 3.0, np.zeros((N, D)))
    path = table(tmp_path / "a", 2, values, fill=3.0)
    assert np.isnan(read(path)).any(axis=0).tolist() == [True, True, False, False]
    attributes = tmp_path / "a/X/.zattrs"
    named = attributes.read_text()
    attributes.write_text("{}")
    np.testing.assert_array_equal(read(path), values)
    assert open_zarr(path, "X").fill_value == FillValue(3.0)
    attributes.write_text(named)
    edit(tmp_path / "a/X/.zarray", fill_value=None)
    np.testing.assert_array_equal(read(path), values)


def test_a_valid_range_of_packed_values_is_given_in_stored_numbers(tmp_path):
    values = np.array([[1, 2], [50, 3], [2, -1], [99, 0]], "i2")
    zarr.create_array(str(tmp_path / "X"), data=values)
    packing = {"scale_factor": -0.5, "add_offset": 1.0, "_FillValue": 99}
    for bounds, limits in (([0, 50], (-24.0, 1.0)), ([-24.0, 1.0], (-24.0, 1.0))):
        zarr.open_array(str(tmp_path / "X")).attrs.update(packing | {"valid_range": bounds})
        found = open_zarr(str(tmp_path / "X")).valid_range
        assert (found.low, found.high) == limits
        assert found.count_outside(read_alone(tmp_path / "X")) == 1


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("coords", "names"),
    [
        ({"level": list("tsop")}, list("tsop")),
        (
            {"level": ("level", np.array([0, 5, 7.5, 1000], "f4"), {"units": "dbar"})},
            ["level=0 dbar", "level=5 dbar", "level=7.5 dbar", "level=1000 dbar"],
        ),
        ({"level": [3, 1, 2, 40]}, ["level=3", "level=1", "level=2", "level=40"]),
        ({"quantity": ("level", list("tsop"))}, list("tsop")),
        ({"station": np.arange(N), "quantity": ("level", list("tsop"))}, list("tsop")),
        ({"station": np.arange(N)}, ["x0", "x1", "x2", "x3"]),
        ({"level": [True, False, True, False]}, ["x0", "x1", "x2", "x3"]),
    ],
)
def test_names_are_those_of_the_coordinate_along_the_features(tmp_path, zarr_format, coords, names):
    path = table(tmp_path / "a", zarr_format, np.ones((N, D)), coords=coords)
    assert open_zarr(path, "X").feature_names == tuple(names)
    for chunks in (None, {}):
        with xarray.open_zarr(path, consolidated=False, chunks=chunks) as dataset:
            assert as_dataset(dataset["X"]).feature_names == tuple(names)
    store = zarr.storage.MemoryStore()
    dataset = xarray.Dataset({"X": (("station", "level"), np.ones((N, D)))}, coords=coords)
    dataset.to_zarr(store, zarr_format=zarr_format, consolidated=False)
    in_store = as_dataset(zarr.open_array(store, path="X", mode="r"))
    assert in_store.feature_names == tuple(names)


def test_a_coordinate_that_gives_no_names_is_told(tmp_path):
    path = table(tmp_path / "a", 3, np.ones((N, D)), coords={"level": [1.0, 2.0, 2.0, 3.0]})
    dataset = open_zarr(path, "X")
    assert dataset.feature_names == ("x0", "x1", "x2", "x3")
    assert "coordinate level names no features" in dataset.warnings[0]
    (tmp_path / "a/level/c/0").write_bytes(b"damaged")
    assert "coordinate level names no features" in open_zarr(path, "X").warnings[0]


@pytest.mark.parametrize("fill", [0.0, 12.0])
def test_a_fill_value_that_no_one_reads_as_a_mask_is_read(tmp_path, fill):
    for zarr_format in (2, 3):
        path = tmp_path / str(zarr_format)
        zarr.create_array(
            str(path), data=np.ones((N, D)), chunks=(9, D), zarr_format=zarr_format, fill_value=fill
        )
        assert open_zarr(str(path)).fill_value == FillValue(fill)


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
        with pytest.raises(DataError, match=rf"{next(iter(attributes))} say.*decode_cf"):
            as_dataset(plain)
