"""`dgmm run`, from a Zarr array to everything a run directory holds."""

from __future__ import annotations

import csv
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from clusters import gaussian_clusters, job, write_zarr
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as Peer

from dgmm import GaussianMixture
from dgmm.errors import (
    DataError,
    InputNotFoundError,
    OutputExistsError,
    PoisonBlocksError,
    UnavailableError,
)
from dgmm.events import SilentListener
from dgmm.exit_codes import ExitCode
from dgmm.fitting.restarts import AUTO_STARTS
from dgmm.job import RunResult, fit_job, predict_job, run_job
from dgmm.job.identity import difference
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.model.model_files import load_model, save_model
from dgmm.scoring.output_registry import ROW_OUTPUTS

QUIET = SilentListener()


def record(result: RunResult | Path) -> dict:
    directory = result.directory if isinstance(result, RunResult) else result
    return json.loads((directory / "run.json").read_text())


def rows(incomplete: int) -> dict[str, int]:
    """The accounting of 9,000 rows of which some lack values."""
    counts = {"total": 9000, "read": 9000 - incomplete, "dropped": incomplete}
    return counts | {"empty": 0, "incomplete": incomplete}


@pytest.fixture(scope="module")
def clusters():
    return gaussian_clusters(9000)


@pytest.fixture
def data(tmp_path, clusters):
    return write_zarr(tmp_path / "data.zarr", clusters[0])


def test_a_run_leaves_labels_scores_model_and_record(tmp_path, data, clusters):
    X, truth = clusters
    wanted = {"anomaly_quantile": 0.01, "responsibilities": True}
    result = run_job(job(data, tmp_path / "run", output=wanted), QUIET)
    assert (result.exit_code, result.status, result.outcome) == (0, "done", "CONVERGED")

    outputs = xr.open_zarr(tmp_path / "run" / "outputs.zarr")
    assert {n: (str(v.dtype), v.dims) for n, v in outputs.data_vars.items()} == {
        "labels": ("int32", ("row",)),
        "max_posterior": ("float32", ("row",)),
        "log_density": ("float64", ("row",)),
        "anomaly": ("int8", ("row",)),
        "responsibilities": ("float32", ("row", "component")),
    }
    assert adjusted_rand_score(truth, outputs["labels"].values) > 0.999

    model = load_model(tmp_path / "run" / "model")
    log_density = model.score_samples(X)
    np.testing.assert_allclose(outputs["log_density"].values, log_density, rtol=1e-12)
    R = outputs["responsibilities"].values
    np.testing.assert_allclose(R.sum(axis=1), 1.0, atol=len(R[0]) * np.finfo(np.float32).eps)
    np.testing.assert_array_equal(R.argmax(axis=1), outputs["labels"].values)
    np.testing.assert_array_equal(R.max(axis=1), outputs["max_posterior"].values)

    told = record(result)
    assert told["status"] == "done"
    assert told["rows"] == rows(0)
    assert told["mean_log_likelihood"] == pytest.approx(log_density.mean(), rel=1e-12)
    assert told["anomaly"]["n_anomalies"] == 90 == int(outputs["anomaly"].values.sum())
    assert told["anomaly"]["threshold"] == np.sort(outputs["log_density"].values)[90]
    assert sum(told["label_counts"]) == 9000
    assert set(told["outputs"]) == set(outputs.data_vars)


def test_the_mixture_is_as_good_as_scikit_learns(tmp_path, data, clusters):
    X, _ = clusters
    result = run_job(job(data, tmp_path / "run", model={"tol": 1e-8}), QUIET)
    peer = Peer(3, tol=1e-8, random_state=0, reg_covar=0).fit(X)
    # Both stop within tol of the same optimum, far from each other only by the tail of a geometric
    # series of changes; regularisation by 1e-6 of the variance costs less than that.
    assert record(result)["mean_log_likelihood"] == pytest.approx(peer.score(X), abs=1e-6)


