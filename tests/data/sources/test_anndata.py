"""AnnData in a file and in Zarr: the same rows, names and columns from each of the three forms."""

from __future__ import annotations

import pickle
import shutil
from contextlib import contextmanager

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import zarr
from cells import cells, write_cells

from dgmm.data.data_source import DataSource
from dgmm.data.formats import detected_format, open_format
from dgmm.data.in_place_dataset import CARRIED, InPlaceDataset
from dgmm.data.sources import array_source, stored_arrays
from dgmm.data.sources.anndata import zarr_folder
from dgmm.data.sources.anndata.anndata_source import open_anndata
from dgmm.data.sources.hdf5 import hdf5_file
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockRange

N = 50
FORMS = ["h5ad", 2, 3]
CELLS = cells(N)
#: Where the installed AnnData has the names of rows: text of pandas 3 is written with a mask.
NAMES = "_index/values" if isinstance(CELLS.obs_names.dtype, pd.StringDtype) else "_index"


@pytest.fixture(scope="module", params=FORMS)
def path(request, tmp_path_factory):
    return write_cells(tmp_path_factory.mktemp("cells") / "cells.dat", CELLS, request.param)


def opened(path, **keys):
    """The source of a job's rows, as a worker has it."""
    source = open_anndata(DataSource(path, **keys))
    return pickle.loads(pickle.dumps(source))  # noqa: S301 - the test's own


def values_of(source):
    return np.concatenate([rows.values for part in source.parts() for rows in source.read(part)])


def carried_of(source):
    found = {name: [] for name in source.description.carried}
    for part in source.parts():
        for columns in source.read_carried(part):
            assert list(columns) == list(found)
            for name, column in columns.items():
                found[name] += column.to_pylist()
    return found


def expected(name):
    return [None if pd.isna(value) else value for value in CELLS.obs[name].tolist()]


def test_kinds_are_told_by_content(path):
    assert detected_format(DataSource(path)) == "anndata"


def test_an_array_comes_with_the_names_of_its_rows(path, monkeypatch):
    monkeypatch.setattr(stored_arrays, "BATCH_BYTES", 7 * 16)
    monkeypatch.setattr(array_source, "_PART_BYTES", 14 * 16)
    source = opened(path, array="obsm/X_pca")
    np.testing.assert_array_equal(values_of(source), CELLS.obsm["X_pca"])
    assert carried_of(source) == {"obs_names": list(CELLS.obs_names)}
    assert source.delivery == "table"
    assert source.description.dtype == np.float32
    assert source.description.feature_names == ("x0", "x1", "x2", "x3")
    assert source.locate(3) == f"{path}: obsm/X_pca, row 3"


def test_parts_of_a_file_are_cut_by_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_arrays, "BATCH_BYTES", 7 * 16)
    monkeypatch.setattr(array_source, "_PART_BYTES", 14 * 16)
    source = opened(write_cells(tmp_path / "x", CELLS), array="obsm/X_pca", described=("odd",))
    assert [part.n_rows for part in source.parts()] == [14, 14, 14, 8]
    assert carried_of(source)["odd"] == expected("odd")
    np.testing.assert_array_equal(values_of(source), CELLS.obsm["X_pca"])


@pytest.mark.parametrize("array", ["X", "layers/counts"])
def test_features_of_genes_bear_the_names_of_var(path, array):
    source = opened(path, array=array)
    assert source.description.feature_names == ("CD4", "CD8", "MS4A1")
    np.testing.assert_array_equal(values_of(source), CELLS.X)


def test_columns_of_obs_are_features(path):
    source = opened(path, columns=("area", "odd", "flag", "is_big", "count"))
    values = values_of(source)
    np.testing.assert_array_equal(values[:, 0], CELLS.obs["area"])
    odd = [np.nan if i % 2 == 0 else i for i in range(N)]
    np.testing.assert_array_equal(values[:, 1], odd)
    np.testing.assert_array_equal(
        values[:, 2], [np.nan if i == 5 else i % 2 == 0 for i in range(N)]
    )
    np.testing.assert_array_equal(values[:, 3:], CELLS.obs[["is_big", "count"]].to_numpy(float))
    assert source.description.feature_names == ("area", "odd", "flag", "is_big", "count")
    assert values.dtype == np.float64


def test_columns_that_results_carry_keep_their_values(path):
    names = ("kind", "batch", "odd", "flag", "area", "is_big")
    source = opened(path, array="X", ids=("batch", "obs_names"), described=names)
    found = carried_of(source)
    assert list(found) == ["batch", "obs_names", "kind", "odd", "flag", "area", "is_big"]
    assert {name: found[name] for name in names} == {name: expected(name) for name in names}


