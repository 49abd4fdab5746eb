"""Jobs on AnnData: the same results of a file and of Zarr, beside the names of the cells."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import zarr
from cells import write_cells
from clusters import gaussian_clusters

from dgmm.cli.entry_point import run

N = 9000
NAMES = [f"AAC-{i * 7919 % N:04d}" for i in range(N)]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[object, str]:
    """Clusters in an embedding whose rows are in no order of their names."""
    rows, truth = gaussian_clusters(N, d=4)
    obs = pd.DataFrame({"kind": pd.Categorical.from_codes(truth, list("xyz"))}, index=NAMES)
    data = anndata.AnnData(obs=obs)
    data.obsm["X_pca"] = rows.astype(np.float32)
    folder = tmp_path_factory.mktemp("stores")
    return {form: write_cells(folder / str(form), data, form) for form in ("h5ad", 3)}


def fitted(folder: Path, path: str, **keys: Any) -> Path:
    assert ended(folder, path, **keys) == 0
    return folder / "run"


def ended(folder: Path, path: str, *options: str, **keys: Any) -> int:
    """The exit code of `dgmm run`."""
    tree = {
        "data": {"path": path, "array": "obsm/X_pca", **keys},
        "model": {"n_components": 3},
        "cluster": {"kind": "threads", "n_workers": 2},
        "output": {"path": str(folder / "run"), "report": False},
    }
    (folder / "job.yaml").write_text(json.dumps(tree), encoding="utf-8")
    return run(["run", str(folder / "job.yaml"), "--quiet", *options])


def table(directory: Path) -> pd.DataFrame:
    return pq.read_table(directory / "rows").to_pandas()


def labels(directory: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(str(directory / "outputs.zarr" / "labels"), mode="r")[:])


def test_a_lost_inner_chunk_of_a_column_ends_the_run(tmp_path, capsys):
    """As zarr leaves it out where it is full of zeros: a lost one looks the same."""
    names = list(map(str, range(500)))
    obs = pd.DataFrame({"a": np.arange(1.0, 501), "b": np.arange(500.0)[::-1] + 1}, index=names)
    path = write_cells(tmp_path / "x.zarr", anndata.AnnData(obs=obs), 3)
    how = {"chunks": (32,), "shards": (128,), "overwrite": True}
    for name in ("a", "b"):
        column = zarr.create_array(f"{path}/obs/{name}", shape=(500,), dtype="f8", **how)
        column[:] = obs[name].to_numpy()
        column.attrs.put({"encoding-type": "array", "encoding-version": "0.2.0"})
    zarr.open_array(f"{path}/obs/a", mode="r+")[128:160] = 0.0
    assert ended(tmp_path, path, array=None, columns=["a", "b"]) == 65
    assert "obs/a: 1 of its chunks are not stored" in capsys.readouterr().err
    assert ended(tmp_path, path, array=None, columns=["a", "b"], absent_chunks="fill") == 0


def test_a_file_and_a_store_give_the_same_bits(stores, tmp_path):
    found = {}
    for form, path in stores.items():
        (tmp_path / str(form)).mkdir()
        found[form] = fitted(tmp_path / str(form), path, describe=["kind"])
    assert (found["h5ad"] / "prepared.zarr").is_dir()
    assert not (found[3] / "prepared.zarr").exists(), "a plain array is read in place"
    model = [(each / "model" / "arrays.npz").read_bytes() for each in found.values()]
    assert model[0] == model[1]
    np.testing.assert_array_equal(labels(found["h5ad"]), labels(found[3]))
    for directory in found.values():
        rows = table(directory)
        assert rows["obs_names"].tolist() == NAMES
        np.testing.assert_array_equal(rows["label"], labels(directory))
        crossed = pd.crosstab(rows["kind"], rows["label"])
        assert (crossed.max(axis=1) / crossed.sum(axis=1)).min() > 0.9, "kinds are the clusters"


def test_a_plain_array_is_prepared_where_the_job_says_so(stores, tmp_path):
    directory = fitted(tmp_path, stores[3], prepare="always")
    assert (directory / "prepared.zarr").is_dir()
    assert table(directory)["obs_names"].tolist() == NAMES


def renamed(path: Path) -> None:
    """Put other names of the rows into a store, with its arrays as they are."""
    index = path / "obs" / "_index"
    values = index / "values"  # with pandas 3 it is a group, with a mask beside them
    names = zarr.open_array(str(values if values.exists() else index), mode="r+")
    names[:] = np.array(NAMES[::-1], dtype=object)


@pytest.fixture
def store(stores, tmp_path):
    """A store that the test may change."""
    return Path(shutil.copytree(stores[3], tmp_path / "own"))


@pytest.mark.parametrize("options", [(), ("--rebuild-outputs",)])
def test_results_never_come_beside_names_that_were_changed_behind_the_run(
    store, tmp_path, options, capsys
):
    directory = fitted(tmp_path, str(store))
    before = table(directory)
    assert ended(tmp_path, str(store)) == 0
    if options:
        shutil.rmtree(directory / "rows")
    renamed(store)
    capsys.readouterr()
    assert ended(tmp_path, str(store), *options) == 73
    assert "on other data" in capsys.readouterr().err
    if options:
        assert not (directory / "rows").exists()
    else:
        pd.testing.assert_frame_equal(table(directory), before)


def test_a_column_that_no_result_carries_may_change(store, tmp_path):
    fitted(tmp_path, str(store))
    zarr.open_array(str(store / "obs" / "kind" / "codes"), mode="r+")[0] = 1
    assert ended(tmp_path, str(store)) == 0


def test_a_run_that_was_begun_before_carried_columns_were_recorded_goes_on(store, tmp_path):
    directory = fitted(tmp_path, str(store))
    record = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    del record["data"]["fingerprint"]["carried_columns_sha256"]
    (directory / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert ended(tmp_path, str(store)) == 0
    shutil.rmtree(directory / "rows")
    assert ended(tmp_path, str(store), "--rebuild-outputs") == 0
    assert table(directory)["obs_names"].tolist() == NAMES
