"""What cannot be read as rows of real numbers is refused by name, with a remedy."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import zarr

from dgmm.data.zarr.dataset import open_zarr
from dgmm.errors import DataError, InputNotFoundError

N, D = 1000, 5


def write(path, **options):
    X = np.random.default_rng(0).normal(size=(N, D))
    options = {"chunks": (100, D), "zarr_format": 3} | options
    zarr.create_array(str(path), shape=X.shape, dtype=X.dtype, **options)[...] = X
    return str(path)


@pytest.mark.parametrize(
    ("dtype", "word"),
    [
        ("<c16", "complex"),
        ("<M8[s]", "dates"),
        ("<U3", "strings"),
        ("|S4", "byte strings"),
        ("|O", "objects"),
        ([["a", "<f8"]], "structured"),
    ],
)
def test_other_types_are_refused_by_name(tmp_path, dtype, word):
    path = write(tmp_path / "a", zarr_format=2)
    edit(tmp_path / "a/.zarray", dtype=dtype)
    with pytest.raises(DataError, match=word):
        open_zarr(path)


@pytest.mark.parametrize(
    ("data_type", "word"),
    [
        ("complex64", "complex"),
        ("string", "strings"),
        ({"name": "numpy.datetime64", "configuration": {"unit": "s"}}, "dates"),
        ({"name": "structured", "configuration": {}}, "structured"),
        ("bfloat16", "bfloat16"),
    ],
)
def test_other_types_of_version_3_are_refused_by_name(tmp_path, data_type, word):
    path = write(tmp_path / "a")
    edit(tmp_path / "a/zarr.json", data_type=data_type)
    with pytest.raises(DataError, match=word):
        open_zarr(path)


@pytest.mark.parametrize(
    ("shape", "word"),
    [
        ((), "single number"),
        ((9,), r"shape \(9, 1\)"),
        ((3, 3, 3), "Reshape"),
        ((0, 3), "no rows"),
        ((3, 0), "no features"),
    ],
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_other_shapes_are_refused_with_a_remedy(tmp_path, shape, word, zarr_format):
    zarr.create_array(
        str(tmp_path / "a"),
        shape=shape,
        dtype="f8",
        chunks=tuple(max(size, 1) for size in shape),
        zarr_format=zarr_format,
    )
    with pytest.raises(DataError, match=word):
        open_zarr(str(tmp_path / "a"))


def edit(path: Path, **values):
    document = json.loads(path.read_text())
    document.update(values)
    path.write_text(json.dumps(document))


def test_a_rectilinear_grid_is_refused_by_name(tmp_path):
    path = write(tmp_path / "a")
    edit(tmp_path / "a/zarr.json", chunk_grid={"name": "rectilinear", "configuration": {}})
    with pytest.raises(DataError, match="rectilinear"):
        open_zarr(path)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_unknown_codec_is_named(tmp_path, zarr_format):
    path = write(tmp_path / "a", zarr_format=zarr_format)
    if zarr_format == 3:
        codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "acme.zip"}]
        edit(tmp_path / "a/zarr.json", codecs=codecs)
    else:
        edit(tmp_path / "a/.zarray", compressor={"id": "acme.zip"})
    with pytest.raises(DataError, match=r"acme\.zip"):
        open_zarr(path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"zarr_format": 3}', "\xff", "[" * 9999]
)
@pytest.mark.parametrize("name", ["zarr.json", ".zarray"])
def test_damaged_metadata_are_named(tmp_path, content, name):
    zarr_format = 3 if name == "zarr.json" else 2
    path = write(tmp_path / "a", zarr_format=zarr_format)
    (tmp_path / "a" / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=r"damaged|expected zarr_format"):
        open_zarr(path)


@pytest.mark.parametrize("shape", [[-1, 5], [5.5, 5], [2**70, 5], [2**61, 2**61], "ab", [True, 5]])
def test_impossible_shapes_are_refused(tmp_path, shape):
    path = write(tmp_path / "a")
    edit(tmp_path / "a/zarr.json", shape=shape)
    with pytest.raises(DataError, match="metadata"):
        open_zarr(path)


def test_a_chunk_that_fits_no_machine_is_refused_with_numbers(tmp_path):
    path = write(tmp_path / "a", chunks=(N, D))
    grid = {"name": "regular", "configuration": {"chunk_shape": [10**14, D]}}
    edit(tmp_path / "a/zarr.json", shape=[10**14, D], chunk_grid=grid)
    with pytest.raises(DataError, match=r"4e\+15 bytes"):
        open_zarr(path)


def test_an_absent_path_and_a_url_are_input_not_found(tmp_path):
    with pytest.raises(InputNotFoundError, match="does not exist"):
        open_zarr(str(tmp_path / "none"))
    with pytest.raises(InputNotFoundError, match="URLs are not read") as caught:
        open_zarr("https://user:secret@host/data.zarr?token=hidden")
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    with pytest.raises(InputNotFoundError, match="URLs are not read"):
        open_zarr("simplecache::s3://bucket/a")


def test_a_file_and_an_empty_folder_are_no_array(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is a file"):
        open_zarr(str(tmp_path / "file"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"neither zarr\.json nor \.zarray"):
        open_zarr(str(tmp_path / "empty"))


def test_a_loop_of_links_is_input_not_found(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputNotFoundError, match="cannot be read"):
        open_zarr(str(tmp_path / "loop"))


def test_permission_denied_is_told_from_missing(tmp_path, monkeypatch):
    path = write(tmp_path / "a")

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(InputNotFoundError, match="permission denied"):
        open_zarr(path)


def test_a_sparse_matrix_is_refused_with_a_hint(tmp_path):
    root = zarr.open_group(str(tmp_path / "g"), mode="w")
    root.create_group("X", attributes={"encoding-type": "csr_matrix", "shape": [3, 4]})
    root.create_array("X/data", shape=(3,), dtype="f4", chunks=(3,))
    for arguments in [(str(tmp_path / "g/X"),), (str(tmp_path / "g"), "X")]:
        with pytest.raises(DataError, match="sparse"):
            open_zarr(*arguments)
