"""Chunks that do not exist, vanish or are damaged are never read as values without a word."""

from __future__ import annotations

import json
import math
import os
import struct

import numpy as np
import pytest
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, ZstdCodec

from dgmm.data.zarr.dataset import open_zarr
from dgmm.errors import DataError, InputNotFoundError
from dgmm.reduction.blocks import BlockRange

N, D = 5000, 3
SHARDS = {"chunks": (100, D), "shards": (1000, D)}
START_INDEX = {
    "chunks": (1000, D),
    "serializer": ShardingCodec(
        chunk_shape=(100, D),
        codecs=[BytesCodec(), ZstdCodec()],
        index_location="start",
    ),
    "compressors": None,
}


def write(path, X=None, *, attributes=None, **options):
    X = np.random.default_rng(0).normal(size=(N, D)) if X is None else X
    options = {"chunks": (500, D), "zarr_format": 3} | options
    array = zarr.create_array(str(path), shape=X.shape, dtype=X.dtype, **options)
    array[...] = X
    return str(path)


def read(dataset):
    blocks = dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks))
    return np.concatenate([block.values for block in blocks])


@pytest.mark.parametrize("fill_value", [0.0, 7.0, math.nan])
@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, "c/3/0"),
        ({"chunk_key_encoding": {"name": "default", "separator": "."}}, "c.3.0"),
        ({"zarr_format": 2}, "3.0"),
        (SHARDS, "c/3/0"),
    ],
)
def test_an_absent_chunk_is_an_error_or_counted_fill(tmp_path, options, key, fill_value):
    path = write(tmp_path / "a", fill_value=fill_value, **options)
    whole = read(open_zarr(path))
    (tmp_path / "a" / key).unlink()
    with pytest.raises(DataError, match=rf"1 of \d+ chunks do not exist \({key}\).*fill") as caught:
        open_zarr(path)
    assert "write_empty_chunks=True" in str(caught.value)
    dataset = open_zarr(path, absent_chunks="fill")
    rows = read(dataset)
    height = 1000 if options is SHARDS else 500
    np.testing.assert_array_equal(rows[3 * height : 4 * height], fill_value)
    keep = np.r_[0 : 3 * height, 4 * height : N]
    np.testing.assert_array_equal(rows[keep], whole[keep])
    count = 10 if options is SHARDS else 1
    assert dataset.warnings[0].split(": ")[1].startswith(f"{count} of")


@pytest.mark.parametrize("options", [SHARDS, START_INDEX], ids=["index at end", "index at start"])
def test_an_absent_inner_chunk_is_an_error_or_counted_fill(tmp_path, options):
    X = np.random.default_rng(0).normal(size=(N, D))
    X[1200:1300] = X[4900:] = 0.0
    path = write(tmp_path / "a", X, fill_value=0.0, config={"write_empty_chunks": False}, **options)
    message = r"2 of 50 chunks do not exist \(inner chunk \(2, 0\) of shard c/1/0, "
    with pytest.raises(DataError, match=message):
        open_zarr(path)
    dataset = open_zarr(path, absent_chunks="fill")
    np.testing.assert_array_equal(read(dataset), X)
    assert "2 of 50 chunks" in dataset.warnings[0]


def test_inner_chunks_outside_the_array_are_not_missed(tmp_path):
    X = np.random.default_rng(0).normal(size=(4321, D))
    path = write(tmp_path / "a", X, config={"write_empty_chunks": False}, **SHARDS)
    np.testing.assert_array_equal(read(open_zarr(path)), X)


def test_an_unusual_shard_index_is_said_and_read(tmp_path):
    serializer = ShardingCodec(chunk_shape=(100, D), index_codecs=[BytesCodec()])
    X = np.random.default_rng(0).normal(size=(N, D))
    path = write(tmp_path / "a", X, chunks=(1000, D), serializer=serializer, compressors=None)
    dataset = open_zarr(path)
    np.testing.assert_array_equal(read(dataset), X)
    assert "index is encoded unusually" in dataset.warnings[0]


@pytest.mark.parametrize("policy", ["error", "fill"])
@pytest.mark.parametrize("options", [{}, SHARDS, {"zarr_format": 2}])
def test_a_chunk_that_vanishes_after_the_listing_is_an_error(tmp_path, options, policy):
    path = write(tmp_path / "a", **options)
    dataset = open_zarr(path, absent_chunks=policy)
    key = "4.0" if "zarr_format" in options else "c/4/0"
    (tmp_path / "a" / key).unlink()
    with pytest.raises(DataError, match=f"{key}.* and is gone"):
        read(dataset)


def test_an_inner_chunk_that_vanishes_after_the_listing_is_an_error(tmp_path):
    X = np.random.default_rng(0).normal(size=(N, D))
    path = write(tmp_path / "a", X, fill_value=0.0, **SHARDS)
    dataset = open_zarr(path)
    array = zarr.open_array(path, mode="r+").with_config({"write_empty_chunks": False})
    array[2300:2400] = 0.0
    with pytest.raises(DataError, match=r"inner chunk \(3, 0\) of shard c/2/0 .* is gone"):
        read(dataset)


def test_chunks_full_of_fill_values_that_exist_are_read(tmp_path):
    X = np.zeros((N, D))
    for name, options in {"plain": {}, "shards": SHARDS}.items():
        path = write(tmp_path / name, X, config={"write_empty_chunks": True}, **options)
        np.testing.assert_array_equal(read(open_zarr(path)), X)