def test_criteria_are_those_of_the_saved_parameters(tmp_path, data, clusters):
    result = run_job(job(data, tmp_path / "run", output={"responsibilities": True}), QUIET)
    told = record(result)
    R = xr.open_zarr(tmp_path / "run" / "outputs.zarr")["responsibilities"].values.astype(float)
    free = 2 + 3 * 3 + 3 * 6
    assert told["n_parameters"] == free
    total = told["log_likelihood"]
    assert told["criteria"]["bic"] == pytest.approx(free * np.log(9000) - 2 * total)
    assert told["criteria"]["aic"] == pytest.approx(2 * free - 2 * total)
    entropy = -(R * np.log(np.maximum(R, 1e-300))).sum()
    assert told["entropy"] == pytest.approx(entropy, rel=1e-3)  # R was rounded to float32
    assert told["criteria"]["icl"] == pytest.approx(told["criteria"]["bic"] + 2 * told["entropy"])


def test_events_and_metrics_tell_every_iteration(tmp_path, data):
    result = run_job(job(data, tmp_path / "run"), QUIET)
    lines = [json.loads(x) for x in (result.directory / "events.jsonl").read_text().splitlines()]
    iterations = [e for e in lines if e["event"] == "iteration"]
    with (result.directory / "metrics.csv").open() as file:
        every = list(csv.DictReader(file))
    rows = [row for row in every if row["iteration"] != "0"]
    assert len(rows) == len(iterations) == record(result)["n_iter"]
    assert [r["step"] for r in rows] == [e["step"] for e in iterations]
    assert {r["step"] for r in rows} <= {"plain", "accelerated", "rejected"}
    assert {r["backend"] for r in rows} == {record(result)["backend"]} == {"numpy"}
    assert all(int(r["rows"]) == 9000 for r in rows)
    values = [float(r["mean_log_likelihood"]) for r in rows]
    assert values == sorted(values)


def test_a_directory_where_a_job_failed_before_it_did_anything_is_free(tmp_path, data):
    wrong = job(tmp_path / "absent.zarr", tmp_path / "run")
    with pytest.raises(InputNotFoundError):
        run_job(wrong, QUIET)
    assert record(tmp_path / "run")["status"] == "failed"
    assert run_job(job(data, tmp_path / "run"), QUIET).exit_code == 0


def test_a_job_corrected_after_invalid_data_is_run_in_the_same_directory(tmp_path):
    X = gaussian_clusters(40_000, 3, 3)[0]
    X[-1, 0] = np.nan
    data = write_zarr(tmp_path / "rows.zarr", X, chunks=(10_000, 3))
    often = {"checkpoint": {"every_s": 1e-6}, "cluster": {"n_workers": 1}}
    with pytest.raises(DataError, match="NaN"):
        run_job(job(data, tmp_path / "run", **often), QUIET)
    assert [*(tmp_path / "run" / "checkpoint").iterdir()]
    corrected = job(data, tmp_path / "run", **often | {"data": {"missing": "drop"}})
    assert run_job(corrected, QUIET).exit_code == 0
    assert run_job(corrected, QUIET).was_finished


def test_a_finished_run_says_so_and_changes_nothing(tmp_path, data):
    first = run_job(job(data, tmp_path / "run"), QUIET)

    def times() -> dict[Path, int]:
        files = (p for p in first.directory.rglob("*") if p.is_file() and p.name != "lock")
        return {p: p.stat().st_mtime_ns for p in files}

    before = times()
    again = run_job(job(data, tmp_path / "run"), QUIET)
    assert again.exit_code == 0
    assert "finished before" in again.message
    assert times() == before


def test_another_job_in_the_same_directory_is_refused_with_the_difference(tmp_path, data):
    run_job(job(data, tmp_path / "run"), QUIET)
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(OutputExistsError, match=r"n_components is 3 there, 4 here"):
        run_job(job(data, tmp_path / "run", model={"n_components": 4}), QUIET)
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_a_finished_run_on_data_that_changed_since_is_refused(tmp_path, data, clusters):
    run_job(job(data, tmp_path / "run"), QUIET)
    write_zarr(data, clusters[0] + 1.0, overwrite=True)
    with pytest.raises(OutputExistsError, match="has changed since"):
        run_job(job(data, tmp_path / "run"), QUIET)


