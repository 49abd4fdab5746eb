"""Kinds are told by content: every file below bears a name that says something else."""

from __future__ import annotations

import bz2
import gzip
import sys
import zipfile

import anndata
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr
from cells import write_cells
from read_source import opened, rows_of

from dgmm.data.data_source import DataSource
from dgmm.data.sources.content_kinds import content_of, kind_at

TEXT = b"a,b\n1,2\n"
ROWS = np.arange(12.0).reshape(6, 2)


def write_netcdf(path, form):
    xr.Dataset({"t": (("x", "y"), ROWS)}).to_netcdf(path, format=form)


def write_anndata(path):
    # More attributes than stand beside the group that they are of.
    write_cells(path, anndata.AnnData(obsm={"X_pca": ROWS}, uns={f"k{i}": i for i in range(50)}))


def write_hdf5(path, before=0):
    with h5py.File(path, "w", userblock_size=before) as file:
        file["x"] = ROWS


def write_npz(path):
    with path.open("wb") as file:
        np.savez(file, a=ROWS)


def write_npy(path):
    with path.open("wb") as file:
        np.save(file, ROWS)


WRITE = {
    "parquet": lambda path: pq.write_table(pa.table({"a": [1.0]}), path),
    "netcdf3": lambda path: write_netcdf(path, "NETCDF3_CLASSIC"),
    "netcdf4": lambda path: write_netcdf(path, "NETCDF4"),
    "netcdf5": lambda path: path.write_bytes(b"CDF\x05" + bytes(100)),
    "anndata": write_anndata,
    "hdf5": write_hdf5,
    "hdf5 after a user block": lambda path: write_hdf5(path, 1024),
    "npy": write_npy,
    "npz": write_npz,
    "csv": lambda path: path.write_bytes(TEXT),
    "utf-16": lambda path: path.write_bytes("a;b\n1;2\n".encode("utf-16")),
    "gzip": lambda path: path.write_bytes(gzip.compress(TEXT)),
    "bzip2": lambda path: path.write_bytes(bz2.compress(TEXT)),
    "zstd": lambda path: path.write_bytes(pa.compress(TEXT, "zstd", asbytes=True)),
}
KINDS = {
    **{kind: kind for kind in ("parquet", "anndata", "hdf5", "npy", "npz", "csv")},
    **dict.fromkeys(("netcdf3", "netcdf4", "netcdf5"), "netcdf"),
    "hdf5 after a user block": "hdf5",
    **dict.fromkeys(("utf-16", "gzip", "bzip2", "zstd"), "csv"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_told_by_its_first_bytes(tmp_path, kind):
    path = tmp_path / "rows.xlsx"
    WRITE[kind](path)
    assert content_of(str(path)).kind == KINDS[kind]


@pytest.mark.parametrize("kind", ["anndata", "netcdf4", "hdf5"])
def test_without_h5py_hdf5_is_told_by_its_bytes(tmp_path, monkeypatch, kind):
    path = tmp_path / "rows"
    WRITE[kind](path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert content_of(str(path)).kind == KINDS[kind]


@pytest.mark.parametrize("form", [2, 3])
def test_folders_of_zarr_are_told_by_their_metadata(tmp_path, form):
    zarr.save_array(str(tmp_path / "array.csv"), ROWS, zarr_format=form)
    assert content_of(str(tmp_path / "array.csv")).kind == "zarr"
    write_cells(tmp_path / "cells.parquet", anndata.AnnData(ROWS), form)
    assert content_of(str(tmp_path / "cells.parquet")).kind == "anndata"
    assert content_of(str(tmp_path / "cells.parquet" / "X")).kind == "zarr"


def test_a_folder_of_files_is_what_its_first_file_is(tmp_path):
    (tmp_path / "month=1").mkdir()
    WRITE["parquet"](tmp_path / "month=1" / "part-0")
    for name in ("_SUCCESS", ".part-0.crc", "_metadata.txt"):
        (tmp_path / name).write_bytes(TEXT)
    assert content_of(str(tmp_path)).kind == "parquet"
    (tmp_path / "a").write_bytes(TEXT)
    assert content_of(str(tmp_path)).kind == "csv"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"SIMPLE  =                    T", "FITS"),
        (b"root\0\0", "ROOT"),
        (b"FCS3.1    ", "FCS"),
        (b"\x80\x05\x95", "pickle"),
    ],
)
def test_other_formats_are_named(tmp_path, content, words):
    (tmp_path / "x").write_bytes(content + bytes(50))
    found = content_of(str(tmp_path / "x"))
    assert found.kind == "other"
    assert words in found.words


def test_zip_archives_are_told_by_their_members(tmp_path):
    for member, words in (("xl/workbook.xml", "Excel"), ("a/zarr.json", "Zarr"), ("a.csv", "zip")):
        with zipfile.ZipFile(tmp_path / "x", "w") as archive:
            archive.writestr(member, "")
        assert words in content_of(str(tmp_path / "x")).words
    (tmp_path / "x").write_bytes(b"PK\x03\x04 and no more")
    assert "damaged" in content_of(str(tmp_path / "x")).words


def test_what_is_neither_text_nor_known_is_unknown(tmp_path):
    for content in (b"", b"\x00\x01\x02\x03"):
        (tmp_path / "x").write_bytes(content)
        assert content_of(str(tmp_path / "x")).kind == "unknown"


def test_the_first_path_of_a_job_decides(tmp_path):
    write_npy(tmp_path / "b.x")
    (tmp_path / "c.x").write_bytes(TEXT)
    assert kind_at(DataSource(str(tmp_path / "*.x"))) == "npy"
    paths = (str(tmp_path / "c.x"), str(tmp_path / "b.x"))
    assert kind_at(DataSource(paths[0], paths=paths)) == "csv"
    assert kind_at(DataSource(str(tmp_path / "absent"))) == "unknown"
    assert kind_at(DataSource(str(tmp_path / "*.absent"))) == "unknown"


def test_kinds_are_told_of_the_very_files_that_are_read(tmp_path):
    (tmp_path / "g").mkdir()
    (tmp_path / "g/_SUCCESS").touch()
    (tmp_path / "g[1]").mkdir()
    for name in ("g", "g[1]"):
        WRITE["parquet"](tmp_path / name / "x.parquet")
    for path in ("g/*", "g/**/*.parquet", "g/**", "g[1]/x.parquet", "g[1]/*", "g[[]1]/*"):
        given = str(tmp_path / path)
        assert kind_at(DataSource(given)) == "parquet", path
        assert rows_of(opened(given)).tolist() == [[1.0]]
