"""Rows read from Zarr are the rows written, in every storage."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
import zarr
from numcodecs import Shuffle
from zarr.codecs import BytesCodec, TransposeCodec

from dgmm.data.zarr.dataset import open_zarr
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockGrid, BlockRange

N, D = 10_007, 5
ROWS_PER_BLOCK = BlockGrid(N, D).rows_per_block


def rows_of(n=N, d=D, dtype="float64"):
    generator = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        return generator.normal(size=(n, d)).astype(dtype)
    return generator.integers(0, 2 if dtype == "bool" else 100, size=(n, d)).astype(dtype)


def write(path, X, *, chunks=(1000, D), **options):
    options.setdefault("zarr_format", 3)
    array = zarr.create_array(str(path), shape=X.shape, dtype=X.dtype, chunks=chunks, **options)
    array[...] = X
    return str(path)


def read(dataset, run=None):
    run = run or BlockRange(0, dataset.grid.n_blocks)
    blocks = list(dataset.read_blocks(run))
    assert [block.index for block in blocks] == list(range(run.start, run.stop))
    for block in blocks:
        rows, (start, stop) = block.values, dataset.grid.rows(block.index)
        assert block.start == start
        assert rows.shape == (stop - start, dataset.n_features)
        assert rows.flags.c_contiguous
        assert rows.dtype.isnative
    return np.concatenate([block.values for block in blocks])


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 4096 rows at any width, so that small arrays have several."""
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)


pytestmark = pytest.mark.usefixtures("small_blocks")

STORAGES = {
    "v3": {"chunks": (1000, D)},
    "v2": {"chunks": (1000, D), "zarr_format": 2},
    "v2 nested keys": {
        "chunks": (1000, D),
        "zarr_format": 2,
        "chunk_key_encoding": {"name": "v2", "separator": "/"},
    },
    "v3 flat keys": {"chunk_key_encoding": {"name": "default", "separator": "."}},
    "v3 with keys of v2": {"chunk_key_encoding": {"name": "v2", "separator": "."}},
    "uncompressed": {"compressors": None},
    "v2 with a filter": {"zarr_format": 2, "filters": [Shuffle(8)], "compressors": None},
    "v2 order F": {"zarr_format": 2, "order": "F"},
    "transposed": {"filters": [TransposeCodec(order=(1, 0))]},
    "big-endian bytes": {"serializer": BytesCodec(endian="big")},
    "split along features": {"chunks": (1000, 2)},
    "one feature a chunk": {"chunks": (3000, 1)},
    "one chunk": {"chunks": (N, D)},
    "a chunk larger than the array": {"chunks": (3 * N, 2 * D)},
    "tiny chunks": {"chunks": (7, D)},
    "a last chunk of one row": {"chunks": (N - 1, D)},
    "chunks of one block": {"chunks": (4096, D)},
    "shards": {"chunks": (100, D), "shards": (2000, D)},
    "shards split along features": {"chunks": (500, 1), "shards": (2000, 3)},
    "one shard": {"chunks": (1000, D), "shards": (11000, D)},
    "a shard of one inner chunk": {"chunks": (1000, D), "shards": (1000, D)},
}


@pytest.mark.parametrize("storage", STORAGES.values(), ids=STORAGES)
def test_rows_read_are_the_rows_written(tmp_path, storage):
    X = rows_of()
    np.testing.assert_array_equal(read(open_zarr(write(tmp_path / "a", X, **storage))), X)


DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", ">i2", ">i8", ">u4", ">f2", ">f4", ">f8"),
]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_real_type_is_read_in_native_byte_order(tmp_path, dtype, zarr_format):
    X = rows_of(dtype=dtype)
    dataset = open_zarr(write(tmp_path / "a", X, zarr_format=zarr_format))
    assert dataset.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read(dataset), X)


def test_any_run_of_blocks_gives_its_rows(tmp_path):
    X = rows_of()
    dataset = open_zarr(write(tmp_path / "a", X, chunks=(900, 3)))
    assert dataset.grid.n_blocks == 3
    for run in (BlockRange(0, 1), BlockRange(1, 2), BlockRange(1, 3), BlockRange(2, 3)):
        start, stop = dataset.grid.rows_of_range(run)
        np.testing.assert_array_equal(read(dataset, run), X[start:stop])


def test_a_dataset_survives_pickling(tmp_path):
    X = rows_of()
    dataset = pickle.loads(pickle.dumps(open_zarr(write(tmp_path / "a", X))))  # noqa: S301 - ours
    np.testing.assert_array_equal(read(dataset), X)


