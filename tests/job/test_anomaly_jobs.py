"""Jobs that flag rows by each rule, and list the most anomalous ones with ids and reasons."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from clusters import gaussian_clusters, job, write_zarr
from test_run_record import faults

from dgmm.config import Job
from dgmm.errors import OutputExistsError
from dgmm.events import SilentListener
from dgmm.job import predict_job, run_job
from dgmm.job.planning import plan_job
from dgmm.model.model_files import load_model
from dgmm.run_record import json_schema

QUIET = SilentListener()
NAMES = ["a", "b", "c"]
MODEL = {"n_components": 2, "max_iter": 5}
NOT_CONVERGED = {"on_not_converged": "ignore"}


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Two clusters, some rows far out, some left out."""
    X = gaussian_clusters(12_000, 3, 2)[0]
    X[::997] += [0.0, 0.0, 9.0]
    X[[7, 8000]] = np.nan
    return X


@pytest.fixture(scope="module")
def data(rows, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.zarr"
    return write_zarr(path, rows, attributes={"feature_names": NAMES})


def wanted(data: Path, directory: Path, **anomalies: Any) -> Job:
    return job(
        data,
        directory,
        data={"missing": "drop"},
        model=MODEL,
        anomalies=anomalies,
        **NOT_CONVERGED,
    )


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("run") / "run"
    run_job(wanted(data, directory, quantile=0.002, top=25), QUIET)
    return directory


def record(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "run.json").read_text(encoding="utf-8"))


def listed(directory: Path) -> pd.DataFrame:
    """The table, which is the same in both of its files."""
    folder = directory / "anomalies"
    text = {f"feature_{i}": str for i in (1, 2, 3)}
    table = pd.read_csv(folder / "rows.csv", float_precision="round_trip", dtype=text)
    same = pd.read_parquet(folder / "rows.parquet")
    same = same.where(same.notna(), np.nan)
    pd.testing.assert_frame_equal(table, same, check_dtype=False)
    return table


def outputs(directory: Path) -> Any:
    return zarr.open_group(str(directory / "outputs.zarr"), mode="r")


def test_the_listed_rows_are_those_that_sorting_all_written_densities_gives(run, rows):
    density = outputs(run)["log_density"][:]
    table = listed(run)
    order = [i for i in np.argsort(density, kind="stable") if not np.isnan(density[i])][:25]
    assert table.row.tolist() == order
    np.testing.assert_array_equal(table.log_density, density[order])
    np.testing.assert_array_equal(table.component, outputs(run)["labels"][:][order])
    np.testing.assert_array_equal(table.anomaly, outputs(run)["anomaly"][:][order])
    assert list(table)[:4] == ["row", "log_density", "anomaly", "component"]


def test_reasons_are_those_that_the_model_gives_in_python(run, rows):
    table = listed(run)
    found = load_model(run / "model").explain_anomalies(rows[table.row]).columns()
    for name, values in found.items():
        if values.dtype == object:
            assert table[name].tolist() == values.tolist()
        else:
            np.testing.assert_allclose(table[name], values, rtol=1e-12)
    planted = table[table.row % 997 == 0]
    assert len(planted) == 13
    assert set(planted.feature_1) == {"c"}
    np.testing.assert_array_equal(planted.observed_1, rows[planted.row, 2])


def test_the_record_is_what_the_schema_says_and_names_what_was_written(run):
    found = record(run)
    assert faults(found, json_schema()) == []
    told = found["delivered"]["anomalies"]
    assert told["rows"] == 25
    assert told["columns"] == list(listed(run))
    assert found["anomaly"]["rule"] == "quantile"


@pytest.mark.parametrize(
    ("anomalies", "old"), [({"quantile": 0.002}, None), ({"rate": 0.002}, None), ({}, 0.002)]
)
def test_rate_and_quantile_flag_the_same_of_fitted_rows_as_the_older_key(
    run, data, tmp_path, anomalies, old
):
    asked = wanted(data, tmp_path / "run", **anomalies).model_dump(exclude_unset=True)
    asked["output"] |= {"anomaly_quantile": old}
    run_job(Job.model_validate(asked), QUIET)
    there, here = record(run), record(tmp_path / "run")
    kind = "rate" if "rate" in anomalies else "quantile"
    assert here["anomaly"] == there["anomaly"] | {"rule": kind}
    assert here["outputs"]["anomaly"]["sha256"] == there["outputs"]["anomaly"]["sha256"]
    assert load_model(tmp_path / "run" / "model").anomaly_quantile == 0.002
    assert not (tmp_path / "run" / "anomalies").exists()