def test_files_that_are_no_run_are_refused_and_stay(tmp_path, data):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"thesis\.txt"):
        run_job(job(data, tmp_path / "run"), QUIET)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_an_unfinished_run_starts_over_and_ends_with_the_same_bits(tmp_path, data):
    whole = run_job(job(data, tmp_path / "whole"), QUIET)

    class Interrupting(SilentListener):
        def iteration(self, record):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(job(data, tmp_path / "run"), Interrupting())
    stopped = record(tmp_path / "run")
    assert (stopped["status"], stopped["exit_code"]) == ("stopped", 75)
    result = run_job(job(data, tmp_path / "run"), QUIET)
    assert result.exit_code == 0
    for name in ("model/arrays.npz",):
        assert (whole.directory / name).read_bytes() == (result.directory / name).read_bytes()
    assert record(whole)["outputs"] == record(result)["outputs"]


def test_a_failing_run_says_why_in_its_record(tmp_path, clusters):
    X = clusters[0].copy()
    X[4321, 1] = np.nan
    data = write_zarr(tmp_path / "data.zarr", X)
    with pytest.raises(DataError, match=r"x1: 1 NaN.*row 4321.*data\.missing"):
        run_job(job(data, tmp_path / "run"), QUIET)
    told = record(tmp_path / "run")
    assert (told["status"], told["exit_code"]) == ("failed", 65)
    assert "x1: 1 NaN" in told["message"]


def test_absent_data_are_told_in_the_record_too(tmp_path):
    with pytest.raises(InputNotFoundError):
        run_job(job(tmp_path / "nowhere.zarr", tmp_path / "run"), QUIET)
    assert record(tmp_path / "run")["exit_code"] == 66


@pytest.mark.parametrize("missing", ["error", "drop"])
def test_rows_without_any_value_are_left_out_and_counted_apart(tmp_path, clusters, missing):
    X = clusters[0].copy()
    X[[0, 4096, 8999]] = np.nan
    if missing == "drop":
        X[17, 1] = np.nan
    data = write_zarr(tmp_path / "data.zarr", X)
    told = record(run_job(job(data, tmp_path / "run", data={"missing": missing}), QUIET))
    n_incomplete = int(missing == "drop")
    assert told["rows"] == rows(n_incomplete) | {
        "read": 8997 - n_incomplete,
        "dropped": 3 + n_incomplete,
        "empty": 3,
    }
    labels = zarr.open_array(tmp_path / "run" / "outputs.zarr" / "labels", mode="r")[...]
    gone = [0, 4096, 8999] if missing == "error" else [0, 17, 4096, 8999]
    np.testing.assert_array_equal(np.flatnonzero(labels == -1), gone)
    said = "3 of 9,000 rows have no value at all and are left out"
    assert said in told["warnings"]
    model = {"path": str(tmp_path / "run")}
    again = job(data, tmp_path / "again", data={"missing": missing}, model=model)
    predicted = record(predict_job(again, QUIET))
    assert predicted["rows"] == told["rows"]
    assert said in predicted["warnings"]


def test_dropped_rows_get_label_minus_one_and_nan_scores(tmp_path, clusters):
    X = clusters[0].copy()
    gone = np.array([0, 17, 4096, 8999])
    X[gone, gone % 3] = [np.nan, np.inf, -np.inf, np.nan]
    data = write_zarr(tmp_path / "data.zarr", X)
    wanted = {"anomaly_quantile": 0.01, "responsibilities": True}
    run = job(data, tmp_path / "run", data={"missing": "drop"}, output=wanted)
    result = run_job(run, QUIET)
    outputs = xr.open_zarr(result.directory / "outputs.zarr")
    is_gone = np.isin(np.arange(len(X)), gone)
    np.testing.assert_array_equal(outputs["labels"].values == -1, is_gone)
    np.testing.assert_array_equal(outputs["anomaly"].values == -1, is_gone)
    np.testing.assert_array_equal(np.isnan(outputs["log_density"].values), is_gone)
    np.testing.assert_array_equal(np.isnan(outputs["max_posterior"].values), is_gone)
    np.testing.assert_array_equal(np.isnan(outputs["responsibilities"].values[:, 0]), is_gone)
    assert record(result)["rows"] == rows(4)
    kept = write_zarr(tmp_path / "kept.zarr", X[~is_gone])
    alone = record(run_job(job(kept, tmp_path / "kept"), QUIET))
    # Rows move from block to block, so sums round differently: n·eps of the mean.
    assert record(result)["mean_log_likelihood"] == pytest.approx(
        alone["mean_log_likelihood"], rel=1e-6
    )


