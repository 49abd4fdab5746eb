"""Maps of one variable are refused wherever their coordinates stand; rows of features are not."""

from __future__ import annotations

import re
import zipfile

import numpy as np
import pytest
import xarray
import zarr

from dgmm.data.open_dataset import as_dataset
from dgmm.data.zarr.dataset import open_zarr
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockRange

# zarr warns of texts and of consolidated metadata in version 3, which xarray writes all the same.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The data type"),
    pytest.mark.filterwarnings("ignore:Consolidated metadata"),
]

N, D = 42, 5
VALUES = np.random.default_rng(11).normal(size=(N, D))
ROWS, COLUMNS = np.linspace(50.0, 60.0, N), np.linspace(-9.0, 3.0, D)
LETTERS = list("abcde")

MAPS = [
    {"north": ("cross", ROWS), "east": ("along", COLUMNS)},
    {"north": ("cross", np.arange(N)), "along": COLUMNS},
    {"cross": ROWS, "east": ("along", COLUMNS.astype("f4"))},
    {"when": ("cross", np.arange("1999-03", N, dtype="M8[M]").astype("M8[ns]")), "along": COLUMNS},
    {"north": ("cross", ROWS), "land": ("cross", ["sea"] * N), "east": ("along", COLUMNS)},
    {"east": (("cross", "along"), VALUES), "number": 4},
]
TABLES = [
    {"north": ("cross", ROWS), "east": ("cross", ROWS)},
    {"north": ("cross", ROWS), "number": 7.0},
    {"number": ("along", COLUMNS)},
    {"north": ("cross", ROWS), "along": LETTERS},
    {"north": ("cross", ROWS), "along": LETTERS, "weight": ("along", COLUMNS)},
    {"cross": ROWS, "quantity": ("along", LETTERS), "weight": ("along", COLUMNS)},
    {"cross": [f"s{i}" for i in range(N)], "north": ("cross", ROWS), "east": ("along", COLUMNS)},
    {"north": ("cross", ROWS), "is_wet": ("along", np.arange(D) < 2)},
]


def labelled(coords):
    return xarray.DataArray(VALUES, dims=("cross", "along"), coords=coords, name="rows")


def as_given(coords, where, folder):
    """What a user hands over: an array in memory, a path, or an array of another store."""
    X = labelled(coords)
    if where == "memory":
        return X
    kind, zarr_format = where.split()
    if kind == "folder":
        X.to_dataset().to_zarr(folder / "a", zarr_format=int(zarr_format), consolidated=False)
        return str(folder / "a/rows")
    store = zarr.storage.MemoryStore()
    X.to_dataset().to_zarr(store, zarr_format=int(zarr_format), consolidated=False)
    if kind == "zip":
        store = zipped(store, folder / "a.zip")
    return zarr.open_array(store, path="rows", mode="r")


def zipped(store, path):
    with zipfile.ZipFile(path, "w") as archive:
        for key, value in store._store_dict.items():
            archive.writestr(key, value.to_bytes())
    return zarr.storage.ZipStore(path, mode="r")


WHERE = ["memory", "folder 2", "folder 3", "store 2", "store 3", "zip 3"]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("coords", MAPS)
def test_numeric_coordinates_of_both_dimensions_make_a_map_whatever_their_names(
    tmp_path, where, coords
):
    X = as_given(coords, where, tmp_path)
    with pytest.raises(DataError, match=r"dimensions cross and along have numeric coordinates"):
        as_dataset(X)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("coords", TABLES)
def test_coordinates_of_rows_alone_and_names_of_features_make_no_map(tmp_path, where, coords):
    assert as_dataset(as_given(coords, where, tmp_path)).n_features == D