def test_a_column_of_obs_may_be_the_weights(path):
    source = open_format("auto", DataSource(path, array="obsm/X_pca", weight_column="w"))
    assert not isinstance(source, InPlaceDataset), "rows with weights are prepared"
    weights = [rows.weights for part in source.parts() for rows in source.read(part)]
    np.testing.assert_array_equal(np.concatenate(weights), CELLS.obs["w"])
    with pytest.raises(DataError, match=r"cannot be weights: kind \(categories\)"):
        opened(path, array="obsm/X_pca", weight_column="kind")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "Its arrays: obsm/X_pca, X, layers/counts; columns of numbers: area, count, is_big"),
        ({"array": "X", "columns": ("area",)}, "array 'X' and columns are both named"),
        (
            {"columns": ("area", "kind", "batch")},
            r"kind \(categories\), batch \((text|categories)\)\. Name them in `describe`",
        ),
        ({"columns": ("aera",)}, "Did you mean 'area'"),
        ({"array": "obsm/X_pc"}, "Did you mean 'obsm/X_pca'"),
        ({"array": "obs/area"}, "has no row for each of obs"),
        ({"array": "X", "described": ("nothing",)}, "obs has no column 'nothing'"),
    ],
)
def test_what_cannot_be_taken_is_refused_by_name(path, keys, words):
    with pytest.raises(DataError, match=words):
        opened(path, **keys)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix])
def test_sparse_matrices_are_refused_with_a_remedy(tmp_path, form, kind):
    data = anndata.AnnData(kind(np.eye(6)))
    path = write_cells(tmp_path / "x", data, form)
    with pytest.raises(DataError, match=r"sparse matrix \(cs[rc]_matrix\).*obsm/X_pca"):
        open_format("auto", DataSource(path, array="X"))


@pytest.mark.parametrize("form", [2, 3])
def test_an_array_in_zarr_stays_in_place(tmp_path, form):
    path = write_cells(tmp_path / "x", CELLS, form)
    dataset = open_format("auto", DataSource(path, array="obsm/X_pca"))
    assert isinstance(dataset, InPlaceDataset)
    alone = open_format("zarr", DataSource(path, array="obsm/X_pca"))
    own = dataset.fingerprint()
    assert len(own.pop(CARRIED)) == 64
    assert own == alone.fingerprint(), "former runs go on"
    (block,) = dataset.read_blocks(BlockRange(0, 1))
    np.testing.assert_array_equal(block.values, CELLS.obsm["X_pca"])
    assert carried_of(dataset.source) == {"obs_names": list(CELLS.obs_names)}
    dataset.check_unchanged()
    write_cells(tmp_path / "y", cells(N), form)
    shutil.rmtree(tmp_path / "x" / "obs")
    shutil.copytree(tmp_path / "y" / "obs", tmp_path / "x" / "obs", copy_function=shutil.copy)
    with pytest.raises(DataError, match="changed after the run had begun"):
        dataset.check_unchanged()


@contextmanager
def changed(path):
    """A file open for writing, which this process has open for reading no more."""
    hdf5_file._opened.cache_clear()
    with h5py.File(path, "a") as file:
        yield file


def test_a_chunk_of_a_column_is_decoded_once(tmp_path, monkeypatch):
    """Columns have larger chunks than the batches of rows × features, and parts lie within one."""
    path = write_cells(tmp_path / "x", CELLS, 3)
    monkeypatch.setattr(stored_arrays, "BATCH_BYTES", 7 * 12)
    monkeypatch.setattr(array_source, "_PART_BYTES", 14 * 12)
    monkeypatch.setattr(array_source.RowRanges, "of", lambda *_: array_source.RowRanges(N, 14, 7))
    source = opened(path, array="X", described=("area", "kind"))
    assert len(source.parts()) == 4
    zarr_folder._kept_chunk.cache_clear()  # opening has compared the names
    decoded = []
    read = zarr_folder.ZarrFolderArray.rows
    monkeypatch.setattr(
        zarr_folder.ZarrFolderArray,
        "rows",
        lambda self, *rows: decoded.append(self.where) or read(self, *rows),
    )
    found = carried_of(source)
    assert found["area"] == expected("area")
    assert found["kind"] == expected("kind")
    names = ["obs/_index/mask", "obs/_index/values"] if NAMES.endswith("values") else ["obs/_index"]
    columns = [*names, "obs/area", "obs/kind/codes"]
    assert sorted(set(decoded) - {f"{path}: obs/kind/categories"}) == [
        f"{path}: {name}" for name in columns
    ]
    assert all(decoded.count(f"{path}: {name}") == 1 for name in columns)
    assert source.read_bytes > 8 * N * 80, "kept chunks count"


