"""Arrays of one dimension are read as rows of one feature, chunks of any size, none missed."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

from dgmm.data.zarr.vector import open_zarr_vector
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockRange

N = 2345
LAYOUTS = [(2, "/", None), (2, ".", None), (3, "/", None), (3, ".", None), (3, "/", (1000,))]


@pytest.mark.parametrize(("zarr_format", "separator", "shards"), LAYOUTS)
def test_a_vector_is_rows_of_one_feature(tmp_path, zarr_format, separator, shards):
    opened = open_zarr_vector(_written(tmp_path, zarr_format, separator, shards), "w")
    assert (opened.n_samples, opened.n_features) == (N, 1)
    np.testing.assert_array_equal(_values(opened), np.arange(1, N + 1))


@pytest.mark.parametrize(("zarr_format", "separator", "shards"), LAYOUTS)
def test_a_chunk_of_a_vector_that_is_gone_is_noticed(tmp_path, zarr_format, separator, shards):
    path = _written(tmp_path, zarr_format, separator, shards)
    opened = open_zarr_vector(path, "w")
    opened.check_unchanged()
    _chunk_files(tmp_path)[1].unlink()
    with pytest.raises(DataError, match="changed during the run"):
        opened.check_unchanged()
    with pytest.raises(DataError, match="chunks do not exist"):
        open_zarr_vector(path, "w")


def test_a_damaged_chunk_of_a_vector_is_named(tmp_path):
    opened = open_zarr_vector(_written(tmp_path, 3, "/", None), "w")
    (tmp_path / "w/c/7").write_bytes(b"no chunk")
    with pytest.raises(DataError, match=r"chunk c/7 of .* is damaged"):
        _values(opened)


@pytest.mark.parametrize("shape", [(4, 2), (2, 2, 2)])
def test_other_shapes_are_refused(tmp_path, shape):
    zarr.open_group(tmp_path, mode="w").create_array("w", data=np.ones(shape))
    with pytest.raises(DataError, match="expected one value per row"):
        open_zarr_vector(str(tmp_path), "w")


@pytest.mark.parametrize("name", ["scale_factor", "_FillValue"])
def test_numbers_that_mean_others_are_refused(tmp_path, name):
    attributes = {name: 2.0}
    zarr.open_group(tmp_path, mode="w").create_array("w", data=np.ones(4), attributes=attributes)
    with pytest.raises(DataError, match=f"attributes {name} say that the numbers are encoded"):
        open_zarr_vector(str(tmp_path), "w")


def test_one_column_is_a_vector(tmp_path):
    zarr.open_group(tmp_path, mode="w").create_array("w", data=np.ones((5, 1)))
    assert open_zarr_vector(str(tmp_path), "w").n_samples == 5


def _values(opened):
    blocks = opened.read_blocks(BlockRange(0, opened.grid.n_blocks))
    return np.concatenate([block.values for block in blocks])[:, 0]


def _written(folder, zarr_format, separator, shards):
    group = zarr.open_group(folder, mode="w", zarr_format=zarr_format)
    keys = {"name": "default" if zarr_format == 3 else "v2", "separator": separator}
    own = {} if shards is None else {"shards": shards}
    array = group.create_array(
        "w", shape=(N,), chunks=(100,), dtype="f4", chunk_key_encoding=keys, **own
    )
    array[:] = np.arange(1, N + 1)
    return str(folder)


def _chunk_files(folder):
    files = sorted(path for path in (folder / "w").rglob("*") if path.is_file())
    return [path for path in files if path.name not in {"zarr.json", ".zarray", ".zattrs"}]
