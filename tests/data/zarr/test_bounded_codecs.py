"""Codecs give what was stored, and stop where a chunk's declared size ends."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import shutil
import subprocess
import threading
import tracemalloc
import zlib
from itertools import product

import numcodecs
import numpy as np
import pytest
import zarr
from zarr import codecs as v3
from zarr.codecs import numcodecs as foreign

from dgmm.data.zarr import bounded_codecs
from dgmm.data.zarr.bounded_codecs import Due, OversizedChunkError, bounded_decode
from dgmm.data.zarr.chunk_reading import opened
from dgmm.data.zarr.dataset import open_zarr
from dgmm.errors import DataError, StoppedError
from dgmm.reduction.blocks import BlockRange
from dgmm.runtime import stop_flag as stopping

pytestmark = pytest.mark.filterwarnings("ignore:Numcodecs codecs are not")

N, D, ROWS = 700, 3, 128
#: More than any bound of a chunk of 128 rows, and far less than what would hurt.
BOMB_BYTES = 300_000_000


def rows(dtype="f8"):
    return np.rint(40 * np.random.default_rng(3).normal(size=(N, D))).astype(dtype)


def read(path):
    dataset = open_zarr(str(path))
    return np.concatenate(
        [block.values for block in dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks))]
    )


def decoded(name, data, due, **configuration):
    decode = bounded_decode(name, configuration)
    assert decode is not None
    return bytes(memoryview(decode(np.frombuffer(data, np.uint8), due)).cast("B"))


COMPRESSORS = {
    "gzip": v3.GzipCodec,
    "zstd": v3.ZstdCodec,
    "zstd with checksum": lambda: v3.ZstdCodec(checksum=True),
    "blosc": v3.BloscCodec,
    "zlib": foreign.Zlib,
    "bz2": foreign.BZ2,
    "lzma": foreign.LZMA,
    "raw lzma": lambda: foreign.LZMA(format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}]),
    "lz4": foreign.LZ4,
    "numcodecs.zstd": foreign.Zstd,
    "numcodecs.blosc": foreign.Blosc,
    "numcodecs.gzip": foreign.GZip,
}


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("shards", [None, (2 * ROWS, D)], ids=["plain", "sharded"])
def test_rows_of_version_3_are_those_that_were_written(tmp_path, name, shards):
    X = rows()
    own = {"shards": shards, "chunks": (ROWS, D), "compressors": [COMPRESSORS[name]()]}
    zarr.create_array(str(tmp_path / "a"), data=X, **own)
    np.testing.assert_array_equal(read(tmp_path / "a"), X)


@pytest.mark.parametrize(
    "names",
    list(product(["gzip", "zstd", "blosc", "lz4", "bz2"], repeat=2)),
    ids="+".join,
)
def test_one_compressor_after_another(tmp_path, names):
    X = rows("f4")
    chain = [COMPRESSORS[names[0]](), v3.Crc32cCodec(), COMPRESSORS[names[1]]()]
    zarr.create_array(str(tmp_path / "a"), data=X, chunks=(ROWS, D), compressors=chain)
    np.testing.assert_array_equal(read(tmp_path / "a"), X)


@pytest.mark.parametrize(
    "filters",
    [
        [numcodecs.Delta("f8")],
        [numcodecs.AsType("f8", "u1")],
        [numcodecs.Shuffle(8)],
        [numcodecs.FixedScaleOffset(0, 1, "f8", "i2")],
        [numcodecs.Zlib()],
    ],
    ids=lambda own: own[0].codec_id,
)
@pytest.mark.parametrize(
    "compressor", [None, "zlib", "zstd", "lz4", "blosc", "bz2", "lzma", "gzip"]
)
def test_rows_of_version_2_are_those_that_were_written(tmp_path, filters, compressor):
    X = np.abs(rows("u1")) if filters[0].codec_id == "astype" else rows()
    own = numcodecs.get_codec({"id": compressor}) if compressor else None
    made = zarr.create_array(
        str(tmp_path / "a"),
        shape=X.shape,
        dtype=X.dtype,
        chunks=(ROWS, D),
        zarr_format=2,
        filters=filters,
        compressors=own,
    )
    made[:] = X
    np.testing.assert_array_equal(read(tmp_path / "a"), X)


def compressed(name, content):
    match name.removeprefix("numcodecs."):
        case "gzip":
            return gzip.compress(content, 1)
        case "zlib":
            return zlib.compress(content, 1)
        case "bz2":
            return bz2.compress(content, 1)
        case "lzma":
            return lzma.compress(content, preset=0)
    return numcodecs.get_codec({"id": name.removeprefix("numcodecs.")}).encode(content)


def of_unknown_size(content):
    """A zstd frame as a stream has it: without the size of its content."""
    if shutil.which("zstd") is None:
        pytest.skip("needs the zstd command")
    command = ["zstd", "-q", "-1", "--no-check"]
    return subprocess.run(command, input=content, capture_output=True, check=True).stdout


BOUNDED = ["gzip", "zlib", "bz2", "lzma", "zstd", "blosc", "lz4"]


@pytest.mark.parametrize("name", BOUNDED)
def test_a_bomb_is_refused_within_the_memory_that_is_due(name):
    bomb = compressed(name, bytes(BOMB_BYTES if name != "bz2" else BOMB_BYTES // 4))
    for due in (Due.of_chunk(9000), Due(9000, exact=False)):
        tracemalloc.start()
        with pytest.raises((ValueError, RuntimeError)):
            decoded(name, bomb, due)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < len(bomb) + 2_000_000


@pytest.mark.parametrize("due", [Due.of_chunk(9000), Due(9000, exact=False)])
def test_a_zstd_frame_that_tells_no_size_is_bounded_too(due):
    assert decoded("zstd", of_unknown_size(bytes(9000)), Due.of_chunk(9000)) == bytes(9000)
    assert decoded("zstd", of_unknown_size(bytes(77)), Due(9000, exact=False)) == bytes(77)
    for content in (BOMB_BYTES, 9001):
        with pytest.raises((ValueError, RuntimeError)):
            decoded("zstd", of_unknown_size(bytes(content)), due)


@pytest.mark.parametrize("exact", [True, False])
def test_zstd_frames_in_a_row_give_their_sum_or_are_refused(exact):
    part = np.arange(500, dtype=np.uint8).tobytes()
    one = compressed("zstd", part)
    assert decoded("zstd", one + one, Due(1000, exact)) == part + part
    skipped = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    assert decoded("zstd", skipped + one, Due(500, exact)) == part
    for due in (Due(499, exact), Due(999, exact)):
        with pytest.raises((ValueError, RuntimeError)):
            decoded("zstd", one + one, due)
    # Nothing is added to what is too short: the chunk's shape is not that of its values.
    assert decoded("zstd", one, Due(1000, exact)) == part


def test_gzip_members_follow_one_another_and_zeros_them():
    one = gzip.compress(b"abc")
    assert decoded("gzip", one + one + bytes(20), Due(6, exact=True)) == b"abcabc"
    with pytest.raises(OversizedChunkError, match="more than the 5 bytes"):
        decoded("gzip", one + one, Due(5, exact=True))
    with pytest.raises(EOFError):
        decoded("gzip", one[:-9], Due(6, exact=True))
    with pytest.raises(zlib.error):
        decoded("gzip", one + b"junk", Due(6, exact=True))


def bombed(path, key, content):
    opened.cache_clear()
    (path / key).write_bytes(content)


@pytest.mark.parametrize("name", ["gzip", "zstd", "blosc", "zlib", "bz2", "lzma", "lz4"])
def test_a_bomb_in_place_of_a_chunk_is_named_as_damaged(tmp_path, name):
    own = {"chunks": (ROWS, D), "compressors": [COMPRESSORS[name]()]}
    zarr.create_array(str(tmp_path / "a"), data=rows(), **own)
    bombed(tmp_path / "a", "c/2/0", compressed(name, bytes(40_000_000)))
    with pytest.raises(DataError, match=r"chunk c/2/0 of .* is damaged"):
        read(tmp_path / "a")


@pytest.mark.parametrize("name", ["zlib", "zstd"])
def test_a_bomb_in_an_array_of_version_2_is_named_as_damaged(tmp_path, name):
    own = numcodecs.get_codec({"id": name})
    for filters in (None, [numcodecs.Delta("f8")]):
        path = tmp_path / f"filters {filters is not None}"
        zarr.create_array(
            str(path),
            data=rows(),
            chunks=(ROWS, D),
            zarr_format=2,
            compressors=own,
            filters=filters,
        )
        bombed(path, "2.0", compressed(name, bytes(40_000_000)))
        with pytest.raises(DataError, match=r"chunk 2\.0 of .* is damaged"):
            read(path)


def test_a_bomb_in_a_bomb_and_one_within_a_shard(tmp_path):
    chain = {"compressors": [v3.GzipCodec(), v3.ZstdCodec()], "chunks": (ROWS, D)}
    zarr.create_array(str(tmp_path / "a"), data=rows(), **chain)
    inner = gzip.compress(bytes(100_000_000), 9)
    bombed(tmp_path / "a", "c/1/0", compressed("zstd", inner))
    with pytest.raises(DataError, match=r"chunk c/1/0 of .* is damaged"):
        read(tmp_path / "a")
    own = {"chunks": (ROWS, D), "shards": (2 * ROWS, D), "compressors": [v3.GzipCodec()]}
    zarr.create_array(str(tmp_path / "b"), data=rows(), **own)
    bomb = gzip.compress(bytes(50_000_000), 9)
    pairs = np.array([0, len(bomb), 0, len(bomb)], "<u8").tobytes()
    checksum = numcodecs.CRC32C() if hasattr(numcodecs, "CRC32C") else None
    seal = b"" if checksum is None else checksum.encode(pairs)[:4].tobytes()
    bombed(tmp_path / "b", "c/1/0", bomb + pairs + seal)
    with pytest.raises(DataError, match=r"shard c/1/0 .* is damaged"):
        read(tmp_path / "b")


def test_a_file_far_larger_than_any_encoding_of_a_chunk_is_named(tmp_path):
    for name, own in {"a": {}, "b": {"shards": (2 * ROWS, D)}}.items():
        zarr.create_array(
            str(tmp_path / name), data=rows(), chunks=(ROWS, D), compressors=None, **own
        )
        with (tmp_path / name / "c/1/0").open("r+b") as file:
            file.truncate(2**40)  # sparse: it takes no space
        with pytest.raises(DataError, match=r"chunk c/1/0 is damaged: its file has 1,099,511"):
            open_zarr(str(tmp_path / name))


def test_codecs_that_nobody_knows_here_are_left_alone():
    assert bounded_decode("crc32c", {}) is None
    assert bounded_decode("numcodecs.shuffle", {"elementsize": 4}) is None


def with_metadata(path, key, value):
    file = path / ("zarr.json" if (path / "zarr.json").exists() else ".zarray")
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    opened.cache_clear()


def test_a_chain_of_compressors_has_one_bound_however_long_it_is():
    due = Due.of_chunk(2_000_000)
    once = due.between()
    assert once.between().between() == once
    assert once.most < 1.3 * due.most


def test_more_codecs_than_writers_use_are_refused_by_their_number(tmp_path):
    X = rows("f4")
    chain = [v3.ZstdCodec() for _ in range(7)]
    zarr.create_array(str(tmp_path / "a"), data=X, chunks=(ROWS, D), compressors=chain)
    np.testing.assert_array_equal(read(tmp_path / "a"), X)
    of_bytes = [{"name": "bytes", "configuration": {"endian": "little"}}]
    for n, name in ((8, "gzip"), (33, "zstd"), (20_000, "numcodecs.lz4")):
        with_metadata(tmp_path / "a", "codecs", of_bytes + n * [{"name": name}])
        with pytest.raises(DataError, match=rf"{n + 1:,} codecs; at most 8 in a row"):
            open_zarr(str(tmp_path / "a"))
    own = {"chunks": (ROWS, D), "shards": (2 * ROWS, D)}
    zarr.create_array(str(tmp_path / "b"), data=X, **own)
    sharding = json.loads((tmp_path / "b/zarr.json").read_text())["codecs"][0]
    for key in ("codecs", "index_codecs"):
        deep = sharding["configuration"] | {key: 12 * of_bytes}
        with_metadata(tmp_path / "b", "codecs", [sharding | {"configuration": deep}])
        with pytest.raises(DataError, match=f"12 {key}; at most 8"):
            open_zarr(str(tmp_path / "b"))


def version_2(path, filters):
    own = {"chunks": (ROWS, D), "zarr_format": 2, "compressors": None}
    zarr.create_array(str(path), data=rows(), filters=filters, **own)


def test_filters_that_enlarge_one_after_another_are_stopped_on_the_way(tmp_path):
    version_2(tmp_path / "a", [numcodecs.Delta("f8")])
    with_metadata(
        tmp_path / "a",
        "filters",
        7 * [{"id": "astype", "encode_dtype": "u1", "decode_dtype": "f8"}],
    )
    tracemalloc.start()
    with pytest.raises(DataError, match=r"chunk 0\.0 of .* is damaged: it unpacks to more"):
        read(tmp_path / "a")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 40_000_000  # without a bound in between, 8**7 times the chunk: 6 GB
    with_metadata(tmp_path / "a", "filters", 40 * [{"id": "shuffle", "elementsize": 8}])
    with pytest.raises(DataError, match="40 filters; at most 8"):
        open_zarr(str(tmp_path / "a"))


@pytest.mark.parametrize("wide", ["S900000", "U5000", "V100"])
def test_a_filter_that_makes_wide_values_of_bytes_is_refused_by_name(tmp_path, wide):
    version_2(tmp_path / "a", [numcodecs.Delta("f8")])
    one = {"encode_dtype": "u1", "decode_dtype": wide}
    with_metadata(tmp_path / "a", "filters", [{"id": "astype"} | one])
    with pytest.raises(DataError, match="the codec 'astype', which makes values of more than 32"):
        open_zarr(str(tmp_path / "a"))
    zarr.create_array(str(tmp_path / "b"), data=rows(), chunks=(ROWS, D))
    codecs = [{"name": "numcodecs.astype", "configuration": one}, {"name": "bytes"}]
    with_metadata(tmp_path / "b", "codecs", codecs)
    with pytest.raises(DataError, match=r"the codec 'numcodecs\.astype', which makes"):
        open_zarr(str(tmp_path / "b"))


EMPTY = {"gzip": gzip.compress(b""), "bz2": bz2.compress(b""), "lzma": lzma.compress(b"")}


@pytest.mark.parametrize("name", EMPTY)
def test_streams_that_hold_nothing_are_taken_where_they_are_few(name):
    own = {"gzip": gzip, "bz2": bz2, "lzma": lzma}[name].compress
    empty, due = EMPTY[name], Due.of_chunk(6)
    assert decoded(name, own(b"abc") + empty + own(b"def") + empty, due) == b"abcdef"
    with pytest.raises(ValueError, match="more than 16 compressed streams in it hold nothing"):
        decoded(name, 200_000 * empty + own(b"abcdef"), due)


@pytest.mark.parametrize("name", EMPTY)
def test_many_short_streams_are_not_copied_once_for_each(name, monkeypatch):
    own = {"gzip": gzip, "bz2": bz2, "lzma": lzma}[name].compress
    handed, original = [], bounded_codecs._Left.next_piece

    def counted(left):
        piece = original(left)
        handed.append(len(piece))
        return piece

    monkeypatch.setattr(bounded_codecs._Left, "next_piece", counted)
    content = np.random.default_rng(8).bytes(1500)
    data = b"".join(own(content[i : i + 1]) for i in range(1500))
    assert decoded(name, data, Due.of_chunk(1500)) == content
    assert sum(handed[1:]) <= 1500 * bounded_codecs._SMALLEST_PIECE
    long = np.random.default_rng(9).bytes(5_000_000)
    assert decoded(name, own(long) + own(b"end"), Due.of_chunk(5_000_003)) == long + b"end"


def test_zeros_behind_a_stream_may_be_many():
    assert decoded("gzip", gzip.compress(b"abc") + bytes(30_000), Due.of_chunk(3)) == b"abc"
    two = gzip.compress(b"abc") + bytes(9_000) + gzip.compress(b"d")
    assert decoded("gzip", two, Due.of_chunk(4)) == b"abcd"


def test_a_request_to_stop_is_seen_between_streams(monkeypatch):
    monkeypatch.setattr(stopping, "requested", threading.Event())
    data = gzip.compress(b"a") + gzip.compress(b"b")
    assert decoded("gzip", data, Due.of_chunk(2)) == b"ab"
    stopping.requested.set()
    with pytest.raises(StoppedError):
        decoded("gzip", data, Due.of_chunk(2))
