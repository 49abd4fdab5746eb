"""What an earlier version left can be gone on with, read, reported and predicted with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from golden.bits_environment import differences, environment
from golden.old_runs import HERE, placed
from golden.whole_jobs import dgmm, record_of, stored_arrays, stored_digests

from dgmm import load_model

FINISHED = HERE / "old_finished"
MADE_IN = json.loads((HERE / "old_job" / "environment.json").read_text(encoding="utf-8"))
#: Iterations of EM that were kept before the kill.
KEPT = 11


def files(folder: Path) -> dict[str, str]:
    """The digest of every file but locks, by its name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("lock")
    }


def kept_metrics(run: Path) -> list[str]:
    """The lines of metrics.csv of iterations that were kept, seconds and all."""
    lines = (run / "metrics.csv").read_text(encoding="utf-8").splitlines()[1:]
    return [line for line in lines if int(line.split(",")[0]) <= KEPT]


@pytest.mark.parametrize("begun_with", ["the recorded NumPy", "another NumPy"])
def test_a_killed_run_goes_on_to_the_bits_of_the_undisturbed_one(
    tmp_path: Path, begun_with: str
) -> None:
    run = placed("old_run", tmp_path)
    record = record_of(run)
    if begun_with == "another NumPy":
        record["environment"]["driver"]["numpy"] = "2.0.0"
        (run / "run.json").write_text(json.dumps(record), encoding="utf-8")
    before, metrics = files(run), kept_metrics(run)

    ended = dgmm(tmp_path, "run", "--quiet", "job.yaml")
    if begun_with == "another NumPy":
        assert (ended.returncode, "numpy is '2.0.0' there" in ended.stderr) == (73, True)
    if ended.returncode == 73:  # other versions or another processor here: by contract
        assert "--accept-versions" in ended.stderr
        assert files(run) == before
        ended = dgmm(tmp_path, "run", "--quiet", "--accept-versions", "job.yaml")
    assert ended.returncode == 0, ended.stderr

    record, undisturbed = record_of(run), record_of(FINISHED)
    assert (record["status"], len(record["attempts"])) == ("done", 1)
    assert kept_metrics(run) == metrics
    assert record["n_iter"] > KEPT
    assert record["log_likelihood"] == pytest.approx(undisturbed["log_likelihood"], rel=1e-9)
    if not differences(MADE_IN, environment()):
        assert stored_digests(run) == stored_digests(FINISHED)


def test_a_finished_run_is_finished_and_stays_as_it_is(tmp_path: Path) -> None:
    run = placed("old_finished", tmp_path)
    before = files(tmp_path)
    ended = dgmm(tmp_path, "run", "--quiet", "job.yaml")
    assert (ended.returncode, "finished before" in ended.stderr) == (0, True), ended.stderr
    assert dgmm(tmp_path, "run", "--exit-skip", "job.yaml").returncode == 99
    assert files(tmp_path) == before
    assert stored_digests(run) == stored_digests(FINISHED)


def test_the_report_of_a_finished_run_is_written_anew(tmp_path: Path) -> None:
    run = placed("old_finished", tmp_path)
    ended = dgmm(tmp_path, "report", "run")
    assert ended.returncode == 0, ended.stderr
    assert f"{record_of(run)['mean_log_likelihood']:.3f}" in (run / "report.html").read_text(
        encoding="utf-8"
    )


def test_the_model_of_a_finished_run_labels_rows_as_it_did(tmp_path: Path) -> None:
    run = placed("old_finished", tmp_path)
    stored = stored_arrays(run)
    X = np.asarray(zarr.open_array(str(tmp_path / "rows.zarr"), mode="r")[...])
    complete = np.isfinite(X).all(axis=1)
    np.testing.assert_array_equal(
        load_model(run).predict(X[complete]), stored["outputs/labels"][complete]
    )
    assert not complete.all()
    assert (stored["outputs/labels"][~complete] == -1).all()


def test_predict_with_the_model_of_a_finished_run_writes_its_outputs(tmp_path: Path) -> None:
    run = placed("old_finished", tmp_path)
    job = {
        "data": {"path": "rows.zarr", "missing": "drop"},
        "model": {"path": "run/model"},
        "cluster": {"kind": "threads", "n_workers": 1},
        "output": {"path": "predicted", "responsibilities": True, "report": False},
    }
    (tmp_path / "predict.yaml").write_text(json.dumps(job), encoding="utf-8")
    ended = dgmm(tmp_path, "predict", "--quiet", "predict.yaml")
    assert ended.returncode == 0, ended.stderr
    due, made = stored_arrays(run), stored_arrays(tmp_path / "predicted")
    assert made.keys() == due.keys()
    for name, array in due.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(made[name], array, rtol=1e-6, atol=1e-6)
        else:
            np.testing.assert_array_equal(made[name], array)