@pytest.mark.parametrize("where", WHERE[1:])
def test_booleans_that_xarray_stored_as_int8_make_no_map(tmp_path, where):
    """Until 2026.7 xarray did so, with an attribute that says what they were."""
    marked = xarray.Variable("along", (np.arange(D) < 2).astype("i1"), {"dtype": "bool"})
    coords = {"north": ("cross", ROWS), "is_wet": marked}
    assert as_dataset(as_given(coords, where, tmp_path)).n_features == D


def test_coordinates_that_only_the_group_lists_count(tmp_path):
    X = labelled(MAPS[0]).to_dataset()
    X["rows"].encoding["coordinates"] = None
    X.to_zarr(tmp_path / "a", zarr_format=3, consolidated=False)
    assert "coordinates" not in zarr.open_array(tmp_path / "a/rows", mode="r").attrs
    with pytest.raises(DataError, match=r"\(north, east\): a map"):
        open_zarr(str(tmp_path / "a"), "rows")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("node", ["/deep", "/deep/deeper"])
def test_coordinates_of_the_groups_above_make_a_map(tmp_path, zarr_format, node):
    shared = xarray.Dataset(coords={"cross": ROWS, "along": COLUMNS})
    tree = xarray.DataTree.from_dict({"/": shared, node: labelled({}).to_dataset()})
    with pytest.raises(DataError, match="cross and along have numeric"):
        as_dataset(tree[node]["rows"])
    tree.to_zarr(tmp_path / "a", zarr_format=zarr_format, consolidated=False)
    assert not (tmp_path / f"a{node}/cross").exists()
    for opened in ((f"{tmp_path}/a", f"{node}/rows"), (f"{tmp_path}/a{node}/rows", None)):
        with pytest.raises(DataError, match="cross and along have numeric"):
            open_zarr(*opened)
    store = zarr.storage.MemoryStore()
    tree.to_zarr(store, zarr_format=zarr_format, consolidated=False)
    with pytest.raises(DataError, match="cross and along have numeric"):
        as_dataset(zarr.open_array(store, path=f"{node[1:]}/rows", mode="r"))


def test_coordinates_above_the_store_are_anothers(tmp_path):
    coords = {"cross": ROWS, "along": COLUMNS}
    xarray.Dataset(coords=coords).to_zarr(tmp_path / "a", zarr_format=3, consolidated=False)
    (tmp_path / "a/plain").mkdir()
    labelled({}).to_dataset().to_zarr(tmp_path / "a/plain/b", zarr_format=3, consolidated=False)
    assert open_zarr(str(tmp_path / "a/plain/b"), "rows").n_samples == N


@pytest.mark.parametrize("dims", [("cross", "along"), ("row", "feature")])
@pytest.mark.parametrize("is_stored", [False, True])
def test_the_remedies_of_the_message_work_as_written(tmp_path, dims, is_stored):
    names = {"cross": dims[0], "along": dims[1]}
    X = labelled(MAPS[1]).rename(names)
    ds = xarray.Dataset({"warm": X, "cold": -X})
    ds["warm"].encoding["chunks"] = (5, 2)
    ds.to_zarr(tmp_path / "a", consolidated=False)
    if is_stored:
        ds = xarray.open_zarr(tmp_path / "a", consolidated=False)
    with pytest.raises(DataError) as caught:
        open_zarr(str(tmp_path / "a"), "warm")
    stacked, without = re.findall(r"from xarray: (ds\..*?\))(?:,|\)$)", str(caught.value))
    path = str(tmp_path / "b")
    eval(stacked, {"ds": ds, "path": path})  # noqa: S307 - what dgmm advises
    dataset = open_zarr(path, "rows")
    rows = np.concatenate([block.values for block in dataset.read_blocks(BlockRange(0, 1))])
    # A stored dataset has its variables in whatever order the folder lists them.
    wanted = {"warm": VALUES.ravel(), "cold": -VALUES.ravel()}
    np.testing.assert_array_equal(rows, np.stack([wanted[name] for name in ds.data_vars], axis=1))
    assert as_dataset(eval(without, {"ds": ds})["warm"]).n_features == D  # noqa: S307 - as above