def test_not_converging_is_an_end_of_its_own_where_the_job_says_so(tmp_path, data):
    short = {"max_iter": 1, "tol": 0}
    warned = run_job(job(data, tmp_path / "warn", model=short), QUIET)
    assert (warned.exit_code, warned.outcome) == (0, "MAX_ITER_REACHED")
    assert any("max_iter" in text for text in record(warned)["warnings"])
    failed = run_job(job(data, tmp_path / "error", model=short, on_not_converged="error"), QUIET)
    assert failed.exit_code == record(failed)["exit_code"] == 10
    assert load_model(failed.directory).n_components == 3


def test_max_iter_zero_writes_the_initialisation(tmp_path, data):
    result = run_job(job(data, tmp_path / "run", model={"max_iter": 0}), QUIET)
    assert (result.exit_code, result.outcome) == (0, "INITIALISED")
    assert (result.directory / "outputs.zarr").is_dir()


@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_predicting_the_same_rows_gives_the_same_outputs(tmp_path, data, family):
    fitted = run_job(
        job(
            data,
            tmp_path / "run",
            model={"covariance_type": family},
            output={"anomaly_quantile": 0.001},
        ),
        QUIET,
    )
    again = predict_job(
        job(data, tmp_path / "again", model={"path": str(fitted.directory / "model")}), QUIET
    )
    assert (again.exit_code, again.outcome) == (0, "PREDICTED")
    mine, theirs = record(again), record(fitted)
    hashes = {n: o["sha256"] for n, o in mine["outputs"].items()}
    assert hashes == {n: o["sha256"] for n, o in theirs["outputs"].items()}
    assert mine["anomaly"] == theirs["anomaly"] | {"rule": "model"}
    assert mine["mean_log_likelihood"] == theirs["mean_log_likelihood"]


def test_features_in_another_order_are_put_in_the_models(tmp_path, clusters):
    X = clusters[0]
    data = write_zarr(tmp_path / "a.zarr", X, attributes={"feature_names": ["r", "g", "b"]})
    turned = write_zarr(
        tmp_path / "b.zarr", X[:, [2, 0, 1]], attributes={"feature_names": ["b", "r", "g"]}
    )
    fitted = run_job(job(data, tmp_path / "run"), QUIET)
    model = {"path": str(fitted.directory)}
    result = predict_job(job(turned, tmp_path / "again", model=model), QUIET)
    labels = record(result)["outputs"]["labels"]["sha256"]
    assert labels == record(fitted)["outputs"]["labels"]["sha256"]
    assert any("model's order" in text for text in record(result)["warnings"])


def test_features_of_other_names_are_refused_by_name(tmp_path, clusters):
    X = clusters[0]
    data = write_zarr(tmp_path / "a.zarr", X, attributes={"feature_names": ["r", "g", "b"]})
    other = write_zarr(tmp_path / "b.zarr", X, attributes={"feature_names": ["r", "g", "infra"]})
    fitted = run_job(job(data, tmp_path / "run"), QUIET)
    with pytest.raises(DataError, match=r"lack the model's features b.*infra"):
        predict_job(job(other, tmp_path / "again", model={"path": str(fitted.directory)}), QUIET)


def test_a_missing_value_met_by_a_prediction_is_named(tmp_path, data, clusters):
    fitted = run_job(job(data, tmp_path / "run"), QUIET)
    X = clusters[0].copy()
    X[5000, 2] = np.inf
    faulty = write_zarr(tmp_path / "faulty.zarr", X)
    model = {"path": str(fitted.directory)}
    with pytest.raises(DataError, match=r"row 5000\D.*x2.*data\.missing"):
        predict_job(job(faulty, tmp_path / "again", model=model), QUIET)
    assert record(tmp_path / "again")["exit_code"] == 65
    drop = job(faulty, tmp_path / "dropped", data={"missing": "drop"}, model=model)
    told = record(predict_job(drop, QUIET))
    assert told["rows"] == rows(1)
    assert sum(told["label_counts"]) == told["rows"]["read"]