def test_a_given_log_density_flags_what_lies_below_it_and_is_the_models(data, tmp_path):
    run_job(wanted(data, tmp_path / "run", log_density=-9.5), QUIET)
    found, density = outputs(tmp_path / "run"), None
    density, flags = found["log_density"][:], found["anomaly"][:]
    np.testing.assert_array_equal(flags, np.where(np.isnan(density), -1, density < -9.5))
    told = record(tmp_path / "run")["anomaly"]
    assert told == {
        "quantile": None,
        "threshold": -9.5,
        "n_anomalies": int((flags == 1).sum()),
        "rule": "log_density",
    }
    assert told["n_anomalies"] > 1
    model = load_model(tmp_path / "run" / "model")
    assert model.anomaly_threshold == -9.5
    assert model.anomaly_quantile is None


def predicted(data: Path, run: Path, directory: Path, **anomalies: Any) -> dict[str, Any]:
    model = {"path": str(run / "model")}
    asked = job(data, directory, data={"missing": "drop"}, model=model, anomalies=anomalies)
    predict_job(asked, QUIET)
    return record(directory)


def test_a_prediction_flags_by_the_model_by_a_rate_of_its_rows_or_by_a_density(run, rows, tmp_path):
    X = rows[:3000] + 0.3
    X[500] = [1e200, 0.0, 0.0]
    others = write_zarr(tmp_path / "others.zarr", X, attributes={"feature_names": NAMES})
    by_model = predicted(others, run, tmp_path / "model", top=4)
    by_rate = predicted(others, run, tmp_path / "rate", rate=0.01)
    by_density = predicted(others, run, tmp_path / "density", log_density=-20.0, top=7)
    density = outputs(tmp_path / "model")["log_density"][:]
    kept = density[~np.isnan(density)]
    threshold = load_model(run / "model").anomaly_threshold
    assert by_model["anomaly"]["rule"] == "model"
    assert by_model["anomaly"]["n_anomalies"] == (kept < threshold).sum()
    assert by_rate["anomaly"]["n_anomalies"] == int(0.01 * len(kept))
    assert by_rate["anomaly"]["rule"] == "rate"
    assert by_density["anomaly"]["n_anomalies"] == (kept < -20.0).sum() > 0
    assert listed(tmp_path / "density").row.tolist() == np.argsort(density)[:7].tolist()
    assert listed(tmp_path / "model").row.tolist() == np.argsort(density)[:4].tolist()
    table = listed(tmp_path / "model")
    assert (table.row[0], table.feature_1[0]) == (500, "a")
    assert np.isneginf(table.log_density[0])
    # What is saved beside the predictions is the model that was applied.
    for name in ("model", "rate", "density"):
        assert load_model(tmp_path / name / "model").anomaly_threshold == threshold


def test_any_number_of_threads_and_any_chunking_give_the_same_bytes(run, rows, tmp_path):
    chunked = write_zarr(
        tmp_path / "rows.zarr", rows, chunks=(777, 2), attributes={"feature_names": NAMES}
    )
    asked = wanted(chunked, tmp_path / "run", quantile=0.002, top=25).model_dump(exclude_unset=True)
    asked["cluster"]["n_workers"] = 1
    run_job(Job.model_validate(asked), QUIET)
    for name in ("rows.csv", "rows.parquet"):
        there = (run / "anomalies" / name).read_bytes()
        assert (tmp_path / "run" / "anomalies" / name).read_bytes() == there


def test_a_table_that_is_gone_is_missed_and_written_again(run, data, tmp_path):
    directory = Path(shutil.copytree(run, tmp_path / "run"))
    asked = wanted(data, directory, quantile=0.002, top=25)
    before = {p.name: p.read_bytes() for p in (directory / "anomalies").iterdir()}
    shutil.rmtree(directory / "anomalies")
    with pytest.raises(OutputExistsError, match="lacks anomalies"):
        run_job(asked, QUIET)
    run_job(asked, QUIET, rebuild=True)
    assert {p.name: p.read_bytes() for p in (directory / "anomalies").iterdir()} == before