def test_files_of_before_0_8_are_refused(tmp_path):
    path = write_cells(tmp_path / "x", CELLS)
    with changed(path) as file:
        file["obs/area"].attrs["categories"] = "area"
    with pytest.raises(DataError, match=r"obs/area holds categories apart from it.*before 0\.8"):
        opened(path, columns=("area",))
    with changed(path) as file:
        del file["obs"]
        file["obs"] = np.zeros(N, dtype=[("index", "S5"), ("area", "f8")])
    with pytest.raises(DataError, match=r"obs is one array of records.*before 0\.8"):
        opened(path, array="X")
    with changed(path) as file:
        del file["obs"]
    with pytest.raises(DataError, match="has no obs"):
        opened(path, array="X")


def test_rows_that_are_not_those_of_obs_are_refused(tmp_path):
    path = write_cells(tmp_path / "x", CELLS)
    with changed(path) as file:
        del file["X"]
        file["X"] = np.zeros((N - 1, 3))
    with pytest.raises(DataError, match="X has 49 rows, and obs 50"):
        opened(path, array="X")


def test_a_damaged_column_is_named(tmp_path):
    path = write_cells(tmp_path / "x", CELLS, 2)
    source = opened(path, array="X", described=("area",))
    (chunk,) = (tmp_path / "x" / "obs" / "area").glob("0")
    chunk.write_bytes(b"no blosc")
    with pytest.raises(DataError, match="obs/area, rows 0 to 49: damaged"):
        carried_of(source)


def test_without_pyarrow_there_is_no_table_and_a_note(tmp_path, monkeypatch):
    path = write_cells(tmp_path / "x", CELLS)
    monkeypatch.setattr("dgmm.data.sources.anndata.anndata_source.is_installed", lambda: False)
    source = opened(path, array="X")
    assert source.delivery == "none"
    assert source.description.notes == (
        "results by obs name are written as a table by pyarrow: pip install 'dgmm[table]'",
    )


@pytest.mark.parametrize("form", [2, 3])
@pytest.mark.parametrize(
    ("array", "keys"),
    [
        ("w", {"array": "X", "weight_column": "w"}),
        ("area", {"columns": ("area", "count")}),
        (NAMES, {"array": "X"}),
        ("kind/codes", {"array": "X", "described": ("kind",)}),
        ("kind/categories", {"array": "X", "described": ("kind",)}),
        ("odd/mask", {"columns": ("odd",)}),
    ],
)
def test_chunks_of_columns_that_are_not_there_are_refused_until_the_job_fills_them(
    tmp_path, form, array, keys
):
    path = write_cells(tmp_path / "x", CELLS, form)
    opened(path, **keys)
    (tmp_path / "x" / "obs" / array / ("0" if form == 2 else "c/0")).unlink()
    with pytest.raises(DataError, match=rf"obs/{array}: 1 of its chunks.*absent_chunks to fill"):
        opened(path, **keys)
    source = opened(path, **keys, absent_chunks="fill")
    warning = f"{path}: obs/{array}: 1 of its chunks are not stored and are read as fill values"
    assert source.description.warnings[0] == warning


def in_shards(path, array):
    """An array of 500 values written again, in inner chunks of 32 and shards of 128."""
    stored = zarr.open_array(f"{path}/{array}", mode="r")
    values, attributes = stored[:], stored.attrs.asdict()
    how = {"chunks": (32,), "shards": (128,), "fill_value": 0, "overwrite": True}
    whole = {"write_empty_chunks": True}
    found = zarr.create_array(
        f"{path}/{array}", shape=(500,), dtype=values.dtype, config=whole, **how
    )
    found[:] = values
    found.attrs.put(attributes)
    return found


@pytest.mark.parametrize(
    ("array", "keys"),
    [
        ("obs/area", {"columns": ("area", "count")}),
        ("obs/w", {"array": "X", "weight_column": "w"}),
        ("obs/count", {"array": "X", "ids": ("count",)}),
        ("obs/kind/codes", {"array": "X", "described": ("kind",)}),
    ],
)
def test_inner_chunks_of_columns_that_are_not_there_are_refused_until_the_job_fills_them(
    tmp_path, array, keys
):
    path = write_cells(tmp_path / "x", cells(500), 3)
    stored = in_shards(path, array)
    assert opened(path, **keys).description.warnings == ()
    stored.with_config({"write_empty_chunks": False})[160:192] = 0
    stored.with_config({"write_empty_chunks": False})[480:500] = 0
    with pytest.raises(DataError, match=rf"{array}: 2 of its chunks.*absent_chunks to fill"):
        opened(path, **keys)
    if "ids" not in keys:  # of which none may repeat
        (warning,) = opened(path, **keys, absent_chunks="fill").description.warnings
        assert (
            warning
            == f"{path}: {array}: 2 of its chunks are not stored and are read as fill values"
        )
    (tmp_path / "x" / array / "c" / "0").unlink()
    with pytest.raises(DataError, match=rf"{array}: 6 of its chunks"):
        opened(path, **keys)


