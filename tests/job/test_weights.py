"""`data.weights`: read beside the rows, checked first, recorded, and part of what a job is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from clusters import gaussian_clusters, job

from dgmm import GaussianMixture
from dgmm.cli.entry_point import run
from dgmm.errors import DataError, OutputExistsError
from dgmm.events import SilentListener
from dgmm.job import RunResult, predict_job, run_job
from dgmm.model.model_files import load_model

N = 9000
QUIET = SilentListener()


@pytest.fixture
def rows():
    return gaussian_clusters(N)[0]


@pytest.fixture
def weights():
    found = np.random.default_rng(4).lognormal(sigma=0.7, size=N)
    found[::9] = 0.0
    return found


@pytest.fixture
def data(tmp_path, rows, weights):
    return group(tmp_path / "data.zarr", rows, weights)


def group(path: Path, rows: Any, weights: Any, row_chunk: int = 1000, chunk: int = 700) -> Path:
    written = zarr.open_group(path, mode="w")
    written.create_array("rows", data=rows, chunks=(row_chunk, rows.shape[1]))
    written.create_array("w", data=weights, chunks=(chunk,))
    return path


def ended(data: Path, folder: Path, /, *, kind: str = "importance", **sections: Any) -> RunResult:
    own = {"path": str(data), "array": "rows", "weights": {"array": "w", "kind": kind}}
    own |= sections.pop("data", {})
    settings = {"n_components": 3, "max_iter": 30} | sections.pop("model", {})
    return run_job(job(data, folder, data=own, model=settings, **sections), QUIET)


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


def outputs(folder: Path) -> dict[str, Any]:
    found = zarr.open_group(folder / "outputs.zarr", mode="r")
    return {name: array[:] for name, array in found.arrays()}


def bits(folder: Path) -> list[bytes]:
    own = outputs(folder)
    arrays = (folder / "model" / "arrays.npz").read_bytes()
    return [arrays, *(own[name].tobytes() for name in sorted(own))]


def test_the_weights_are_recorded_and_the_criteria_called_approximate(tmp_path, data, weights):
    ended(data, tmp_path / "run", output={"report": True})
    found = record(tmp_path / "run")
    own = found["weights"]
    n_eff = weights.sum() ** 2 / (weights**2).sum()
    assert own["sum"] == pytest.approx(weights.sum(), rel=1e-12)
    assert own["n_eff"] == pytest.approx(n_eff, rel=1e-12)
    assert (own["kind"], own["max"], own["max_row"]) == (
        "importance",
        weights.max(),
        weights.argmax(),
    )
    assert (own["zeros"], own["positive_rows"]) == (1000, 8000)
    assert own["criteria_are_approximate"] is True
    free, mean = found["n_parameters"], found["mean_log_likelihood"]
    assert found["criteria"]["bic"] == pytest.approx(free * np.log(n_eff) - 2 * n_eff * mean)
    assert json.loads((tmp_path / "run/model/model.json").read_text())["row_weights"] == own
    report = (tmp_path / "run/report.html").read_text()
    assert "They are approximate: the rows have importance weights" in report
    assert "1,000 rows of weight 0 are labelled but not fitted" in report


def test_weights_lie_beside_an_array_that_the_path_names(tmp_path, data):
    few = {"max_iter": 2}
    ended(data, tmp_path / "group", model=few)
    ended(data / "rows", tmp_path / "array", model=few, data={"array": None})
    assert bits(tmp_path / "array") == bits(tmp_path / "group")


def test_job_and_estimator_agree(tmp_path, data, rows, weights):
    ended(data, tmp_path / "run", model={"max_iter": 30, "tol": 1e-4})
    model = load_model(tmp_path / "run/model")
    mixture = GaussianMixture(
        3, tol=1e-4, max_iter=30, reg_covar=0.0, reg_covar_relative=1e-6, random_state=0
    ).fit(rows, sample_weight=weights)
    np.testing.assert_array_equal(mixture.means_, model.means)
    np.testing.assert_array_equal(mixture.weights_, model.weights)


def test_rows_of_weight_zero_are_labelled_whatever_lies_beside_them(tmp_path, rows, weights):
    rows[9] = np.nan  # of weight 0
    run_directory = ended(group(tmp_path / "d.zarr", rows, weights), tmp_path / "run").directory
    labels = outputs(run_directory)["labels"]
    assert labels[9] == -1
    assert (np.delete(labels, 9) >= 0).all()
    assert record(run_directory)["rows"]["total"] == N


@pytest.mark.filterwarnings("ignore:1 of 9,000 rows have no value at all:UserWarning")
@pytest.mark.parametrize("missing", ["drop", "marginalise", "error"])
def test_a_heavy_row_that_is_left_out_counts_in_no_criterion(tmp_path, rows, missing):
    weights = np.random.default_rng(2).uniform(0.9, 1.1, N)
    weights[7], rows[7] = 2000.0, np.nan
    rows[700, 0] = 0.0 if missing == "error" else np.nan
    path = group(tmp_path / "d.zarr", rows, weights)
    directory = ended(path, tmp_path / "run", data={"missing": missing}).directory
    found = record(directory)
    mixture = GaussianMixture(3, missing=missing)
    mixture.model_ = load_model(directory / "model")
    for criterion in ("bic", "aic"):
        expected = getattr(mixture, criterion)(rows, sample_weight=weights)
        assert found["criteria"][criterion] == pytest.approx(expected, rel=1e-10)
    n_left_out = 2 if missing == "drop" else 1
    counted = np.delete(weights, [7, 700][:n_left_out])
    n_eff = counted.sum() ** 2 / (counted**2).sum()
    assert found["weights"]["n_eff"] == pytest.approx(n_eff, rel=1e-12)
    assert not [said for said in found["warnings"] if "weight" in str(said)]


@pytest.mark.parametrize("chunk", [64, 9000])
def test_bits_follow_neither_the_chunks_of_the_weights_nor_the_workers(
    tmp_path, rows, weights, chunk
):
    cluster = {"kind": "threads", "n_workers": 3}
    one = ended(group(tmp_path / "a.zarr", rows, weights), tmp_path / "one")
    other = group(tmp_path / "b.zarr", rows, weights, row_chunk=2500, chunk=chunk)
    found = ended(other, tmp_path / "other", cluster=cluster)
    assert bits(found.directory) == bits(one.directory)


def test_workers_of_a_cluster_leave_the_bits_of_threads(
    tmp_path, weights, dask_executor, monkeypatch
):
    n = 200_000  # three blocks of rows
    rows, weights = gaussian_clusters(n)[0], np.resize(weights, n)
    rows[10] = np.nan  # left out, though it has a weight
    data = group(tmp_path / "a.zarr", rows, weights, 50_000, 70_000)
    own = {"output": {"anomaly_quantile": 0.05}, "model": {"max_iter": 3}}
    own["initialisation"] = {"sample_rows": 2000, "n_sample_starts": 2}
    one = ended(data, tmp_path / "one", **own)
    monkeypatch.setattr("dgmm.job.stages.open_executor", lambda _: nullcontext(dask_executor))
    other = ended(data, tmp_path / "other", **own)
    assert bits(other.directory) == bits(one.directory)
    found, expected = record(other.directory), record(one.directory)
    assert found["weights"] == expected["weights"]
    assert found["criteria"] == expected["criteria"]


def test_a_power_of_two_of_all_weights_moves_no_bit_of_a_job(tmp_path, rows, weights):
    one = ended(group(tmp_path / "a.zarr", rows, weights), tmp_path / "one")
    other = ended(group(tmp_path / "b.zarr", rows, weights * 2.0**-20), tmp_path / "other")
    assert bits(one.directory) == bits(other.directory)


def test_the_anomaly_quantile_is_a_share_of_weight(tmp_path, data, weights):
    output = {"anomaly_quantile": 0.05}
    ended(data, tmp_path / "run", output=output)
    found = outputs(tmp_path / "run")
    below = weights[found["log_density"] < load_model(tmp_path / "run/model").anomaly_threshold]
    assert below.sum() <= 0.05 * weights.sum() < below.sum() + weights.max()
    assert record(tmp_path / "run")["anomaly"]["n_anomalies"] == found["anomaly"].sum()


def test_outputs_are_rebuilt_with_the_weights(tmp_path, data):
    output = {"anomaly_quantile": 0.05}
    own = {"path": str(data), "array": "rows", "weights": {"array": "w", "kind": "importance"}}
    asked = job(data, tmp_path / "run", data=own, model={"n_components": 3}, output=output)
    run_job(asked, QUIET)
    before = bits(tmp_path / "run")
    (tmp_path / "run/outputs.zarr").rename(tmp_path / "gone")
    run_job(asked, QUIET, rebuild=True)
    assert bits(tmp_path / "run") == before


def test_a_run_killed_in_the_read_of_the_weights_ends_with_the_same_bits(tmp_path, data):
    tree = {
        "data": {"path": str(data), "array": "rows"},
        "model": {"n_components": 3, "max_iter": 4},
        "cluster": {"kind": "threads", "n_workers": 1},
        "output": {"path": str(tmp_path / "run"), "report": False},
        "on_not_converged": "ignore",
    }
    tree["data"] |= {"weights": {"array": "w", "kind": "importance"}}
    asked = tmp_path / "job.yaml"
    asked.write_text(json.dumps(tree))
    script = Path(__file__).parents[1] / "killed_run.py"
    command = [sys.executable, str(script), "inside the weights", "1", str(asked)]
    assert subprocess.run(command, check=False, timeout=120).returncode == -signal.SIGKILL
    assert not (tmp_path / "run/model").exists()
    assert run(["run", str(asked), "--quiet"]) == 0
    before = bits(tmp_path / "run")
    tree["output"]["path"] = str(tmp_path / "other")
    asked.write_text(json.dumps(tree))
    assert run(["run", str(asked), "--quiet"]) == 0
    assert bits(tmp_path / "other") == before


def test_counts_are_rows(tmp_path, rows):
    counts = np.random.default_rng(1).integers(0, 4, N).astype(float)
    ended(group(tmp_path / "d.zarr", rows, counts), tmp_path / "run", kind="counts")
    found = record(tmp_path / "run")
    free, likelihood = found["n_parameters"], found["log_likelihood"]
    assert found["criteria"]["bic"] == pytest.approx(free * np.log(counts.sum()) - 2 * likelihood)
    assert found["weights"]["criteria_are_approximate"] is False


def test_equal_weights_are_no_weights(tmp_path, rows):
    path = group(tmp_path / "d.zarr", rows, np.full(N, 0.1))
    weighted = ended(path, tmp_path / "run").directory
    plain = job(
        path,
        tmp_path / "plain",
        data={"path": str(path), "array": "rows"},
        model={"n_components": 3, "max_iter": 30},
    )
    run_job(plain, QUIET)
    assert bits(weighted) == bits(tmp_path / "plain")


def test_what_is_no_weight_ends_the_job_with_its_row(tmp_path, rows, weights):
    weights[1234] = -0.5
    with pytest.raises(DataError, match=r"the weight of row 1234 \(chunk c/1, row 1234\) is -0.5"):
        ended(group(tmp_path / "d.zarr", rows, weights), tmp_path / "run")
    assert record(tmp_path / "run")["exit_code"] == 65


def test_weights_that_are_absent_or_change_are_noticed(tmp_path, data):
    with pytest.raises(DataError, match="has no array 'v'"):
        ended(data, tmp_path / "a", data={"weights": {"array": "v", "kind": "counts"}})
    ended(data, tmp_path / "run")
    fingerprint = record(tmp_path / "run")["data"]["fingerprint"]
    assert fingerprint["weights"]["kind"] == "importance"
    zarr.open_group(data)["w"][5] = 3.0
    with pytest.raises(OutputExistsError, match="a finished run on other data"):
        ended(data, tmp_path / "run")
    (data / "w/c/3").unlink()
    with pytest.raises(DataError, match="chunks do not exist"):
        ended(data, tmp_path / "b")


def test_predict_takes_no_weights(tmp_path, data, rows):
    ended(data, tmp_path / "run")
    own = {"path": str(data), "array": "rows", "weights": {"array": "w", "kind": "importance"}}
    asked = job(data, tmp_path / "predict", data=own, model={"path": str(tmp_path / "run/model")})
    predict_job(asked, QUIET)
    model = load_model(tmp_path / "run/model")
    found = record(tmp_path / "predict")["mean_log_likelihood"]
    assert found == pytest.approx(model.score_samples(rows).mean(), rel=1e-12)


def test_prepared_rows_keep_their_weights(tmp_path, data):
    plain = ended(data, tmp_path / "plain")
    copied = ended(data, tmp_path / "copied", data={"prepare": "always"})
    assert bits(copied.directory) == bits(plain.directory)


def test_a_column_of_a_table_holds_the_weights(tmp_path, rows, weights):
    pytest.importorskip("pyarrow")
    plain = ended(group(tmp_path / "d.zarr", rows, weights), tmp_path / "plain")
    table = pd.DataFrame(rows, columns=[f"x{i}" for i in range(rows.shape[1])])
    table.insert(1, "w", weights)
    table.to_parquet(tmp_path / "rows.parquet")
    own = {"weights": {"column": "w", "kind": "importance"}, "array": None}
    found = ended(tmp_path / "rows.parquet", tmp_path / "run", data=own)
    assert (
        load_model(found.directory / "model").feature_names == ("x0", "x1", "x2")[: rows.shape[1]]
    )
    assert bits(found.directory) == bits(plain.directory)
    assert record(found.directory)["weights"] == record(plain.directory)["weights"]


def test_the_cosine_of_the_latitude_is_the_area_of_a_cell(tmp_path):
    latitude, longitude = np.linspace(-88.0, 88.0, 45), np.arange(0.0, 360.0, 4.0)
    values = np.random.default_rng(0).normal(size=(45, 90)) + np.abs(latitude)[:, None] / 10
    dims = ("lat", "lon")
    fields = xr.Dataset({"t": (dims, values), "s": (dims, values**2)})
    fields = fields.assign_coords(lat=latitude, lon=longitude)
    fields["lat"].attrs["units"] = "degrees_north"
    fields.to_netcdf(tmp_path / "o.nc")
    own = {
        "variables": ["t", "s"],
        "sample_dims": ["lat", "lon"],
        "weights": {"cos": "lat", "kind": "importance"},
        "array": None,
    }
    found = record(ended(tmp_path / "o.nc", tmp_path / "run", data=own).directory)["weights"]
    area = np.repeat(np.cos(np.deg2rad(latitude)), 90)
    assert found["sum"] == pytest.approx(area.sum(), rel=1e-12)
    assert found["n_eff"] == pytest.approx(area.sum() ** 2 / (area**2).sum(), rel=1e-12)


def test_weights_mean_nothing_to_formats_without_them(tmp_path, rows):
    np.save(tmp_path / "rows.npy", rows)
    own = {"weights": {"cos": "lat", "kind": "importance"}, "array": None}
    with pytest.raises(DataError, match=r"data.weights.cos means nothing to data in format numpy"):
        ended(tmp_path / "rows.npy", tmp_path / "run", data=own)