def test_a_saved_model_is_a_start(tmp_path, data):
    first = run_job(job(data, tmp_path / "run", model={"tol": 1e-9}), QUIET)
    start = {"method": "given", "model": str(first.directory)}
    again = run_job(job(data, tmp_path / "again", initialisation=start), QUIET)
    assert record(again)["n_iter"] <= 4  # a pair of plain steps, and what confirms it
    assert record(again)["mean_log_likelihood"] == pytest.approx(
        record(first)["mean_log_likelihood"], abs=1e-9
    )


def test_one_failing_start_does_not_end_a_job_of_several(tmp_path, data, monkeypatch):
    from dgmm.errors import ComponentError
    from dgmm.fitting import restarts as starts

    real = starts.start

    def failing(*args, **options):
        *_, restart, _ = args[5].bit_generator.seed_seq.spawn_key
        if restart == 1:
            raise ComponentError("no luck")
        return real(*args, **options)

    monkeypatch.setattr(starts, "start", failing)
    result = run_job(job(data, tmp_path / "run", model={"n_init": 3}), QUIET)
    told = record(result)
    assert result.exit_code == 0
    assert [r["outcome"] for r in told["restarts"]].count("FAILED_START") == 1
    assert sum(r["selected"] for r in told["restarts"]) == 1
    assert any("no luck" in text for text in told["warnings"])


def test_a_second_run_is_refused_while_the_first_is_at_work(tmp_path, data):
    class Meeting(SilentListener):
        met = 0

        def iteration(self, record):
            with pytest.raises(OutputExistsError, match=f"in use.*{os.getpid()}"):
                run_job(job(data, tmp_path / "run"), QUIET)
            self.met += 1

    listener = Meeting()
    result = run_job(job(data, tmp_path / "run"), listener)
    assert result.exit_code == 0
    assert listener.met == record(result)["n_iter"]
    assert (result.directory / "outputs.zarr" / "labels").is_dir()


def test_a_report_that_fails_leaves_the_run_done(tmp_path, data, monkeypatch):
    from dgmm.job import stages

    def failing(directory):
        raise ZeroDivisionError("figure")

    monkeypatch.setattr(stages, "write_report", failing)
    result = run_job(job(data, tmp_path / "run", output={"report": "auto"}), QUIET)
    told = record(result)
    assert (result.exit_code, told["status"], told["exit_code"]) == (0, "done", 0)
    assert any("figure" in t and "dgmm report" in t for t in told["warnings"])
    monkeypatch.undo()
    again = run_job(job(data, tmp_path / "run", output={"report": "auto"}), QUIET)
    assert "finished before" in again.message
    assert (result.directory / "report.html").exists()
    (result.directory / "report.json").unlink()
    run_job(job(data, tmp_path / "run", output={"report": "auto"}), QUIET)
    assert json.loads((result.directory / "report.json").read_text())["verdict"] == "Converged"


def test_blocks_that_end_workers_are_named_with_their_rows(tmp_path, data, monkeypatch):
    def ending(*_, **__):
        raise PoisonBlocksError("3 workers while alone on them", (0, 1), None)

    monkeypatch.setattr(fit_job, "fit", ending)
    with pytest.raises(UnavailableError, match=r"^block 0 \(rows 0 to 8999\) ended 3") as refused:
        run_job(job(data, tmp_path / "run", model={"n_components": 3}), QUIET)
    assert refused.value.exit_code == ExitCode.UNAVAILABLE
    assert not (tmp_path / "run" / "error.txt").exists()


def test_what_to_do_at_the_end_may_change_after_it(tmp_path, data):
    short = {"max_iter": 1, "tol": 0}
    assert run_job(job(data, tmp_path / "run", model=short), QUIET).exit_code == 0
    strict = job(data, tmp_path / "run", model=short, on_not_converged="error")
    assert run_job(strict, QUIET).exit_code == 10
    assert run_job(job(data, tmp_path / "run", model=short), QUIET).exit_code == 0


def test_a_path_written_in_another_way_is_the_same_job(tmp_path, data, monkeypatch):
    run_job(job(data, tmp_path / "run"), QUIET)
    monkeypatch.chdir(tmp_path)
    again = run_job(job(Path("./data.zarr"), Path("run")), QUIET)
    assert "finished before" in again.message