def test_half_a_table_is_missed(run, data, tmp_path):
    directory = Path(shutil.copytree(run, tmp_path / "run"))
    (directory / "anomalies" / "rows.csv").write_text("row\n")
    with pytest.raises(OutputExistsError, match="lacks anomalies"):
        run_job(wanted(data, directory, quantile=0.002, top=25), QUIET)


def test_files_of_others_are_set_aside(data, tmp_path):
    folder = tmp_path / "run" / "anomalies"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    asked = wanted(data, tmp_path / "run", top=3)
    # A folder that is no run directory is refused: one of this very job it has to be.
    run_job(wanted(data, tmp_path / "first", top=3), QUIET)
    shutil.copytree(tmp_path / "first", tmp_path / "run", dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "run" / "outputs.zarr")
    run_job(asked, QUIET, rebuild=True)
    assert (tmp_path / "run" / "anomalies.replaced-1" / "notes.txt").read_text() == "mine"
    assert len(listed(tmp_path / "run")) == 3


def test_the_plan_counts_the_listed_rows(data, tmp_path):
    def terms(**anomalies: Any) -> dict[str, int]:
        plan = plan_job(wanted(data, tmp_path / "run", **anomalies))
        return {term.name: term.n_bytes for term in (*plan.task, *plan.driver)}

    assert "most anomalous rows" not in terms()
    assert terms(top=1000)["most anomalous rows"] == 10 * terms(top=100)["most anomalous rows"] > 0


def test_rows_that_lack_values_are_listed_by_what_their_density_is_expected_to_be(tmp_path):
    rng = np.random.default_rng(4)
    X = gaussian_clusters(5000, 3, 2)[0]
    X[rng.random(X.shape) < 0.2] = np.nan
    X[100] = [np.nan, 25.0, np.nan]
    X[101] = np.nan
    data = write_zarr(tmp_path / "rows.zarr", X, attributes={"feature_names": NAMES})
    sections = {"data": {"missing": "marginalise"}, "model": MODEL, "anomalies": {"top": 30}}
    run_job(job(data, tmp_path / "run", **sections, **NOT_CONVERGED), QUIET)
    completed = outputs(tmp_path / "run")["completed_log_density"][:]
    table = listed(tmp_path / "run")
    assert (
        table.row.tolist() == np.argsort(completed, kind="stable")[:30].tolist()
    )  # NaN comes last
    np.testing.assert_array_equal(table.log_density, completed[table.row])
    only = table[table.row == 100].iloc[0]
    assert only.feature_1 == "b"
    assert only[["feature_2", "feature_3", "loss_2", "loss_3"]].isna().all()
    for _, row in table.iterrows():
        lacks = {name for name, value in zip(NAMES, X[row.row], strict=True) if np.isnan(value)}
        assert lacks.isdisjoint(row[["feature_1", "feature_2", "feature_3"]].dropna())


def test_ids_of_a_table_stand_beside_its_rows(rows, tmp_path):
    table = pd.DataFrame(rows, columns=NAMES)
    table["name"] = [f"row-{i:05d}" for i in range(len(table))]
    table["component"] = np.arange(len(table)) * 2  # called as a result
    (tmp_path / "parts").mkdir()
    for i, start in enumerate(range(0, len(table), 5000)):
        table[start : start + 5000].to_parquet(tmp_path / "parts" / f"{i}.parquet", index=False)
    asked = job(
        tmp_path / "parts",
        tmp_path / "run",
        data={"missing": "drop", "columns": NAMES, "id": ["name", "component"]},
        model=MODEL,
        anomalies={"top": 40},
        **NOT_CONVERGED,
    )
    run_job(asked, QUIET)
    found = listed(tmp_path / "run")
    assert list(found)[:5] == ["row", "name", "component", "log_density", "dgmm_component"]
    assert found.name.tolist() == [f"row-{i:05d}" for i in found.row]
    assert found.component.tolist() == (2 * found.row).tolist()
    assert found.row.max() > 5000 > found.row.min()


def test_a_column_called_row_does_not_replace_the_number_of_the_row(rows, tmp_path):
    table = pd.DataFrame(rows[:2000], columns=NAMES)
    table["row"] = [f"row-{i:05d}" for i in range(len(table))]
    table.to_parquet(tmp_path / "rows.parquet", index=False)
    asked = job(
        tmp_path / "rows.parquet",
        tmp_path / "run",
        data={"missing": "drop", "columns": NAMES, "describe": ["row"]},
        model=MODEL,
        anomalies={"top": 5},
        **NOT_CONVERGED,
    )
    run_job(asked, QUIET)
    found = listed(tmp_path / "run")
    assert list(found)[:3] == ["dgmm_row", "row", "log_density"]
    assert found.row.tolist() == [f"row-{i:05d}" for i in found.dgmm_row]


