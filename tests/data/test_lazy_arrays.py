"""Arrays computed or read on demand: loaded below a size, refused above it with a remedy."""

from __future__ import annotations

import dask
import dask.array as da
import dask.bag
import numpy as np
import pandas as pd
import pytest
import xarray
import zarr

import dgmm
from dgmm.data import lazy_arrays
from dgmm.data.open_dataset import as_dataset
from dgmm.errors import DataError, DataTypeError

ROWS = np.random.default_rng(41).normal(size=(500, 3))


def read(X):
    return np.asarray(as_dataset(X).X)


def lazy(rows=ROWS):
    return da.from_array(rows, chunks=(120, 2))


class Counting:
    """Blocks that count how often they are computed."""

    def __init__(self, shape):
        self.n = 0
        self.array = da.zeros(shape, chunks=(shape[0] // 4, shape[1])).map_blocks(
            self.block, dtype=float, meta=np.empty((0, 0))
        )

    def block(self, values):
        self.n += 1
        return values


def test_a_small_array_of_dask_is_computed():
    np.testing.assert_array_equal(read(lazy()), ROWS)
    masked = da.ma.masked_greater(lazy(), 1)
    np.testing.assert_array_equal(np.isnan(read(masked)), ROWS > 1)
    plain = dgmm.GaussianMixture(2, random_state=0).fit(ROWS)
    mixture = dgmm.GaussianMixture(2, random_state=0).fit(lazy())
    assert mixture.means_.tobytes() == plain.means_.tobytes()
    np.testing.assert_array_equal(mixture.predict(lazy()), plain.predict(ROWS))


def test_a_large_array_of_dask_is_refused_before_anything_is_computed():
    large = Counting((40_000_000, 2))
    mixture = dgmm.GaussianMixture(2).fit(ROWS[:, :2])
    for method in (dgmm.GaussianMixture(2).fit, mixture.predict, mixture.score):
        with pytest.raises(DataError, match=r"Array \(40,000,000 × 2 values, 610 MiB\)") as caught:
            method(large.array)
        for words in ("at most 256 MiB", "to_zarr(path)", "give the path", "X.compute()"):
            assert words in str(caught.value)
    assert large.n == 0


@pytest.mark.parametrize(("share", "is_loaded"), [(1.0, True), (0.99, False)])
def test_the_size_is_that_of_all_values(monkeypatch, share, is_loaded):
    monkeypatch.setattr(lazy_arrays, "MOST_LOADED_BYTES", int(share * ROWS.nbytes))
    for X in (lazy(), xarray.DataArray(lazy(), dims=("cast", "level"))):
        if is_loaded:
            np.testing.assert_array_equal(read(X), ROWS)
        else:
            with pytest.raises(DataError, match="500 × 3 values"):
                as_dataset(X)


def test_what_is_advised_makes_an_array_that_is_read(tmp_path):
    path = str(tmp_path / "dask.zarr")
    lazy().rechunk(("auto", -1)).to_zarr(path)
    assert as_dataset(path).n_samples == 500
    path = str(tmp_path / "xarray.zarr")
    X = xarray.DataArray(lazy(), dims=("cast", "level"))
    X.to_dataset(name="rows").to_zarr(path, consolidated=False)
    assert as_dataset(f"{path}/rows").n_samples == 500


def test_arrays_of_xarray_are_loaded_from_dask_and_from_files(tmp_path, monkeypatch):
    in_memory = xarray.DataArray(ROWS, dims=("cast", "level"))
    np.testing.assert_array_equal(read(in_memory), ROWS)
    path = str(tmp_path / "a.zarr")
    in_memory.to_dataset(name="rows").to_zarr(path, consolidated=False)
    for chunks in (None, {}):
        stored = xarray.open_zarr(path, chunks=chunks, consolidated=False)["rows"]
        np.testing.assert_array_equal(read(stored), ROWS)
        monkeypatch.setattr(lazy_arrays, "MOST_LOADED_BYTES", 1000)
        again = xarray.open_zarr(path, chunks=chunks, consolidated=False)["rows"]
        with pytest.raises(DataError, match=r"xarray\.DataArray .*to_dataset\(name='rows'\)"):
            as_dataset(again)
        np.testing.assert_array_equal(read(in_memory), ROWS)
        monkeypatch.undo()


def test_a_map_is_told_from_rows_of_features_by_its_coordinates():
    rows = {"cast": np.arange(500), "level": [5.0, 10, 20]}
    for X in (ROWS, lazy()):
        with pytest.raises(DataError, match="a map of one variable"):
            as_dataset(xarray.DataArray(X, dims=("cast", "level"), coords=rows))
        one = xarray.DataArray(X, dims=("cast", "level"), coords={"cast": rows["cast"]})
        np.testing.assert_array_equal(read(one), ROWS)


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (da.ones((10**6, 10**3, 3)), "Reshape"),
        (da.ones(10**10), "rows × features"),
        (da.ones((10**9, 2), dtype=complex), "complex"),
        (da.ones((10**9, 2), dtype="M8[s]"), "dates"),
        (dask.delayed(ROWS), r"no array of rows × features yet; X\.compute\(\)"),
        (dask.bag.from_sequence([1, 2]), r"no array of rows × features yet; X\.compute\(\)"),
        ([da.ones(3), da.ones(3)], r"dask\.array\.stack\(X\)"),
        (lazy()[lazy()[:, 0] > 0], r"not known .*X\.compute_chunk_sizes\(\)"),
    ],
)
def test_what_could_not_be_fitted_is_refused_before_it_is_computed(X, words):
    with pytest.raises(DataError, match=words):
        as_dataset(X)