def test_a_start_or_a_model_that_changed_is_another_run(tmp_path, data):
    first = run_job(job(data, tmp_path / "first", output={"anomaly_quantile": 0.01}), QUIET)
    start = {"method": "given", "model": str(first.directory / "model")}
    run_job(job(data, tmp_path / "second", initialisation=start), QUIET)
    use = {"path": str(first.directory / "model")}
    predict_job(job(data, tmp_path / "third", model=use), QUIET)

    model = load_model(first.directory)
    save_model(model.with_threshold(-7.0, 0.5), first.directory / "model")
    with pytest.raises(OutputExistsError, match="has changed since"):
        run_job(job(data, tmp_path / "second", initialisation=start), QUIET)
    with pytest.raises(OutputExistsError, match="has changed since"):
        predict_job(job(data, tmp_path / "third", model=use), QUIET)


def test_rows_whose_density_underflows_are_counted_and_said(tmp_path, data, clusters):
    fitted = run_job(job(data, tmp_path / "run"), QUIET)
    X = clusters[0][:1000].copy()
    X[10] = 1e200
    far = write_zarr(tmp_path / "far.zarr", X)
    use = {"path": str(fitted.directory)}
    told = record(predict_job(job(far, tmp_path / "far", model=use), QUIET))
    assert told["rows_underflowed"] == 1
    assert any("underflows" in text for text in told["warnings"])
    others = load_model(fitted.directory).score_samples(np.delete(X, 10, axis=0))
    assert told["mean_log_likelihood"] == pytest.approx(others.mean(), rel=1e-12)
    with pytest.raises(DataError, match=r"x0 is 1e\+200 in .*row 10\D"):
        run_job(job(far, tmp_path / "fit"), QUIET)


def test_rows_without_a_density_are_flagged_whatever_the_quantile(tmp_path):
    rng = np.random.default_rng(4)
    X = rng.choice([-2.0, 2.0], (1600, 1)) + 1e-5 * rng.normal(size=(1600, 1))
    X[[3, 700, 701, 702, 1599]] = 1.1e150
    data = write_zarr(tmp_path / "rows.zarr", X)
    model = {"n_components": 2, "max_iter": 0, "reg_covar_relative": 0}
    start = {"sample_rows": 90}
    wanted = {"anomaly_quantile": 0.002, "report": True}
    run = job(data, tmp_path / "run", model=model, initialisation=start, output=wanted)
    told = record(run_job(run, QUIET))
    assert told["rows_underflowed"] == told["anomaly"]["n_anomalies"] == 5
    assert not any("no report" in text for text in told["warnings"])
    flags = xr.open_zarr(tmp_path / "run" / "outputs.zarr")["anomaly"].values
    assert np.flatnonzero(flags).tolist() == [3, 700, 701, 702, 1599]
    threshold = load_model(tmp_path / "run").anomaly_threshold
    assert np.isfinite(threshold)
    again = job(data, tmp_path / "again", model={"path": str(tmp_path / "run" / "model")})
    predicted = record(predict_job(again, QUIET))
    assert predicted["outputs"]["anomaly"]["sha256"] == told["outputs"]["anomaly"]["sha256"]
    assert predicted["anomaly"] == told["anomaly"] | {"rule": "model"}


def test_a_job_that_asks_for_no_array_leaves_none(tmp_path, data):
    nothing = {"labels": False, "max_posterior": False, "log_density": False}
    result = run_job(job(data, tmp_path / "run", output=nothing), QUIET)
    assert record(result)["outputs"] == {}
    assert not (result.directory / "outputs.zarr").exists()
    assert record(result)["log_likelihood"] is not None


def test_seconds_of_a_stage_add_up_over_attempts_and_interruptions(tmp_path):
    timings = {"em": 100.0}
    with RecordingListener(tmp_path, [], timings, QUIET) as recording:
        recording.stage("summary", "")
        recording.stage("em", "")  # never ended: a signal
    assert 0 <= timings["summary"] < 50
    assert 100 < timings["em"] < 150