def test_a_shard_too_short_for_its_index_is_damaged(tmp_path):
    path = write_cells(tmp_path / "x", cells(500), 3)
    in_shards(path, "obs/area")
    (tmp_path / "x/obs/area/c/2").write_bytes(b"no shard")
    with pytest.raises(DataError, match=r"area/c/2 is damaged: too short for the index of a shard"):
        opened(path, columns=("area", "count"))


@pytest.mark.parametrize("form", [2, 3])
def test_a_file_that_is_no_chunk_stands_for_none(tmp_path, form):
    path = write_cells(tmp_path / "x", CELLS, form)
    (tmp_path / "x/obs/area" / ("0" if form == 2 else "c/0")).rename(tmp_path / "x/obs/area/1.old")
    with pytest.raises(DataError, match=r"obs/area: 1 of its chunks"):
        opened(path, columns=("area", "count"))


@pytest.mark.parametrize("form", [2, 3])
def test_zeros_that_anndata_itself_leaves_out_are_named_as_such(tmp_path, form):
    data = cells()
    data.obs["is_doublet"] = False
    path = write_cells(tmp_path / "x", data, form)
    said = r"obs/is_doublet: .* AnnData write no chunk .*such as 0, False, .*absent_chunks to fill;"
    with pytest.raises(DataError, match=said):
        opened(path, array="X", described=("is_doublet",))
    filled = opened(path, array="X", described=("is_doublet",), absent_chunks="fill")
    assert not any(carried_of(filled)["is_doublet"])


@pytest.mark.parametrize("form", [2, 3])
def test_names_with_a_mask_that_is_not_stored_are_read_as_they_are(tmp_path, form):
    """As AnnData 0.13 writes them with pandas 3: no name is missing, and no chunk of the mask."""
    path = write_cells(tmp_path / "x", CELLS, form)
    how = {"zarr_format": form}
    for table, names in (("obs", CELLS.obs_names), ("var", CELLS.var_names)):
        shutil.rmtree(tmp_path / "x" / table / "_index")
        attributes = {"encoding-type": "nullable-string-array", "encoding-version": "0.1.0"}
        root = f"{path}/{table}/_index"
        zarr.create_group(root, attributes=attributes, **how)
        values = zarr.create_array(f"{root}/values", shape=len(names), dtype=str, **how)
        values[:] = np.array(names, dtype=np.dtypes.StringDType())
        zarr.create_array(f"{root}/mask", shape=len(names), dtype=bool, fill_value=False, **how)
    source = opened(path, array="X")
    assert carried_of(source) == {"obs_names": list(CELLS.obs_names)}
    assert source.description.feature_names == ("CD4", "CD8", "MS4A1")


@pytest.mark.parametrize(
    "keys",
    [
        {"columns": ("area", "count")},
        {"columns": ("count", "area")},
        {"array": "X", "described": ("area",)},
        {"array": "X", "weight_column": "area"},
    ],
)
def test_a_column_of_another_length_than_obs_is_refused(tmp_path, keys):
    path = write_cells(tmp_path / "x", CELLS)
    with changed(path) as file:
        del file["obs/area"]
        file["obs/area"] = np.ones(3)
    with pytest.raises(DataError, match=r"obs/area has shape \(3,\), and obs 50 rows"):
        opened(path, **keys)


def test_names_that_repeat_are_a_warning_and_named_ids_that_do_an_error(tmp_path):
    data = cells(N)
    data.obs_names = ["dup"] * N
    path = write_cells(tmp_path / "x", data, 3)
    (warning,) = opened(path, array="X").description.warnings
    assert warning.startswith(f"obs_names 'dup' is in {path}: X, row 0 and again in {path}: X, row")
    assert "obs_names_make_unique" in warning
    with pytest.raises(DataError, match=r"data\.id: batch 'b0' is in .*, row 0 and again .* row 4"):
        opened(path, array="X", ids=("batch",))
    assert opened(path, array="X", ids=("count",)).description.warnings == ()
