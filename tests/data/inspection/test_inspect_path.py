"""What `dgmm inspect` prints: a description in comments, and the job that the data suggest."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime

import anndata
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr
from cells import cells, write_cells
from ruamel.yaml import YAML

from dgmm.data.inspection.inspect_path import inspect_path
from dgmm.errors import DataError, DataNotFoundError

N = 600
ROWS = np.random.default_rng(0).normal(size=(N, 3))
FIELD = np.random.default_rng(1).normal(size=(4, 12, 15))
FIELD[:, :3, :3] = np.nan


def job_of(text):
    """The job in what was printed, and the comments above it, without their marks."""
    comments = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("#")]
    return YAML(typ="safe", pure=True).load(io.StringIO(text)), "\n".join(comments)


def inspected(path):
    found = inspect_path(str(path))
    assert found.why_not == ""
    job, comments = job_of(found.text)
    assert job["data"].pop("path") == str(path)
    return job, comments


def ocean(**attributes):
    """A field over depth, lat and lon with what lies beside it in such files."""
    depth = ("k", [5.0, 10.0, 20.0, 40.0], {"units": "m", **attributes})
    data = xr.Dataset(
        {
            "temp": (("k", "y", "x"), FIELD, {"units": "degC", "coordinates": "lat2"}),
            "salt": (("k", "y", "x"), FIELD + 1, {"ancillary_variables": "salt_good"}),
            "salt_good": (("k", "y", "x"), FIELD > 0),
            "temp_qc": (("k", "y", "x"), FIELD * 0),
            "basin": (("y", "x"), np.zeros((12, 15), np.int8), {"flag_values": [0, 1]}),
            "lat2": (("y", "x"), FIELD[0]),
        },
        coords={"k": depth, "y": np.arange(12.0), "x": np.arange(15.0)},
    )
    data["temp"].encoding |= {"dtype": "i2", "scale_factor": 1e-3, "_FillValue": -(2**15)}
    return data


@pytest.mark.parametrize("kind", ["nc", "v2", "v3"])
@pytest.mark.filterwarnings("ignore:.*[Cc]onsolidated")
def test_gridded_variables_become_rows_over_places(tmp_path, kind):
    path = tmp_path / "ocean.data"
    if kind == "nc":
        ocean(positive="down").to_netcdf(path)
    else:
        ocean(axis="Z").to_zarr(path, zarr_format=int(kind[1]), consolidated=False)
    job, comments = inspected(path)
    assert sorted(job["data"].pop("variables")) == ["salt", "temp"]
    assert job["data"] == {"sample_dims": ["y", "x"], "feature_dims": ["k"], "missing": "drop"}
    assert "scale_factor = 0.001, _FillValue = -32768" in comments
    assert "dimensions: " in comments
    assert "180 rows × 8 features" in comments
    assert job["output"] == {"path": "runs/ocean"}


@pytest.mark.parametrize("kind", ["nc", "zarr"])
def test_files_of_a_pattern_are_joined_along_the_dimension_in_which_they_differ(tmp_path, kind):
    for i in (1, 2, 10):
        at = {"time": [2.0 * i, 2.0 * i + 1], "lat": np.arange(15.0)}
        part = xr.Dataset({"a": (("time", "lat"), FIELD[0, :2] + 1), "b": ("time", [1.0, 2.0])}, at)
        if kind == "nc":
            part.to_netcdf(tmp_path / f"{i}.nc")
        else:
            part.to_zarr(tmp_path / f"{i}.zarr", zarr_format=2, consolidated=False)
    job, comments = inspected(tmp_path / f"*.{kind}")
    section = {"sample_dims": ["time", "lat"], "concat_dim": "time", "missing": "drop"}
    assert job["data"] == {"variables": ["a"], **section}
    assert "dimensions: time 6, lat 15" in comments
    assert "90 rows × 1 feature" in comments


def test_a_dimension_is_vertical_by_its_name_where_attributes_say_nothing(tmp_path):
    path = tmp_path / "x.nc"
    ocean().rename(k="depth").to_netcdf(path)
    assert inspected(path)[0]["data"]["feature_dims"] == ["depth"]
    other = tmp_path / "other.nc"
    ocean().to_netcdf(other)
    job, _ = inspected(other)
    assert job["data"]["sample_dims"] == ["k", "y", "x"]
    assert "feature_dims" not in job["data"]


def test_a_column_is_taken_for_what_its_values_look_like(tmp_path):
    table = pa.table(
        {
            "key": [f"k{i:04d}" for i in range(N)],
            "number": np.arange(N) * 2,
            "size": ROWS[:, 0],
            "age": pa.array([None if i == 7 else i % 90 for i in range(N)]),
            "is_new": [i % 2 for i in range(N)],
            "colour": ["red", "green", "blue"] * (N // 3),
            "remark": [f"remark {i // 2}" for i in range(N)],
            "vector": pa.array(ROWS.tolist(), pa.list_(pa.float32(), 3)),
            "when": [datetime(2026, 1, 1, tzinfo=UTC)] * N,
            "same": [1.5] * N,
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    job, comments = inspected(tmp_path / "t.parquet")
    assert job["data"] == {
        "columns": ["size", "age", "vector"],
        "id": ["key"],
        "describe": ["is_new", "colour"],
        "missing": "drop",
    }
    assert "1 file, 600 rows" in comments
    assert "two values, on which a density means nothing" in comments
    assert "vectors: 3 features" in comments
    assert re.search("age +int64 +1 missing", comments)
    assert job["model"] == {"n_components": 8, "covariance_type": "tied"}


def test_rows_of_which_none_is_complete_are_fitted_by_what_they_have(tmp_path):
    rows = ROWS.copy()
    rows[np.arange(N), np.arange(N) % 3] = np.nan
    np.save(tmp_path / "x.npy", rows)
    job, comments = inspected(tmp_path / "x.npy")
    assert job["data"] == {"missing": "marginalise"}
    assert "0 are complete and 0 have no value; missing: x0 200, x1 200, x2 200" in comments


def test_a_text_file_is_read_as_it_is_written(tmp_path):
    lines = ["name;height;weight;kind"]
    lines += [f"n{i};{i % 7},{i};{' ' if i == 5 else i * 3 % 40};{'ab'[i % 2]}" for i in range(N)]
    (tmp_path / "t.txt").write_text("\n".join(lines))
    job, comments = inspected(tmp_path / "t.txt")
    assert job["data"] == {
        "csv": {"delimiter": ";", "decimal": ",", "null_values": [" "]},
        "columns": ["height", "weight"],
        "id": ["name"],
        "describe": ["kind"],
        "missing": "drop",
    }
    assert "600 rows × 2 features" in comments


@pytest.mark.parametrize("form", ["h5ad", 3])
def test_an_embedding_of_cells_comes_first(tmp_path, form):
    path = write_cells(tmp_path / "c", cells(), form)
    job, comments = inspected(path)
    assert job["data"] == {"array": "obsm/X_pca", "describe": ["kind", "batch"], "missing": "error"}
    assert "(50, 4)  float32" in comments
    assert "flag    nullable-boolean" in comments
    path = write_cells(tmp_path / "d", anndata.AnnData(obs=cells().obs), form)
    assert inspected(path)[0]["data"]["columns"] == ["area", "count", "w"]


@pytest.mark.parametrize("kind", ["hdf5", "zarr", "npz"])
def test_plausible_arrays_come_first(tmp_path, kind):
    path = tmp_path / "x.data"
    arrays = {
        "a_map": ROWS.T.copy(),
        "counts": np.arange(N * 4).reshape(N, 4),
        "mask": np.zeros((N, 3), np.float32),
        "time": np.arange(float(N)),
        "u_scores": ROWS,
    }
    if kind == "hdf5":
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file[f"run/{name}"] = values
    elif kind == "zarr":
        for name, values in arrays.items():
            zarr.save_array(str(path / "run" / name), values, zarr_format=3)
        for group in (path, path / "run"):
            zarr.open_group(str(group), mode="a")
    else:
        with path.open("wb") as file:
            np.savez(file, **arrays)
    job, comments = inspected(path)
    first = "u_scores" if kind == "npz" else "run/u_scores"
    assert job["data"] == {"array": first, "missing": "error"}
    listed = [line.split()[0].removeprefix("run/") for line in comments.splitlines()[1:6]]
    assert listed == ["u_scores", "counts", "a_map", "mask", "time"]


def test_single_arrays_need_the_path_alone(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    zarr.save_array(str(tmp_path / "x.zarr"), ROWS)
    for name in ("x.npy", "x.zarr"):
        job, comments = inspected(tmp_path / name)
        assert job["data"] == {"missing": "error"}
        assert job["output"] == {"path": "runs/x"}
        assert "(600, 3)  float64" in comments


def test_names_from_a_file_cannot_leave_their_comment(tmp_path):
    names = ["plain", "two\nlines: 1", "\x1b[31mred", "a: b # c", "$HOME", "yes", 'it\'s "so"']
    table = pa.table({name: ROWS[:, 0] + i for i, name in enumerate(names)})
    pq.write_table(table, tmp_path / "t.parquet")
    found = inspect_path(str(tmp_path / "t.parquet"))
    assert "\x1b" not in found.text
    job, _ = job_of(found.text)
    assert set(job) == {"data", "model", "output"}
    # `$` is written as job files have it, see config/environment.py.
    assert job["data"]["columns"] == [name.replace("$", "${$}") for name in names]


def test_chunks_that_were_never_stored_are_said(tmp_path):
    path = tmp_path / "x.zarr"
    rows = zarr.create_array(
        str(path), shape=(N, 3), chunks=(100, 3), dtype="f8", fill_value=np.nan
    )
    rows[:500] = ROWS[:500]
    job, _ = inspected(path)
    assert job["data"] == {"absent_chunks": "fill", "missing": "drop"}


def test_what_makes_no_job_is_described_and_said(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["time"] = np.arange(9.0)
    found = inspect_path(str(tmp_path / "x.h5"))
    assert found.why_not == "nothing in it looks like rows × features of numbers"
    assert job_of(found.text)[0] is None
    assert "time  (9,)  float64" in found.text
    np.save(tmp_path / "x.npy", np.full((4, 2), 2**60))
    assert "integer beyond 2^53" in inspect_path(str(tmp_path / "x.npy")).why_not


def test_what_is_of_no_kind_that_is_read_is_named(tmp_path):
    (tmp_path / "x").write_bytes(b"SIMPLE  =                    T" + bytes(50))
    with pytest.raises(DataError, match=r"is a FITS file, which is not read\. docs/data\.md"):
        inspect_path(str(tmp_path / "x"))
    with pytest.raises(DataNotFoundError, match="does not exist"):
        inspect_path(str(tmp_path / "absent"))
    with pytest.raises(DataNotFoundError, match="matches nothing"):
        inspect_path(str(tmp_path / "*.absent"))


@pytest.mark.parametrize("form", [2, 3])
def test_the_text_index_of_a_table_in_obsm_is_listed_as_text(tmp_path, form):
    data = cells()
    data.obsm["table"] = pd.DataFrame({"p": np.arange(50.0)}, index=data.obs_names)
    job, comments = inspected(write_cells(tmp_path / "d", data, form))
    assert job["data"]["array"] == "obsm/X_pca"
    assert re.search(r"obsm/table/_index(/values)? +\(50,\) +text", comments)


def test_lists_and_records_are_named_and_not_counted(tmp_path):
    pq.write_table(
        pa.table({"a": FIELD.ravel(), "l": [[1.0]] * FIELD.size, "s": [{"x": 1}] * FIELD.size}),
        tmp_path / "t.parquet",
    )
    job, comments = inspected(tmp_path / "t.parquet")
    assert job["data"]["columns"] == ["a"]
    assert comments.count("lists or records, and no vectors of a fixed size") == 2