@pytest.mark.parametrize("stored", [2, 3])
@pytest.mark.parametrize("wanted", ["auto", 2, 3])
def test_outputs_have_the_format_asked_for_else_that_of_the_data(
    tmp_path, clusters, stored, wanted
):
    X = clusters[0].copy()
    X[5] = np.nan
    data = write_zarr(tmp_path / "rows.zarr", X, zarr_format=stored)
    output = {"zarr_format": wanted, "anomaly_quantile": 0.02, "responsibilities": True}
    sections = {"data": {"missing": "drop"}, "output": output}
    result = run_job(job(data, tmp_path / "run", **sections), QUIET)
    group = result.directory / "outputs.zarr"
    found = 3 if (group / "zarr.json").exists() else 2
    assert found == (stored if wanted == "auto" else wanted)
    plain = job(data, tmp_path / "plain", **sections | {"output": output | {"zarr_format": 3}})
    expected = record(run_job(plain, QUIET))["outputs"]
    told = record(result)["outputs"]
    assert {n: told[n]["sha256"] for n in told} == {n: expected[n]["sha256"] for n in expected}
    with xr.open_zarr(group) as outputs, xr.open_zarr(tmp_path / "plain/outputs.zarr") as others:
        xr.testing.assert_identical(outputs.load(), others.load())
        assert outputs["labels"].dtype == np.int32
        assert outputs["labels"].values[5] == -1
        for array in outputs.values():
            assert array.attrs["long_name"]
            assert array.attrs["units"] == "1"
        assert outputs["labels"].attrs["flag_values"] == [-1, 0, 1, 2]
        meanings = outputs["labels"].attrs["flag_meanings"]
        assert meanings.split() == ["row_left_out", "component_0", "component_1", "component_2"]
        assert outputs["anomaly"].attrs["flag_meanings"] == "row_left_out no_anomaly anomaly"
    model = {"path": str(result.directory / "model")}
    again = predict_job(job(data, tmp_path / "again", **sections | {"model": model}), QUIET)
    predicted = record(again)["outputs"]
    assert predicted["labels"]["sha256"] == told["labels"]["sha256"]
    assert (again.directory / "outputs.zarr/.zgroup").exists() == (found == 2)


def test_another_format_of_the_outputs_is_another_job(tmp_path, data):
    run_job(job(data, tmp_path / "run"), QUIET)
    assert run_job(job(data, tmp_path / "run"), QUIET).exit_code == 0
    with pytest.raises(OutputExistsError, match=r"outputs\.zarr_format is 3 there, 2 here"):
        run_job(job(data, tmp_path / "run", output={"zarr_format": 2}), QUIET)


@pytest.mark.parametrize("stored", [2, 3])
def test_the_format_that_auto_comes_to_is_the_same_job_when_it_is_asked_for(
    tmp_path, clusters, stored
):
    data = write_zarr(tmp_path / "rows.zarr", clusters[0], zarr_format=stored)
    path = tmp_path / "run"
    auto, asked = job(data, path), job(data, path, output={"zarr_format": stored})
    result = run_job(auto, QUIET)
    assert record(result)["job_identity"]["outputs"]["zarr_format"] == stored
    assert run_job(asked, QUIET).was_finished
    found = json.loads((path / "run.json").read_text())
    del found["job_identity"]["outputs"]["zarr_format"]  # as runs were recorded before
    (path / "run.json").write_text(json.dumps(found))
    assert run_job(asked, QUIET).was_finished
    assert run_job(auto, QUIET).was_finished
    with pytest.raises(OutputExistsError, match=f"is {stored} there, {5 - stored} here"):
        run_job(job(data, path, output={"zarr_format": 5 - stored}), QUIET)


def test_a_finished_job_where_nothing_can_be_written_is_finished(tmp_path, data, monkeypatch):
    path = tmp_path / "run"
    run_job(job(data, path), QUIET)
    (path / "lock").unlink()
    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # root may write to any directory
    again = run_job(job(data, path, output={"report": True}), QUIET)
    assert again.was_finished
    assert "finished before" in again.message
    assert not any((path / name).exists() for name in ("lock", "report.html"))
    with pytest.raises(OutputExistsError, match="seed is 0 there, 6 here"):
        run_job(job(data, path, seed=6), QUIET)


def test_a_key_that_one_of_two_jobs_lacks_is_called_absent():
    there, here = {"model": {"tol": 0.5}, "seed": 9}, {"model": {"tol": 0.5, "n_init": "absent"}}
    assert difference(there, here) == (
        "model.n_init is absent there, 'absent' here; seed is 9 there, absent here"
    )