def test_a_null_fill_value_of_version_2_reads_as_zero(tmp_path):
    path = write(tmp_path / "a", zarr_format=2)
    metadata = tmp_path / "a/.zarray"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"fill_value": None}))
    (tmp_path / "a/2.0").unlink()
    rows = read(open_zarr(path, absent_chunks="fill"))
    np.testing.assert_array_equal(rows[1000:1500], 0.0)
    with pytest.raises(DataError, match=r"1 of 10 chunks do not exist \(2\.0\)"):
        open_zarr(path)


def test_many_absent_chunks_are_counted_and_the_first_named(tmp_path):
    path = write(tmp_path / "a")
    for i in (0, 1, 4, 5, 6, 7, 9):
        (tmp_path / f"a/c/{i}/0").unlink()
    with pytest.raises(
        DataError, match=r"7 of 10 .*\(c/0/0, c/1/0, c/4/0, c/5/0, c/6/0 and 2 more\)"
    ):
        open_zarr(path)


@pytest.mark.parametrize("policy", ["error", "fill"])
@pytest.mark.parametrize("separator", ["/", "."])
def test_a_claim_of_petabytes_is_refused_with_numbers(tmp_path, policy, separator):
    encoding = {"name": "default", "separator": separator}
    path = write(tmp_path / "a", chunk_key_encoding=encoding)
    metadata = tmp_path / "a/zarr.json"
    claim = json.loads(metadata.read_text()) | {"shape": [10**15, D]}
    metadata.write_text(json.dumps(claim))
    with pytest.raises(DataError, match=r"1000000000000000 × 3 float64 \(2\.4e\+16 bytes\)"):
        open_zarr(path, absent_chunks=policy)


def test_foreign_files_beside_chunks_do_not_count(tmp_path):
    path = write(tmp_path / "a")
    for name in ("c/x", "c/0/99", "c/0/0.partial", "c/00", "c/99/0"):
        (tmp_path / "a" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "a" / name).write_text("x")
    (tmp_path / "a/c/3/0").unlink()
    (tmp_path / "a/c/3/0").mkdir()
    with pytest.raises(DataError, match=r"1 of 10 chunks do not exist \(c/3/0\)"):
        open_zarr(path)


def test_an_empty_chunk_is_named_when_opened(tmp_path):
    path = write(tmp_path / "a")
    (tmp_path / "a/c/3/0").write_bytes(b"")
    with pytest.raises(DataError, match=r"chunk c/3/0 is damaged: its file is empty"):
        open_zarr(path)


def cut(content):
    return content[: len(content) // 2]


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


def empty(content):
    return b""


BLOSC = zarr.codecs.BloscCodec()
DAMAGES = {
    "cut zstd": ({}, cut),
    "emptied zstd": ({}, empty),
    "cut gzip": ({"compressors": zarr.codecs.GzipCodec()}, cut),
    "cut blosc": ({"compressors": BLOSC}, cut),
    "emptied blosc": ({"compressors": BLOSC}, empty),
    "cut raw": ({"compressors": None}, cut),
    "emptied raw": ({"compressors": None}, empty),
    "flipped with a checksum": ({"compressors": [Crc32cCodec()]}, flip),
    "cut shard": (SHARDS, cut),
    "emptied shard": (SHARDS, empty),
    "cut v2": ({"zarr_format": 2}, cut),
    "emptied v2 raw": ({"zarr_format": 2, "compressors": None}, empty),
}


@pytest.mark.parametrize(("options", "damage"), DAMAGES.values(), ids=DAMAGES)
def test_a_chunk_damaged_after_opening_is_named(tmp_path, options, damage):
    path = write(tmp_path / "a", **options)
    key = "3.0" if "zarr_format" in options else "c/3/0"
    dataset = open_zarr(path)
    file = tmp_path / "a" / key
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DataError, match=f"{key} .*is damaged"):
        read(dataset)


def test_a_shard_too_short_for_its_index_is_named_when_opened(tmp_path):
    path = write(tmp_path / "a", **SHARDS)
    (tmp_path / "a/c/2/0").write_bytes(b"x" * 100)
    with pytest.raises(DataError, match="c/2/0 is damaged: too short"):
        open_zarr(path)


def test_a_shard_with_a_wrong_index_is_named(tmp_path):
    path = write(tmp_path / "a", **SHARDS)
    shard = tmp_path / "a/c/2/0"
    content = shard.read_bytes()
    index = len(content) - 4 - 16 * 10
    shard.write_bytes(content[:index] + struct.pack("<QQ", 2**40, 8) + content[index + 16 :])
    with pytest.raises(DataError, match=r"shard c/2/0 .* is damaged"):
        read(open_zarr(path))


def test_metadata_changed_after_opening_are_an_error(tmp_path):
    path = write(tmp_path / "a")
    dataset = open_zarr(path)
    metadata = tmp_path / "a/zarr.json"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"fill_value": 1.0}))
    from dgmm.data.zarr.chunk_reading import opened

    opened.cache_clear()  # as in a worker process that has not opened the array yet
    with pytest.raises(DataError, match="metadata changed"):
        read(dataset)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_chunk_without_permission_is_input_not_found(tmp_path):
    path = write(tmp_path / "a")
    dataset = open_zarr(path)
    (tmp_path / "a/c/3/0").chmod(0)
    with pytest.raises(InputNotFoundError, match=r"c/3/0 .*[Pp]ermission"):
        read(dataset)


def test_an_unreadable_chunk_is_input_not_found(tmp_path, monkeypatch):
    dataset = open_zarr(write(tmp_path / "a"))

    async def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("dgmm.data.zarr.small_files.SmallFilesStore.get", denied)
    with pytest.raises(InputNotFoundError, match=r"c/0/0 .*Permission denied"):
        read(dataset)