def test_errors_of_a_graph_are_told_in_their_own_words():
    def fail(block):
        raise RuntimeError("no such station")

    X = lazy().map_blocks(fail, dtype=float, meta=np.empty((0, 0)))
    with pytest.raises(DataTypeError, match=r"dask\.Array .*RuntimeError: no such station"):
        as_dataset(X)


class Partitions:
    """A table of Dask's protocol."""

    ndim, npartitions = 2, 3

    def __init__(self, table):
        self.table, self.columns, self.dtypes = table, table.columns, table.dtypes

    def __dask_graph__(self):
        return {"table": 0}

    def __len__(self):
        return len(self.table)

    def compute(self):
        return self.table


Partitions.__module__ = "dask.dataframe"


def test_tables_of_dask_are_counted_and_loaded_or_refused(monkeypatch):
    table = Partitions(pd.DataFrame(ROWS, columns=["a", "b", "c"]).astype({"b": "Float64"}))
    np.testing.assert_array_equal(read(table), ROWS)
    assert as_dataset(table).feature_names == ("a", "b", "c")
    monkeypatch.setattr(lazy_arrays, "MOST_LOADED_BYTES", ROWS.nbytes - 1)
    with pytest.raises(DataError, match=r"500 × 3 values.*to_dask_array\(lengths=True\)"):
        as_dataset(table)
    monkeypatch.setattr(Partitions, "__len__", lambda self: 1 // 0)
    with pytest.raises(DataError, match="ZeroDivisionError"):
        as_dataset(table)


def test_tables_of_dask_itself_are_loaded():
    frames = pytest.importorskip("dask.dataframe", exc_type=ImportError)
    table = frames.from_pandas(pd.DataFrame(ROWS, columns=["a", "b", "c"]), npartitions=3)
    np.testing.assert_array_equal(read(table), ROWS)
    with pytest.raises(DataError, match=r"X\.to_frame\(\)"):
        as_dataset(table["a"])


def test_zarr_arrays_outside_a_folder_are_loaded_below_the_size(tmp_path, monkeypatch):
    path = str(tmp_path / "rows.zip")
    with zarr.storage.ZipStore(path, mode="w") as store:
        zarr.create_array(store, data=ROWS)
    array = zarr.open_array(zarr.storage.ZipStore(path, mode="r"), mode="r")
    np.testing.assert_array_equal(read(array), ROWS)
    in_memory = zarr.create_array({}, data=ROWS)
    monkeypatch.setattr(lazy_arrays, "MOST_LOADED_BYTES", 1000)
    np.testing.assert_array_equal(read(in_memory), ROWS)
    with pytest.raises(DataError, match=r"zarr\.Array .*Copy its store into a local folder"):
        as_dataset(array)


class Stored:
    """An array of an HDF5 file."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def __getitem__(self, index):
        return self.values[index]


Stored.__module__ = "h5py._hl.dataset"


def test_arrays_of_hdf5_are_loaded_below_the_size(monkeypatch):
    np.testing.assert_array_equal(read(Stored(ROWS)), ROWS)
    masked = np.ma.masked_greater(ROWS, 0)  # as netCDF4 gives them
    np.testing.assert_array_equal(np.isnan(read(Stored(masked))), ROWS > 0)
    monkeypatch.setattr(lazy_arrays, "MOST_LOADED_BYTES", 1000)
    with pytest.raises(DataError, match=r"h5py\.Stored .*dask\.array\.from_array\(X\)"):
        as_dataset(Stored(ROWS))


def test_arrays_of_real_hdf5_files_are_loaded(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        np.testing.assert_array_equal(read(file.create_dataset("rows", data=ROWS)), ROWS)
        with pytest.raises(DataError, match=r"h5py\.File; .*X\['name'\]"):
            as_dataset(file)
