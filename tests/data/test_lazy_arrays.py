"""Arrays computed or read on demand: loaded below a size, refused above it with a remedy."""

from __future__ import annotations

import tempfile
import tracemalloc
from dataclasses import replace

import dask
import dask.array as da
import dask.bag
import dask.dataframe
import h5py
import numpy as np
import pandas as pd
import pytest
import xarray
import zarr

import dgmm
from dgmm.data import lazy_arrays, open_dataset, temporary_rows
from dgmm.data.open_dataset import as_dataset, opened_rows
from dgmm.data.zarr.dataset import open_zarr
from dgmm.errors import DataError, DataTypeError
from dgmm.reduction.blocks import BlockGrid, BlockRange

ROWS = np.random.default_rng(41).normal(size=(500, 3))


def read(X):
    return rows_of(as_dataset(X))


def rows_of(dataset):
    blocks = dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks))
    return np.concatenate([block.values for block in blocks])


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


def test_a_large_array_of_dask_is_refused_where_nothing_can_hold_it(monkeypatch):
    large = Counting((40_000_000, 2))
    with pytest.raises(DataError, match=r"Array \(40,000,000 × 2 values, 610 MiB\)") as caught:
        as_dataset(large.array)
    for words in ("at most 256 MiB", "to_zarr(path)", "give the path"):
        assert words in str(caught.value)
    monkeypatch.setattr(temporary_rows.shutil, "disk_usage", lambda _: Free(600 * 2**20))
    mixture = dgmm.GaussianMixture(2).fit(ROWS[:, :2])
    for method in (dgmm.GaussianMixture(2).fit, mixture.predict, mixture.model_.score_samples):
        with pytest.raises(DataError, match=r"610 MiB.*where 600 MiB are free. Set TMPDIR"):
            method(large.array)
    assert large.n == 0


class Free:
    """What a file system has left."""

    def __init__(self, free):
        self.free = free


def lazily(kind, folder):  # noqa: PLR0911 - a list of kinds
    """The same rows as each library has them that are not in memory, by name of the kind."""
    if kind == "dask":
        return da.from_array(ROWS, chunks=(120, 2))
    if kind == "masked":
        counts = da.from_array(np.arange(1500).reshape(500, 3), chunks=70)
        return da.ma.masked_where(counts % 7 == 0, counts)
    labelled = xarray.DataArray(ROWS, dims=("cast", "level"), coords={"level": list("abc")})
    if kind == "dask labelled":
        return labelled.chunk(cast=77)
    if kind == "table":
        return dask.dataframe.from_pandas(
            pd.DataFrame(ROWS, columns=["a", "b", "c"]), npartitions=4
        )
    if kind == "hdf5":
        return h5py.File(folder / "rows.h5", "w").create_dataset("rows", data=ROWS, chunks=(60, 2))
    path = str(folder / "a.zarr")
    if kind == "stored labelled":
        labelled.to_dataset(name="rows").to_zarr(path, consolidated=False, encoding=CHUNKED)
        return xarray.open_zarr(path, chunks=None, consolidated=False)["rows"]
    labelled.to_dataset("level").to_zarr(path, consolidated=False)
    return xarray.open_zarr(path, chunks=None, consolidated=False)[["a", "b", "c"]]


CHUNKED = {"rows": {"chunks": (90, 3)}}
KINDS = ["dask", "masked", "dask labelled", "table", "hdf5", "stored labelled", "stored data set"]


@pytest.mark.filterwarnings("ignore:The data type", "ignore:215 of 500 rows hold")
@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_too_many_are_written_in_parts_and_removed(tmp_path, monkeypatch, kind):
    """Bits, names and labels are those of the rows loaded whole."""
    X = lazily(kind, tmp_path)
    whole = read(X)
    names = as_dataset(X).feature_names
    plain = dgmm.GaussianMixture(2, random_state=0, missing="drop").fit(whole)
    X = lazily(kind, tmp_path / "again") if (tmp_path / "again").mkdir() is None else X
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    for module in (open_dataset, temporary_rows):
        monkeypatch.setattr(module, "MOST_LOADED_BYTES", 1000)
    monkeypatch.setattr(lazy_arrays, "BATCH_BYTES", 3000)
    with opened_rows(X) as dataset:
        assert len(list((tmp_path / "temporary").iterdir())) == 1
        found = rows_of(dataset)
        np.testing.assert_array_equal(found, whole)
        assert dataset.feature_names == names
        assert "were written to a temporary Zarr array" in dataset.warnings[0]
    with pytest.warns(UserWarning, match="500 × 3 values.* temporary Zarr array in .*removed"):
        mixture = dgmm.GaussianMixture(2, random_state=0, missing="drop").fit(X)
    assert mixture.means_.tobytes() == plain.means_.tobytes()
    with pytest.warns(UserWarning, match="temporary Zarr"):
        np.testing.assert_array_equal(np.asarray(mixture.predict(X)), plain.predict(whole))
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_part_is_no_larger_than_it_has_to_be(monkeypatch):
    """Whole chunks together some 64 MiB: of ten chunks of 16 MiB each, four at once."""
    large = da.zeros((10 * 2**20, 2), chunks=(2**20, 2))
    found = lazy_arrays.lazy_rows(large).bands
    assert [stop - start for start, stop in found] == [4 * 2**20, 4 * 2**20, 2 * 2**20]