def test_labels_of_very_many_components_are_not_listed_one_by_one():
    attributes = ROW_OUTPUTS["labels"].attributes(257)
    assert attributes["flag_values"] == [-1]
    assert len(ROW_OUTPUTS["labels"].attributes(256)["flag_meanings"].split()) == 257


@pytest.mark.parametrize(("fill", "n_told"), [(-9999.0, 37), (0.0, 0)])
def test_a_prediction_counts_rows_with_the_arrays_own_fill_value(tmp_path, clusters, fill, n_told):
    X = clusters[0][:2000]
    fitted = run_job(job(write_zarr(tmp_path / "a.zarr", X), tmp_path / "run"), QUIET)
    gaps = X.copy()
    gaps[100:137, 1] = fill
    gaps[120:130, 2] = fill
    path = tmp_path / "gaps.zarr"
    zarr.create_array(str(path), data=gaps, chunks=(300, 3), fill_value=fill)
    again = predict_job(
        job(path, tmp_path / "again", model={"path": str(fitted.directory / "model")}), QUIET
    )
    warned = [text for text in record(again)["warnings"] if "own fill value" in text]
    assert len(warned) == (n_told > 0)
    assert all(text.startswith(f"{n_told} of 2,000 rows have cells equal") for text in warned)
    model = load_model(fitted.directory / "model")
    mixture = GaussianMixture.from_model(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mixture.predict(str(path))
    assert sum("own fill value" in str(one.message) for one in caught) == (n_told > 0)


def test_cells_that_xarray_reads_as_missing_are_dropped_or_refused(tmp_path, clusters):
    X = clusters[0][:2000]
    fitted = run_job(job(write_zarr(tmp_path / "a.zarr", X), tmp_path / "run"), QUIET)
    gaps = X.copy()
    gaps[700:703, 0] = 0.0
    path = tmp_path / "gaps.zarr"
    dataset = xr.Dataset({"X": (("row", "feature"), gaps)})
    dataset.to_zarr(path, zarr_format=2, encoding={"X": {"_FillValue": 0.0, "chunks": (500, 3)}})
    saved, array = {"path": str(fitted.directory / "model")}, {"array": "X"}
    with pytest.raises(DataError, match=r"^3 of 2000 rows .*, the first in chunk 1\.0, row 700"):
        predict_job(job(path, tmp_path / "again", model=saved, data=array), QUIET)
    dropping = job(path, tmp_path / "third", model=saved, data=array | {"missing": "drop"})
    result = predict_job(dropping, QUIET)
    labels = xr.open_zarr(result.directory / "outputs.zarr")["labels"].values
    assert np.flatnonzero(labels == -1).tolist() == [700, 701, 702]


@pytest.mark.parametrize("n_init", [1, 2])
def test_metrics_begin_with_every_start_that_was_tried(tmp_path, clusters, n_init):
    path = write_zarr(tmp_path / "a.zarr", clusters[0][:3000])
    result = run_job(job(path, tmp_path / "run", model={"n_init": n_init}), QUIET)
    with (result.directory / "metrics.csv").open() as file:
        lines = list(csv.DictReader(file))
    tried = lines[: n_init * AUTO_STARTS]
    told = record(result)["starts"]
    assert [(line["iteration"], line["step"]) for line in tried] == [("0", "tried")] * len(told)
    assert "0" not in {line["iteration"] for line in lines[len(tried) :]}
    for line, start in zip(tried, told, strict=True):
        assert line["start"] == f"{start['metric']} {start['number']}"
        assert int(line["restart"]) == start["restart"]
        assert float(line["mean_log_likelihood"]) == start["mean_log_likelihood"]
        assert int(line["rows"]) == start["n_rows"]


def test_a_prediction_counts_rows_whose_density_underflows(tmp_path, clusters):
    X = clusters[0][:2000]
    fitted = run_job(job(write_zarr(tmp_path / "a.zarr", X), tmp_path / "run"), QUIET)
    far = X.copy()
    far[[5, 900, 1700]] = 1e200
    path = write_zarr(tmp_path / "far.zarr", far)
    saved = {"path": str(fitted.directory / "model")}
    told = record(predict_job(job(path, tmp_path / "again", model=saved), QUIET))
    assert told["rows_underflowed"] == 3
    assert any(text.startswith("3 rows lie so far out") for text in told["warnings"])
