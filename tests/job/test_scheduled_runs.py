"""Scheduled runs: the job file of nights, kills in the drift pass, weights and missing values."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from clusters import gaussian_clusters, job, write_zarr

from dgmm.cli.entry_point import run
from dgmm.errors import DataError, InputNotFoundError, OutputExistsError
from dgmm.events import SilentListener
from dgmm.job import RunResult, run_job
from dgmm.job import fit_job as fitting
from dgmm.model.model_files import load_model, save_model

QUIET = SilentListener()
PROJECT = Path(__file__).resolve().parents[2]
KILLED_RUN = PROJECT / "tests" / "killed_run.py"


def record(path: Path) -> dict[str, Any]:
    return json.loads((path / "run.json").read_text("utf-8"))


def test_three_nights_of_the_job_file_end_with_0_0_and_20(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "nightly").mkdir(parents=True)
    words = ["--quiet", "--set", "cluster.kind=threads", "--set", "output.report=false"]

    def night(number: int, moved: float) -> int:
        X, y = gaussian_clusters(5000, 3, 3, seed=number)
        X[y == 1, 0] += moved
        path = tmp_path / "data" / "nightly" / f"2026-01-0{number}.zarr"
        if not path.exists():
            write_zarr(path, X)
        monkeypatch.setenv("NIGHT", f"2026-01-0{number}")
        return run(["run", str(PROJECT / "config" / "nightly.yaml"), *words])

    assert [night(1, 0.0), night(2, 0.0), night(3, 0.5)] == [0, 0, 20]
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("done: converged after")
    assert "is at a Hellinger distance of" in last
    assert night(3, 0.5) == 20  # finished, and the same end
    starts = [record(tmp_path / "runs/nightly" / f"2026-01-0{i}")["restarts"] for i in (1, 2)]
    assert [one[0]["start"].split()[0] == "given" for one in starts] == [False, True]


# --- a run that is killed


def second(folder: Path, data: Path, n_workers: int = 2) -> tuple[dict[str, Any], Path]:
    """The second of two runs: its sections, and where its job file lies."""
    sections = {
        "data": {"path": str(data)},
        "model": {"n_components": 3, "max_iter": 3, "tol": 0.0},
        "cluster": {"kind": "threads", "n_workers": n_workers},
        "initialisation": {"model": "last"},
        "monitor": {"against": "last", "on_drift": "error"},
        "output": {"path": str(folder / "runs" / "second"), "report": False},
        "checkpoint": {"every_s": 1e-6},
        "on_not_converged": "ignore",
    }
    path = folder / "second.yaml"
    path.write_text(json.dumps(sections))
    return sections, path


def in_a_folder_of_its_own(first: Path, folder: Path) -> Path:
    shutil.copytree(first, folder / "runs" / "first")
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process")
def test_a_run_killed_in_the_drift_pass_goes_on_with_its_bits_and_its_earlier_run(
    tmp_path: Path,
) -> None:
    """On other chunks, with other threads, and though another run has finished meanwhile."""
    X = gaussian_clusters(36_000, 32, 3)[0]  # 5 blocks
    Y = gaussian_clusters(36_000, 32, 3, seed=1)[0] + 0.2
    write_zarr(tmp_path / "x.zarr", X)
    data = write_zarr(tmp_path / "y.zarr", Y)
    first = tmp_path / "first"
    quick = {"initialisation": {"n_sample_starts": 1, "sample_rows": 2000}}
    quick |= {"model": {"max_iter": 2}, "output": {"anomaly_quantile": 0.01}}
    run_job(job(tmp_path / "x.zarr", first, **quick), QUIET)
    once = in_a_folder_of_its_own(first, tmp_path / "once")
    again = in_a_folder_of_its_own(first, tmp_path / "again")
    other_chunks = write_zarr(tmp_path / "other.zarr", Y, chunks=(999, 32))
    whole = run(["run", "--quiet", str(second(once, other_chunks, n_workers=1)[1])])
    _, path = second(again, data)
    words = [sys.executable, str(KILLED_RUN), "inside the drift pass", "4", str(path)]
    done = subprocess.run(words, env=os.environ, capture_output=True, timeout=300, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not record(again / "runs" / "second").get("drift")
    newer = again / "runs" / "newer"
    shutil.copytree(again / "runs" / "first", newer)
    (newer / "run.json").write_text(json.dumps(record(newer) | {"ended": "2999-01-01T00:00:00"}))
    assert run(["run", "--quiet", str(path)]) == whole == 20
    found, expected = record(again / "runs" / "second"), record(once / "runs" / "second")
    assert found["drift"]["against"] == str(again / "runs" / "first")
    for key in ("components", "anomalies", "rows", "fitted_rows"):
        assert found["drift"][key] == expected["drift"][key]
    one, two = (f / "runs" / "second" / "model" / "arrays.npz" for f in (once, again))
    assert one.read_bytes() == two.read_bytes()


def test_a_replaced_earlier_model_is_refused_when_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_zarr(tmp_path / "x.zarr", gaussian_clusters(2000, 2, 3)[0])
    first = tmp_path / "runs" / "first"
    run_job(job(data, first), QUIET)
    how = {"monitor": {"against": "last"}, "initialisation": {"model": "last"}}

    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fitting, "_scored", killed)
        with pytest.raises(KeyboardInterrupt):
            run_job(job(data, tmp_path / "runs" / "second", **how), QUIET)
    model = load_model(first)
    save_model(model.with_threshold(-5.0, 0.1), first / "model")
    with pytest.raises(OutputExistsError, match="another than the one that this run began with"):
        run_job(job(data, tmp_path / "runs" / "second", **how), QUIET)
    save_model(model, first / "model")
    assert run_job(job(data, tmp_path / "runs" / "second", **how), QUIET).exit_code == 0


def test_a_finished_run_needs_its_earlier_run_no_more(tmp_path: Path) -> None:
    data = write_zarr(tmp_path / "x.zarr", gaussian_clusters(2000, 2, 3)[0])
    moved = write_zarr(tmp_path / "y.zarr", gaussian_clusters(2000, 2, 3)[0] + 1.0)
    run_job(job(data, tmp_path / "runs" / "first"), QUIET)
    how = {
        "monitor": {"against": "last", "on_drift": "error"},
        "initialisation": {"model": "last"},
    }

    def once() -> RunResult:
        return run_job(job(moved, tmp_path / "runs" / "second", **how), QUIET)

    assert once().exit_code == 20
    model = load_model(tmp_path / "runs" / "first")
    save_model(model.with_threshold(-5.0, 0.1), tmp_path / "runs" / "first" / "model")
    again = once()  # another model lies there
    assert (again.exit_code, again.was_finished) == (20, True)
    shutil.rmtree(tmp_path / "runs" / "first")
    again = once()
    assert (again.exit_code, again.was_finished) == (20, True)
    assert "nothing to do; drift: component " in again.message


@pytest.mark.parametrize("asked", ["monitor", "initialisation", "both"])
def test_a_finished_run_does_not_need_the_path_of_an_earlier_model(
    tmp_path: Path, asked: str
) -> None:
    data = write_zarr(tmp_path / "x.zarr", gaussian_clusters(2000, 2, 3)[0])
    first, second = tmp_path / "first", tmp_path / "second"
    run_job(job(data, first), QUIET)
    how: dict[str, Any] = {"monitor": {"against": str(first)}}
    if asked != "monitor":
        how |= {"initialisation": {"model": str(first)}}
    if asked == "initialisation":
        del how["monitor"]
    assert not run_job(job(data, second, **how), QUIET).was_finished
    shutil.rmtree(first)
    again = run_job(job(data, second, **how), QUIET)
    assert (again.exit_code, again.was_finished) == (0, True)
    assert again.message.endswith("nothing to do")
    shutil.rmtree(second)
    with pytest.raises(InputNotFoundError):
        run_job(job(data, second, **how), QUIET)


def test_a_damaged_last_model_is_named_with_its_keys_and_the_remedy(tmp_path: Path) -> None:
    data = write_zarr(tmp_path / "x.zarr", gaussian_clusters(500, 2, 3)[0])
    first = tmp_path / "runs" / "first"
    run_job(job(data, first), QUIET)
    (first / "model" / "arrays.npz").write_bytes(b"damaged")
    how = {"monitor": {"against": "last"}, "initialisation": {"model": "last"}}
    said = "`last` stands in initialisation.model and monitor.against: .* move .*first elsewhere"
    with pytest.raises(DataError, match=said):
        run_job(job(data, tmp_path / "runs" / "second", **how), QUIET)
    first.rename(tmp_path / "aside")
    assert run_job(job(data, tmp_path / "runs" / "second", **how), QUIET).exit_code == 0


# --- weights, missing values, regularisation


def test_weights_that_are_counts_are_rows(tmp_path: Path) -> None:
    X = gaussian_clusters(4000, 2, 3)[0]
    counts = np.random.default_rng(0).integers(0, 4, size=len(X)).astype(float)
    copies = np.repeat(X, counts.astype(int), axis=0)
    zarr.save_array(str(tmp_path / "w.zarr"), counts)
    first = {"model": {"n_components": 3}}
    run_job(job(write_zarr(tmp_path / "x.zarr", X), tmp_path / "first", **first), QUIET)
    how = {"monitor": {"against": str(tmp_path / "first")}}
    weights = {"data": {"weights": {"array": "w.zarr", "kind": "counts"}}}
    run_job(job(tmp_path / "x.zarr", tmp_path / "counts", **how, **weights), QUIET)
    run_job(job(write_zarr(tmp_path / "c.zarr", copies), tmp_path / "copies", **how), QUIET)
    found, expected = (record(tmp_path / name)["drift"] for name in ("counts", "copies"))
    assert found["rows"] == expected["rows"] == counts.sum()
    for one, other in zip(found["components"], expected["components"], strict=True):
        assert one["shift"] == pytest.approx(other["shift"], rel=1e-6)
        assert one["significance"] == pytest.approx(other["significance"], rel=1e-6)


def test_importance_weights_are_worth_fewer_rows(tmp_path: Path) -> None:
    X = gaussian_clusters(4000, 2, 3)[0]
    weights = np.random.default_rng(0).uniform(0.1, 1.0, size=len(X))
    zarr.save_array(str(tmp_path / "w.zarr"), weights)
    run_job(job(write_zarr(tmp_path / "x.zarr", X), tmp_path / "first"), QUIET)
    how = {"monitor": {"against": str(tmp_path / "first")}}
    how["data"] = {"weights": {"array": "w.zarr", "kind": "importance"}}
    run_job(job(tmp_path / "x.zarr", tmp_path / "second", **how), QUIET)
    n_eff = weights.sum() ** 2 / (weights**2).sum()
    assert record(tmp_path / "second")["drift"]["rows"] == pytest.approx(n_eff)
    # and so the model that is compared with next
    how["monitor"] = {"against": str(tmp_path / "second")}
    run_job(job(tmp_path / "x.zarr", tmp_path / "third", **how), QUIET)
    assert record(tmp_path / "third")["drift"]["fitted_rows"] == pytest.approx(n_eff)


def test_rows_that_lack_values_are_compared_by_what_they_have(tmp_path: Path) -> None:
    X = gaussian_clusters(3000, 2, 3)[0]
    run_job(job(write_zarr(tmp_path / "x.zarr", X), tmp_path / "first"), QUIET)
    X = gaussian_clusters(3000, 2, 3, seed=1)[0]
    X[np.random.default_rng(2).uniform(size=X.shape) < 0.2] = np.nan
    how = {"monitor": {"against": str(tmp_path / "first")}, "data": {"missing": "marginalise"}}
    run_job(job(write_zarr(tmp_path / "y.zarr", X), tmp_path / "second", **how), QUIET)
    found = record(tmp_path / "second")["drift"]
    assert found["alarms"] == []
    assert found["rows"] == np.isfinite(X).any(axis=1).sum()
    assert len(found["components"]) == 3
    assert found["labels"]["rows"] == found["rows"]
    counts = record(tmp_path / "second")["label_counts"]
    assert found["labels"]["second_rows"] == [counts[j] for j in found["labels"]["second"]]


def test_what_the_earlier_fit_added_to_variances_is_no_drift(tmp_path: Path) -> None:
    """Without it a component of variance 1 + 1 would seem to have shrunk to 1."""
    how: dict[str, Any] = {"model": {"n_components": 3, "reg_covar": 1.0}}
    for name, seed in (("first", 0), ("second", 1)):
        data = write_zarr(tmp_path / f"{name}.zarr", gaussian_clusters(6000, 2, 3, seed=seed)[0])
        run_job(job(data, tmp_path / "runs" / name, **how), QUIET)
        how["monitor"] = {"against": "last"}
    found = record(tmp_path / "runs" / "second")["drift"]
    assert max(c["hellinger"] for c in found["components"]) < 0.06
