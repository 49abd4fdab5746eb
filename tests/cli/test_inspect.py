"""`dgmm inspect PATH > job.yaml && dgmm run job.yaml`, on each kind of input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr
from cells import write_cells
from clusters import gaussian_clusters

from dgmm.cli.entry_point import run
from dgmm.config import load_job

N = 900
ROWS, TRUTH = gaussian_clusters(N, d=2)
GRID = (30, 30)


def table() -> pa.Table:
    names = [f"n{i:04d}" for i in range(N)]
    kinds = [f"kind {k}" for k in TRUTH]
    return pa.table({"name": names, "kind": kinds, "a": ROWS[:, 0], "b": ROWS[:, 1]})


def netcdf(path: Path) -> None:
    fields = {name: (("y", "x"), ROWS[:, i].reshape(GRID)) for i, name in enumerate("ab")}
    fields["a"][1][0, 0] = np.nan
    axes = {dim: np.arange(30.0) for dim in ("y", "x")}
    xr.Dataset(fields, coords=axes).to_netcdf(path)


def labelled_zarr(path: Path) -> None:
    fields = {name: (("y", "x"), ROWS[:, i].reshape(GRID)) for i, name in enumerate("ab")}
    xr.Dataset(fields).to_zarr(path, zarr_format=2, consolidated=False)


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["run/rows"], file["run/time"] = ROWS, np.arange(N)


def group(path: Path) -> None:
    zarr.open_group(str(path), mode="w")
    zarr.save_array(str(path / "rows"), ROWS)


def npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, rows=ROWS, other=np.arange(3))


def npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, ROWS)


def h5ad(path: Path) -> None:
    data = anndata.AnnData(obs=table().to_pandas().set_index("name")[["kind"]])
    data.obsm["X_pca"] = ROWS
    write_cells(path, data)


KINDS: dict[str, Callable[[Path], object]] = {
    "netcdf": netcdf,
    "labelled_zarr": labelled_zarr,
    "zarr": lambda path: zarr.save_array(str(path), ROWS),
    "group": group,
    "h5ad": h5ad,
    "hdf5": hdf5,
    "npy": npy,
    "npz": npz,
    "parquet": lambda path: pq.write_table(table(), path),
    "csv": lambda path: pa.csv.write_csv(table(), path),
}
#: What a run leaves beside its arrays.
DELIVERED = {"netcdf": "maps.zarr", "labelled_zarr": "maps.zarr"} | dict.fromkeys(
    ("h5ad", "parquet", "csv"), "rows"
)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_printed_is_a_job_that_runs(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    KINDS[kind](tmp_path / "data")
    assert run(["inspect", "data"]) == 0
    (tmp_path / "job.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    job = load_job("job.yaml")
    assert (job.data.path, job.output.path) == ("data", "runs/data")
    how = ["--set", "cluster.kind=threads", "--set", "output.report=false", "--quiet"]
    assert run(["run", "job.yaml", "--set", "model.n_components=3", *how]) == 0
    record = json.loads((tmp_path / "runs" / "data" / "run.json").read_text(encoding="utf-8"))
    assert (record["data"]["n_samples"], record["data"]["n_features"]) == (N, 2)
    assert (tmp_path / "runs" / "data" / DELIVERED.get(kind, "outputs.zarr")).is_dir()


def test_nothing_that_can_be_fitted_ends_with_65(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.arange(4.0))
    assert run(["inspect", str(tmp_path / "x.npy")]) == 65
    printed = capsys.readouterr()
    assert "No job: " in printed.out
    assert "found shape (4,)" in printed.err
    assert load_fails(printed.out, tmp_path)


def load_fails(text: str, folder: Path) -> bool:
    """Whether the output, kept as a job, is refused where it is run all the same."""
    (folder / "job.yaml").write_text(text, encoding="utf-8")
    return run(["run", str(folder / "job.yaml")]) == 78
