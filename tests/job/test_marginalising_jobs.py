"""Jobs with `data.missing: marginalise`: what they write, count and leave the same."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from clusters import gaussian_clusters, job, write_zarr

from dgmm import GaussianMixture
from dgmm.data.number_words import in_units
from dgmm.errors import JobFileError
from dgmm.events import SilentListener
from dgmm.job import plan_job, plan_table, predict_job, run_job
from dgmm.model.model_files import load_model

QUIET = SilentListener()
N, D = 9000, 4
START = {"n_sample_starts": 2}


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)  # three blocks
        yield


@pytest.fixture(scope="module")
def gaps():
    X = gaussian_clusters(N, D, 3)[0]
    rng = np.random.default_rng(0)
    X[rng.random((N, D)) < 0.25] = np.nan
    X[[3, 4100]] = np.nan
    return X


def options(**more):
    data = {"missing": "marginalise"}
    output = {"anomaly_quantile": 0.01, "responsibilities": True, "imputed": True}
    return {"data": data, "output": output, "initialisation": START} | more


def outputs(run):
    group = zarr.open_group(str(run / "outputs.zarr"), mode="r")
    return {name: np.asarray(array[...]) for name, array in group.arrays()}


def record(run):
    return json.loads((run / "run.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory, gaps):
    folder = tmp_path_factory.mktemp("gaps")
    write_zarr(folder / "rows.zarr", gaps)
    run_job(job(folder / "rows.zarr", folder / "run", **options()), QUIET)
    return folder


def test_every_row_is_counted_by_what_it_lacks(finished, gaps):
    missing = np.isnan(gaps)
    empty = int(missing.all(axis=1).sum())
    told, found = record(finished / "run"), outputs(finished / "run")
    assert told["rows"] == {
        "total": N,
        "read": N - empty,
        "dropped": empty,
        "empty": empty,
        "incomplete": int(missing.any(axis=1).sum()) - empty,
    }
    np.testing.assert_array_equal(found["labels"] == -1, missing.all(axis=1))
    known = found["log_density"][~missing.all(axis=1)]
    np.testing.assert_allclose(told["log_likelihood"], known.sum(), rtol=1e-12)
    n, p = len(known), told["n_parameters"]
    np.testing.assert_allclose(
        told["criteria"]["bic"], -2 * told["log_likelihood"] + p * np.log(n), rtol=1e-12
    )


def test_the_record_has_patterns_and_what_they_cost(finished):
    missing = record(finished / "run")["missing"]
    assert missing["patterns"] == 2**D - 1  # all but that of rows without any value
    assert missing["cost"] > 1


def test_a_job_that_takes_too_long_asks_before_em(finished, tmp_path, monkeypatch):
    monkeypatch.setattr("dgmm.fitting.missing_cost.MOST_COST", 1.0)
    monkeypatch.setattr("dgmm.fitting.missing_cost.LONG_PASS_S", 0.0)
    own = job(finished / "rows.zarr", tmp_path / "run", **options())
    assert "patterns are not counted yet: --count-missing" in plan_table(plan_job(own))
    with pytest.raises(JobFileError, match=r"in 15 patterns: a pass takes about .*--accept-cost"):
        run_job(own, QUIET)
    assert record(tmp_path / "run")["exit_code"] == 78
    told = f"15 patterns (counted by the run in {own.output.path}), a pass takes about"
    assert told in plan_table(plan_job(own))
    assert "em" not in record(tmp_path / "run")["timings"]
    assert run_job(own, QUIET, accept_cost=True).status == "done"
    for name, values in outputs(finished / "run").items():
        np.testing.assert_array_equal(outputs(tmp_path / "run")[name], values, err_msg=name)


def test_anomalies_go_by_the_completed_log_density(finished, gaps):
    told, found = record(finished / "run"), outputs(finished / "run")
    completed, is_whole = found["completed_log_density"], ~np.isnan(gaps).any(axis=1)
    np.testing.assert_array_equal(completed[is_whole], found["log_density"][is_whole])
    assert (completed[~is_whole] != found["log_density"][~is_whole]).any()
    known = completed[~np.isnan(completed)]
    assert told["anomaly"]["threshold"] == np.sort(known)[int(0.01 * len(known))]
    np.testing.assert_array_equal(found["anomaly"] == 1, completed < told["anomaly"]["threshold"])
    assert (found["anomaly"] == -1).sum() == told["rows"]["empty"]


def test_expected_values_come_with_their_deviations(finished, gaps):
    found, model = outputs(finished / "run"), load_model(finished / "run" / "model")
    values, deviations, missing = found["imputed"], found["imputed_sd"], np.isnan(gaps)
    empty = missing.all(axis=1)
    assert np.isnan(values[empty]).all()
    assert np.isnan(deviations[empty]).all()
    np.testing.assert_array_equal(values[~missing], gaps[~missing])
    assert (deviations[~missing] == 0).all()
    row = int(np.flatnonzero(missing.sum(axis=1) == 2)[0])
    m, r = missing[row], found["responsibilities"][row].astype(float)
    mean, second = np.zeros(2), np.zeros(2)
    for k in range(3):
        S, centre = model.component_covariance(k), model.means[k]
        B = np.linalg.solve(S[np.ix_(~m, ~m)], S[np.ix_(~m, m)]).T
        own = centre[m] + B @ (gaps[row, ~m] - centre[~m])
        C = S[np.ix_(m, m)] - B @ S[np.ix_(~m, m)]
        mean += r[k] * own
        second += r[k] * (np.diag(C) + own**2)
    np.testing.assert_allclose(values[row, m], mean, rtol=1e-6)  # responsibilities are float32
    np.testing.assert_allclose(deviations[row, m], np.sqrt(second - mean**2), rtol=1e-5)
    plan = plan_table(plan_job(job(finished / "rows.zarr", finished / "other", **options())))
    rows_bytes = 4 + 4 + 8 + 8 + 1 + 3 * 4 + 2 * D * 8
    assert f"outputs   {in_units(N * rows_bytes)} before" in plan


def test_a_prediction_scores_the_same_rows_alike(finished):
    model = {"path": str(finished / "run")}
    again = job(finished / "rows.zarr", finished / "again", **options(model=model))
    predict_job(again, QUIET)
    for name, values in outputs(finished / "run").items():
        np.testing.assert_array_equal(outputs(finished / "again")[name], values, err_msg=name)
    assert record(finished / "again")["rows"] == record(finished / "run")["rows"]


@pytest.mark.parametrize(("n_workers", "rows"), [(1, 9000), (8, 700)])
def test_the_bits_follow_neither_workers_nor_chunks(finished, gaps, tmp_path, n_workers, rows):
    write_zarr(tmp_path / "rows.zarr", gaps, chunks=(rows, D))
    cluster = {"kind": "threads", "n_workers": n_workers}
    run_job(job(tmp_path / "rows.zarr", tmp_path / "run", **options(cluster=cluster)), QUIET)
    for name, values in outputs(finished / "run").items():
        np.testing.assert_array_equal(outputs(tmp_path / "run")[name], values, err_msg=name)


def test_an_estimator_is_the_job(finished, gaps):
    model = load_model(finished / "run" / "model")
    own = GaussianMixture.from_model(model, missing="marginalise")
    with pytest.warns(UserWarning, match=r"\d of 9,000 rows have no value at all"):
        density = own.score_samples(gaps)
    with pytest.warns(UserWarning, match="no value at all"):
        completed = own.completed_log_density(gaps)
    written = outputs(finished / "run")
    np.testing.assert_array_equal(density, written["log_density"])
    np.testing.assert_array_equal(completed, written["completed_log_density"])