def test_memory_does_not_grow_with_the_rows_that_are_written(tmp_path, monkeypatch):
    """What is held while 37 blocks are written: a part, its rows that wait, blocks on their way."""
    n, d = 1_200_000, 8
    block_bytes = BlockGrid(n, d).rows_per_block * d * 8
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(open_dataset, "MOST_LOADED_BYTES", 1000)
    monkeypatch.setattr(lazy_arrays, "BATCH_BYTES", block_bytes // 2)
    peaks = []

    def opened(path):
        peaks.append(tracemalloc.get_traced_memory()[1])
        return open_zarr(path)

    monkeypatch.setattr(temporary_rows, "open_zarr", opened)
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        rows = file.create_dataset("rows", shape=(n, d), chunks=(5000, d), dtype="f8")
        tracemalloc.start()
        try:
            with opened_rows(rows) as dataset:
                assert dataset.n_samples == n
        finally:
            tracemalloc.stop()
    assert len(peaks) == 1
    assert block_bytes < peaks[0] < 8 * block_bytes


def test_a_failing_part_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(block, block_info=None):
        if block_info[0]["chunk-location"][0] == 3:
            raise RuntimeError("no such station")
        return block

    X = da.from_array(ROWS, chunks=(120, 3)).map_blocks(fail, dtype=float, meta=np.empty((0, 0)))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(open_dataset, "MOST_LOADED_BYTES", 1000)
    monkeypatch.setattr(lazy_arrays, "BATCH_BYTES", 3000)
    with pytest.raises(DataTypeError, match="RuntimeError: no such station"):
        dgmm.GaussianMixture(2).fit(X)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("share", "is_loaded"), [(1.0, True), (0.99, False)])
def test_the_size_is_that_of_all_values(monkeypatch, share, is_loaded):
    monkeypatch.setattr(open_dataset, "MOST_LOADED_BYTES", int(share * ROWS.nbytes))
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
        monkeypatch.setattr(open_dataset, "MOST_LOADED_BYTES", 1000)
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
    monkeypatch.setattr(open_dataset, "MOST_LOADED_BYTES", ROWS.nbytes - 1)
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


def test_zarr_arrays_outside_a_folder_are_read_block_by_block(tmp_path, monkeypatch):
    rows = np.random.default_rng(3).normal(size=(12_000, 64))
    path = str(tmp_path / "rows.zip")
    with zarr.storage.ZipStore(path, mode="w") as store:
        zarr.create_array(store, data=rows, chunks=(1000, 50))
    monkeypatch.setattr(open_dataset, "MOST_LOADED_BYTES", 1000)
    plain = dgmm.GaussianMixture(2, covariance_type="diag", random_state=0).fit(rows)
    for array in (
        zarr.open_array(zarr.storage.ZipStore(path, mode="r"), mode="r"),
        zarr.create_array({}, data=rows, chunks=(700, 64)),
    ):
        dataset = as_dataset(array)
        assert dataset.n_samples == 12_000
        np.testing.assert_array_equal(rows_of(dataset), rows)
        asked = []
        reader = replace(dataset.reader, array=Asked(array, asked))
        for _ in replace(dataset, reader=reader).read_blocks(BlockRange(0, 1)):
            pass
        assert asked
        assert max(asked) <= 5_000
        mixture = dgmm.GaussianMixture(2, covariance_type="diag", random_state=0).fit(array)
        assert mixture.means_.tobytes() == plain.means_.tobytes()
        np.testing.assert_array_equal(mixture.predict(array), plain.predict(rows))


class Asked:
    """An array of Zarr that keeps how many rows it was asked for at once."""

    def __init__(self, array, asked):
        self.array, self.asked = array, asked

    def __getitem__(self, index):
        found = self.array[index]
        self.asked.append(len(found))
        return found


def test_chunks_that_a_store_lacks_are_told(recwarn):
    array = zarr.create_array({}, shape=(400, 2), chunks=(100, 2), dtype="f8")
    array[:300] = ROWS[:300, :2]
    assert "1 of 4 chunks do not exist" in as_dataset(array).warnings[0]


def test_a_store_that_fails_is_told_with_the_rows():
    array = zarr.create_array({}, data=ROWS, chunks=(100, 3))
    dataset = as_dataset(array)
    array.store._store_dict["c/2/0"] = zarr.core.buffer.cpu.Buffer.from_bytes(b"damaged")
    with pytest.raises(DataError, match=r"X: rows 0 to 500 cannot be read"):
        rows_of(dataset)


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
    monkeypatch.setattr(open_dataset, "MOST_LOADED_BYTES", 1000)
    with pytest.raises(DataError, match=r"h5py\.Stored .*dask\.array\.from_array\(X\)"):
        as_dataset(Stored(ROWS))


def test_arrays_of_real_hdf5_files_are_loaded(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        np.testing.assert_array_equal(read(file.create_dataset("rows", data=ROWS)), ROWS)
        with pytest.raises(DataError, match=r"h5py\.File; .*X\['name'\]"):
            as_dataset(file)