def test_each_chunk_is_decoded_once_in_a_run(tmp_path, monkeypatch):
    dataset = open_zarr(write(tmp_path / "a", rows_of(), chunks=(900, D)))
    seen = []
    whole = type(dataset.reader).rows

    def counted(self, start, stop):
        seen.append((start, stop))
        return whole(self, start, stop)

    monkeypatch.setattr(type(dataset.reader), "rows", counted)
    read(dataset)
    assert seen[0][0] == 0
    assert seen[-1][1] == N
    assert all(a[1] == b[0] and a[1] % 900 == 0 for a, b in pairwise(seen))


def test_a_read_is_a_whole_number_of_chunks_and_at_least_a_block(tmp_path):
    dataset = open_zarr(write(tmp_path / "a", rows_of(), chunks=(900, 3)))
    assert dataset.rows_per_read == 4500
    assert dataset.read_bytes == 4500 * 6 * 8


def test_reading_stops_when_the_generator_is_closed(tmp_path):
    blocks = open_zarr(write(tmp_path / "a", rows_of())).read_blocks(BlockRange(0, 3))
    next(blocks)
    blocks.close()
    with pytest.raises(StopIteration):
        next(blocks)


def test_an_array_in_a_group_is_found_by_name(tmp_path):
    X = rows_of()
    root = zarr.open_group(str(tmp_path / "g"), mode="w")
    root.create_array("deep/photos", data=X, chunks=(1000, D))
    root.create_array("masks", data=X[:10])
    np.testing.assert_array_equal(read(open_zarr(str(tmp_path / "g"), "deep/photos")), X)
    np.testing.assert_array_equal(read(open_zarr(str(tmp_path / "g/deep"), "photos")), X)
    np.testing.assert_array_equal(read(open_zarr(str(tmp_path / "g/deep/photos"))), X)
    with pytest.raises(DataError, match="Its arrays: masks, deep/photos"):
        open_zarr(str(tmp_path / "g"))
    with pytest.raises(DataError, match="Did you mean 'masks'"):
        open_zarr(str(tmp_path / "g"), "mask")
    with pytest.raises(DataError, match=r"has no array '\.\./g/masks'"):
        open_zarr(str(tmp_path / "g"), "../g/masks")
    with pytest.raises(DataError, match=r"itself an array; remove data\.array"):
        open_zarr(str(tmp_path / "g/masks"), "masks")


def test_a_path_with_space_and_unicode_works(tmp_path):
    X = rows_of()
    np.testing.assert_array_equal(read(open_zarr(write(tmp_path / "ä b%2F", X))), X)


def test_names_come_from_the_attribute_or_are_numbered(tmp_path):
    X = rows_of(20, 2)
    names = ["temperature", "salinity\x1b[31m"]
    path = write(tmp_path / "a", X, chunks=(20, 2), attributes={"feature_names": names, "z": 1})
    dataset = open_zarr(path)
    assert dataset.feature_names == ("temperature", "salinity?[31m")
    assert dataset.attributes["z"] == 1
    plain = open_zarr(write(tmp_path / "b", X, chunks=(20, 2), zarr_format=2))
    assert plain.feature_names == ("x0", "x1")


def test_attributes_of_version_2_are_read(tmp_path):
    attributes = {"feature_names": ["a", "b"]}
    path = write(tmp_path / "a", rows_of(9, 2), chunks=(9, 2), zarr_format=2, attributes=attributes)
    assert open_zarr(path).feature_names == ("a", "b")


def test_a_row_is_located_by_its_chunk(tmp_path):
    chunked = open_zarr(write(tmp_path / "a", rows_of(), chunks=(1000, 2)))
    assert chunked.locate(3012) == "chunk c/3/0, row 3012"
    sharded = open_zarr(write(tmp_path / "b", rows_of(), chunks=(100, D), shards=(2000, D)))
    assert sharded.locate(2345) == "inner chunk (3, 0) of shard c/1/0, row 2345"


def test_the_fingerprint_follows_the_content_and_not_the_path(tmp_path):
    path = write(tmp_path / "a", rows_of())
    dataset = open_zarr(path)
    before = dataset.fingerprint()
    dataset.check_unchanged()
    (tmp_path / "a").rename(tmp_path / "b")
    assert open_zarr(str(tmp_path / "b")).fingerprint() == before
    (tmp_path / "b").rename(tmp_path / "a")
    zarr.open_array(path, mode="r+")[0] = 1.0
    assert open_zarr(path).fingerprint() != before
    with pytest.raises(DataError, match="changed during the run"):
        dataset.check_unchanged()


def test_a_large_read_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr("dgmm.data.zarr.dataset._WARNED_READ_BYTES", N * D * 8 - 1)
    dataset = open_zarr(write(tmp_path / "a", rows_of(), chunks=(N, D)))
    assert "every task holds up to four" in dataset.warnings[0]


def test_many_tiny_chunks_are_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr("dgmm.data.zarr.dataset._MANY_CHUNKS", 100)
    dataset = open_zarr(write(tmp_path / "a", rows_of(), chunks=(50, D)))
    assert "opening them takes longer" in dataset.warnings[0]