def test_coordinates_of_labelled_arrays_stand_beside_their_rows(tmp_path):
    rng = np.random.default_rng(0)
    lat, lon = np.linspace(-60, 60, 7), np.linspace(0, 340, 11)
    time = np.datetime64("2001-03-01T00:00:00") + 6 * np.arange(13) * np.timedelta64(1, "h")
    values = rng.normal(size=(13, 7, 11, 2))
    values[3, 5, 2, 1] = 40.0
    area = ("lat", "lon"), rng.random((7, 11))
    source = xr.Dataset(
        {"t": (("time", "lat", "lon", "level"), values)},
        coords={"time": time, "lat": lat, "lon": lon, "area": area},
    )
    source.to_netcdf(tmp_path / "t.nc")
    asked = job(
        tmp_path / "t.nc",
        tmp_path / "run",
        data={
            "variables": ["t"],
            "sample_dims": ["time", "lat", "lon"],
            "feature_dims": ["level"],
            "select": {"lat": [-25, 60]},
        },
        model={"n_components": 1},
        anomalies={"top": 5},
        **NOT_CONVERGED,
    )
    run_job(asked, QUIET)
    first = listed(tmp_path / "run").iloc[0]
    assert first.time == "2001-03-01T18:00:00"
    assert (first.lat, first.lon) == (lat[5], lon[2])
    assert first.area == source.area.values[5, 2]
    assert first.observed_1 == 40.0


def test_names_of_observations_stand_beside_their_rows(tmp_path):
    anndata = pytest.importorskip("anndata")
    X = gaussian_clusters(300, 3, 2)[0].astype(np.float32)
    X[17, 1] += 30.0
    adata = anndata.AnnData(X)
    adata.obs_names = [f"cell-{i}" for i in range(300)]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    asked = job(
        tmp_path / "cells.h5ad",
        tmp_path / "run",
        data={"array": "X"},
        model={"n_components": 2},
        anomalies={"top": 2},
        **NOT_CONVERGED,
    )
    run_job(asked, QUIET)
    assert "cell-17" in listed(tmp_path / "run").obs_names.tolist()


def test_values_behind_steps_are_given_as_they_were_before_them(tmp_path):
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "pressure": np.exp(rng.normal(3.0, 0.5, 4000)),
            "x": rng.normal(size=4000),
            "y": rng.normal(size=4000),
            "z": rng.normal(5.0, 2.0, 4000),
        }
    )
    table.loc[11, "pressure"] = 1e6
    table.loc[12, ["x", "y"]] = 25.0
    table.to_parquet(tmp_path / "t.parquet", index=False)
    asked = job(
        tmp_path / "t.parquet",
        tmp_path / "run",
        model={"n_components": 1},
        preprocess=[{"log": {"columns": ["pressure"]}}, {"pca": {"columns": ["x", "y"], "n": 2}}],
        anomalies={"top": 2},
        **NOT_CONVERGED,
    )
    run_job(asked, QUIET)
    found = listed(tmp_path / "run").set_index("row")
    model = load_model(tmp_path / "run" / "model")
    first = found.loc[11]
    assert first.feature_1 == "pressure"
    np.testing.assert_allclose(first.observed_1, 1e6, rtol=1e-12)
    # Given the others, log(pressure) is about normal with mean 3 and deviation 0.5.
    mean, sd = model.means[0, 0], np.sqrt(model.component_covariance(0)[0, 0])
    np.testing.assert_allclose(first.expected_1, np.exp(mean), rtol=0.05)
    np.testing.assert_allclose(first.sd_1, np.exp(mean) * np.sinh(sd), rtol=0.05)
    # Components are no features of the user's: they keep their own values.
    second = found.loc[12]
    assert second.feature_1 in model.feature_names
    assert second.feature_1 not in table.columns
    rows = np.asarray(table.loc[[12]])
    scores = model.preprocess.apply(rows)[0]
    np.testing.assert_allclose(
        second.observed_1, scores[model.feature_names.index(second.feature_1)], rtol=1e-12
    )
