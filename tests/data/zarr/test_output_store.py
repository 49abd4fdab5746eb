"""Outputs are written in whole chunks, checksummed, and opened by xarray without a warning."""

from __future__ import annotations

import errno
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

from dgmm.data.zarr.output_store import OutputArray, create_array, create_outputs, finish_outputs
from dgmm.errors import OutputExistsError, OutputFailedError

N, ROWS = 10_000, 4096


@pytest.fixture(params=[2, 3])
def zarr_format(request):
    return request.param


@pytest.fixture
def labels(tmp_path, zarr_format):
    create_outputs(tmp_path / "outputs.zarr", {"run": "photos"}, zarr_format)
    return create_array(
        tmp_path / "outputs.zarr",
        "labels",
        shape=(N,),
        chunks=(ROWS,),
        dtype="int32",
        dimension_names=("row",),
        fill_value=-1,
        attributes={"meaning": "component"},
        zarr_format=zarr_format,
    )


def chunk_file(labels, number):
    """The file of one chunk of a single column."""
    folder = Path(labels.path, labels.name)
    return folder / "c" / str(number) if (folder / "c").is_dir() else folder / str(number)


def test_what_is_written_is_read_by_others(labels, zarr_format):
    create_array(
        labels.path,
        "responsibilities",
        shape=(N, 4),
        chunks=(ROWS, 2),
        dtype="float32",
        dimension_names=("row", "component"),
        fill_value=np.nan,
        zarr_format=zarr_format,
    )
    values = np.arange(N, dtype=np.int32)
    shares = np.random.default_rng(0).random((N, 4), dtype=np.float32)
    for name, content in {"labels": values, "responsibilities": shares}.items():
        copy = pickle.loads(pickle.dumps(OutputArray(labels.path, name)))  # noqa: S301 - ours
        for start in range(0, N, ROWS):
            copy.write(start, content[start : start + ROWS])
        copy.sync(0, N)
    finish_outputs(labels.path)
    with xarray.open_zarr(labels.path) as opened:
        np.testing.assert_array_equal(opened["labels"], values)
        np.testing.assert_array_equal(opened["responsibilities"], shares)
        assert opened["responsibilities"].dims == ("row", "component")
        assert opened["labels"].dtype == np.int32
        assert opened.attrs == {"run": "photos"}
        assert opened["labels"].attrs == {"meaning": "component"}
    np.testing.assert_array_equal(
        OutputArray(labels.path, "labels").read(100, 9000), values[100:9000]
    )


@pytest.mark.parametrize("zarr_format", [3], indirect=True)
def test_the_checksum_is_the_last_codec_and_there_are_no_shards(labels):
    with open(f"{labels.path}/labels/zarr.json") as file:  # noqa: PTH123 - a short path
        document = json.load(file)
    assert [codec["name"] for codec in document["codecs"]] == ["bytes", "zstd", "crc32c"]
    assert document["codecs"][1]["configuration"]["level"] == 1
    assert document["dimension_names"] == ["row"]


@pytest.mark.parametrize("zarr_format", [2], indirect=True)
def test_version_2_holds_what_its_readers_know(labels):
    group = Path(labels.path)
    finish_outputs(group)
    document = json.loads((group / "labels/.zarray").read_text())
    assert document["compressor"] == {"id": "zstd", "level": 1, "checksum": True}
    assert document["fill_value"] is None  # xarray would read rows of that label as missing
    assert json.loads((group / "labels/.zattrs").read_text())["_ARRAY_DIMENSIONS"] == ["row"]
    assert set(json.loads((group / ".zmetadata").read_text())["metadata"]) >= {"labels/.zarray"}
    assert not list(group.rglob("zarr.json"))


def test_chunks_of_fill_values_are_written(labels):
    labels.write(0, np.full(ROWS, -1, np.int32))
    OutputArray(labels.path, "labels").write(ROWS, np.full(ROWS, -1, np.int32))
    assert [chunk_file(labels, i).is_file() for i in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("start", "length"),
    [(1, ROWS), (0, ROWS - 1), (0, 0), (2 * ROWS, ROWS), (ROWS, 99), (-ROWS, ROWS)],
)
def test_anything_but_whole_chunks_is_refused(labels, start, length):
    with pytest.raises(ValueError, match="whole chunks"):
        labels.write(start, np.zeros(length, np.int32))


def test_the_ragged_last_chunk_and_several_chunks_are_written(labels):
    labels.write(0, np.zeros(2 * ROWS, np.int32))
    labels.write(2 * ROWS, np.ones(N - 2 * ROWS, np.int32))
    labels.sync(0, N)
    assert labels.read(0, N).sum() == N - 2 * ROWS


def test_other_types_and_shapes_are_refused(labels):
    with pytest.raises(ValueError, match="type float64"):
        labels.write(0, np.zeros(ROWS))
    with pytest.raises(ValueError, match="shape"):
        labels.write(0, np.zeros((ROWS, 1), np.int32))


def test_a_chunk_that_was_not_written_is_never_read_as_fill_values(labels):
    labels.write(0, np.zeros(ROWS, np.int32))
    assert labels.read(0, ROWS).shape == (ROWS,)
    with pytest.raises(OutputFailedError, match="does not exist"):
        labels.read(0, ROWS + 1)
    with pytest.raises(OutputFailedError, match="made durable"):
        labels.sync(0, ROWS + 1)


def test_a_flipped_bit_is_found(labels):
    labels.write(0, np.arange(ROWS, dtype=np.int32))
    chunk = chunk_file(labels, 0)
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(OutputFailedError, match="rows 0 to 10 cannot be read"):
        labels.read(0, 10)


def test_a_full_disk_is_an_output_failure(labels, monkeypatch):
    async def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("dgmm.data.zarr.folder_store.FolderStore.set", full)
    with pytest.raises(OutputFailedError, match="No space left"):
        labels.write(0, np.zeros(ROWS, np.int32))


def test_sync_reaches_files_and_folders(labels, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    labels.write(0, np.zeros(2 * ROWS, np.int32))
    labels.sync(0, 2 * ROWS)
    files = [chunk_file(labels, i) for i in range(2)]
    expected = {*files, files[0].parent, Path(labels.path, labels.name)}
    assert {path.stat().st_ino for path in expected} == set(synced)


def test_outputs_replace_outputs_and_nothing_else(labels, tmp_path):
    labels.write(0, np.zeros(ROWS, np.int32))
    create_outputs(labels.path, {})
    assert list(zarr.open_group(labels.path, mode="r").array_keys()) == []
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/draft").write_text("x")
    with pytest.raises(OutputExistsError, match="no Zarr group"):
        create_outputs(tmp_path / "thesis", {})
    assert (tmp_path / "thesis/draft").exists()


def test_a_place_that_cannot_be_written_is_an_output_failure(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputFailedError, match="cannot be created"):
        create_outputs(tmp_path / "file/outputs.zarr", {})
