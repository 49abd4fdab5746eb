"""A finished run that lacks something is refused or completed; nothing is removed or refitted."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clusters import gaussian_clusters, job, write_zarr

from dgmm.cli.entry_point import run
from dgmm.config import Job
from dgmm.errors import DataError, JobFileError, OutputExistsError, UnavailableError
from dgmm.events import SilentListener
from dgmm.job import fit_job, predict_job, rebuilding, run_job
from dgmm.model.model_files import load_model

QUIET = SilentListener()
WANTED = {"anomaly_quantile": 0.02, "responsibilities": True}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = gaussian_clusters(3000, 3, 2, spread=2.0)[0]
    return write_zarr(tmp_path_factory.mktemp("data") / "rows.zarr", rows)


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("finished") / "run"
    assert run_job(wanted(data, directory), QUIET).exit_code == 0
    return directory


@pytest.fixture
def directory(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def wanted(data: Path, directory: Path, **model: Any) -> Job:
    return job(data, directory, model={"n_components": 2} | model, output=WANTED)


def record(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "run.json").read_text(encoding="utf-8"))


def tree(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("lock"))
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _cut(path: Path) -> None:
    file = max((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    os.truncate(file, file.stat().st_size // 2)


MISSING: dict[str, tuple[Callable[[Path], object], str]] = {
    "outputs": (lambda run: (run / "outputs.zarr").rename(run.parent / "moved"), "outputs.zarr/"),
    "one array": (lambda run: shutil.rmtree(run / "outputs.zarr/labels"), "outputs.zarr/labels."),
    "half an array": (lambda run: _cut(run / "outputs.zarr/log_density"), "log_density (has "),
    "model": (lambda run: (run / "model").rename(run.parent / "moved"), "model/model.json"),
    "arrays of the model": (lambda run: (run / "model/arrays.npz").unlink(), "model/arrays.npz"),
}


@pytest.mark.parametrize("what", MISSING)
def test_a_finished_run_that_lacks_something_is_refused_and_stays_as_it_is(
    data: Path, directory: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    remove, named = MISSING[what]
    remove(directory)
    before = tree(directory.parent)
    file = directory.parent / "job.json"
    file.write_text(json.dumps(wanted(data, directory).resolved()))
    assert run(["run", "--quiet", str(file)]) == 73
    said = capsys.readouterr().err
    assert f"lacks {named}" in said or named in said
    assert "--rebuild-outputs" in said
    file.unlink()
    assert tree(directory.parent) == before


@pytest.mark.parametrize("what", ["outputs", "one array", "half an array"])
def test_outputs_are_written_again_from_the_model_with_the_same_values(
    data: Path, directory: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_job, "fit", None)  # nothing is fitted
    before, model = record(directory), tree(directory / "model")
    MISSING[what][0](directory)
    left = tree(directory / "outputs.zarr") if what != "outputs" else {}
    result = run_job(wanted(data, directory), QUIET, rebuild=True)
    assert (result.exit_code, result.outcome) == (0, "CONVERGED")
    told = record(directory)
    assert told["outputs"] == before["outputs"]
    assert told["anomaly"] == before["anomaly"]
    assert any("outputs.zarr was written again from the model" in t for t in told["warnings"])
    assert tree(directory / "model") == model
    assert not list(directory.glob("checkpoint*"))
    aside = directory / "outputs.zarr.replaced-1"
    assert (tree(aside) if aside.exists() else {}) == left
    assert run_job(wanted(data, directory), QUIET).was_finished


def test_nothing_is_written_again_where_nothing_is_missing(data: Path, directory: Path) -> None:
    before = tree(directory)
    assert run_job(wanted(data, directory), QUIET, rebuild=True).was_finished
    assert tree(directory) == before


@pytest.mark.parametrize("how", ["absent", "damaged"])
def test_outputs_are_not_written_again_without_a_sound_model(
    data: Path, directory: Path, how: str
) -> None:
    shutil.rmtree(directory / "outputs.zarr/labels")
    arrays = directory / "model" / "arrays.npz"
    os.truncate(arrays, 100) if how == "damaged" else arrays.unlink()
    before = tree(directory / "outputs.zarr")
    with pytest.raises(OutputExistsError, match=r"cannot be written again: .*Put model/ back"):
        run_job(wanted(data, directory), QUIET, rebuild=True)
    assert tree(directory / "outputs.zarr") == before
    assert record(directory)["status"] == "done"


def test_a_model_is_saved_again_from_the_state_that_it_was_made_from(
    data: Path, tmp_path: Path
) -> None:
    stopped = wanted(data, tmp_path / "run", max_iter=1, tol=0)
    run_job(stopped, QUIET)
    model, told = tree(tmp_path / "run" / "model"), record(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    with pytest.raises(OutputExistsError, match=r"lacks model/model\.json"):
        run_job(stopped, QUIET)
    assert run_job(stopped, QUIET, rebuild=True).exit_code == 0
    assert tree(tmp_path / "run" / "model") == model
    assert record(tmp_path / "run")["outputs"] == told["outputs"]


@pytest.mark.parametrize("how", ["empty", "damaged"])
def test_a_model_is_not_fitted_anew_where_no_state_of_em_is_whole(
    data: Path, tmp_path: Path, how: str
) -> None:
    stopped = wanted(data, tmp_path / "run", max_iter=1, tol=0)
    run_job(stopped, QUIET)
    shutil.rmtree(tmp_path / "run" / "model")
    for file in (tmp_path / "run" / "checkpoint").glob("em*" if how == "damaged" else "*"):
        os.truncate(file, 100) if how == "damaged" else file.unlink()
    before = tree(tmp_path / "run")
    with pytest.raises(OutputExistsError, match=r"cannot be written again: .*Put model/ back"):
        run_job(stopped, QUIET, rebuild=True)
    assert tree(tmp_path / "run") == before


def test_outputs_that_lack_rows_are_written_again_with_the_model(
    data: Path, tmp_path: Path
) -> None:
    stopped = wanted(data, tmp_path / "run", max_iter=1, tol=0)
    run_job(stopped, QUIET)
    told, outputs = record(tmp_path / "run"), tree(tmp_path / "run" / "outputs.zarr")
    shutil.rmtree(tmp_path / "run" / "model")
    (tmp_path / "run" / "outputs.zarr/labels/c/0").unlink()
    left = tree(tmp_path / "run" / "outputs.zarr")
    assert run_job(stopped, QUIET, rebuild=True).exit_code == 0
    assert tree(tmp_path / "run" / "outputs.zarr") == outputs
    assert tree(tmp_path / "run" / "outputs.zarr.replaced-1") == left
    assert record(tmp_path / "run")["outputs"] == told["outputs"]


def test_a_prediction_is_written_again(data: Path, finished: Path, tmp_path: Path) -> None:
    asked = job(data, tmp_path / "run", model={"path": str(finished / "model")})
    predict_job(asked, QUIET)
    before = record(tmp_path / "run")["outputs"]
    shutil.rmtree(tmp_path / "run" / "outputs.zarr")
    shutil.rmtree(tmp_path / "run" / "model")
    with pytest.raises(OutputExistsError, match=r"lacks model/model\.json.*outputs\.zarr/labels"):
        predict_job(asked, QUIET)
    assert predict_job(asked, QUIET, rebuild=True).outcome == "PREDICTED"
    assert record(tmp_path / "run")["outputs"] == before
    assert load_model(tmp_path / "run").n_components == 2


def test_only_the_model_of_a_prediction_is_saved_again(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = job(data, tmp_path / "run", model={"path": str(finished / "model")})
    predict_job(asked, QUIET)
    before, model = tree(tmp_path / "run/outputs.zarr"), tree(tmp_path / "run/model")
    shutil.rmtree(tmp_path / "run" / "model")
    monkeypatch.setattr(rebuilding, "OutputStage", None)  # nothing is scored
    assert predict_job(asked, QUIET, rebuild=True).message == "model was saved again"
    assert tree(tmp_path / "run/outputs.zarr") == before
    assert tree(tmp_path / "run/model") == model
    assert not (tmp_path / "run/outputs.zarr.replaced-1").exists()
    assert predict_job(asked, QUIET).was_finished


@pytest.mark.parametrize(
    ("recorded", "kept", "named"),
    [
        (("model_sha256",), (), "its sha256 is"),
        ((), ("zarr.json",), "its digest in outputs.zarr is"),
        (("label_counts",), (), "its number of labels is 3, that of the run 2"),
    ],
)
def test_outputs_are_not_written_again_from_the_model_of_another_run(
    data: Path, directory: Path, recorded: tuple[str, ...], kept: tuple[str, ...], named: str
) -> None:
    run_job(wanted(data, directory.parent / "other", n_components=3), QUIET)
    shutil.rmtree(directory / "model")
    shutil.copytree(directory.parent / "other" / "model", directory / "model")
    for path in (directory / "outputs.zarr").iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    told = record(directory)
    for key in {"model_sha256", "label_counts"} - set(recorded):
        del told[key]  # as in records of earlier versions
    (directory / "run.json").write_text(json.dumps(told))
    with pytest.raises(OutputExistsError, match=rf"is not the model .*: {named}") as refused:
        run_job(wanted(data, directory), QUIET, rebuild=True)
    assert refused.value.exit_code == 73
    assert not (directory / "outputs.zarr.replaced-1").exists()
    assert record(directory) == told


def test_outputs_of_a_package_that_is_gone_are_not_left_out(data: Path, directory: Path) -> None:
    shutil.rmtree(directory / "outputs.zarr" / "labels")
    told = record(directory)
    told["outputs"]["surprisal"] = told["outputs"]["log_density"]
    (directory / "run.json").write_text(json.dumps(told))
    before = tree(directory / "outputs.zarr")
    with pytest.raises(UnavailableError, match=r"the run has written surprisal, which no package"):
        run_job(wanted(data, directory), QUIET, rebuild=True)
    assert tree(directory / "outputs.zarr") == before
    assert record(directory) == told


def test_an_absent_log_is_said(data: Path, directory: Path) -> None:
    class Hearing(SilentListener):
        def warning(self, text: str) -> None:
            said.append(text)

    said: list[str] = []
    (directory / "metrics.csv").unlink()
    assert run_job(wanted(data, directory), Hearing()).was_finished
    assert said == [f"{directory} lacks metrics.csv, which cannot be written again"]


def test_a_run_without_a_state_does_not_start_over_results(data: Path, directory: Path) -> None:
    told = record(directory) | {"status": "stopped"}
    (directory / "run.json").write_text(json.dumps(told))
    before = tree(directory)
    with pytest.raises(OutputExistsError, match=r"holds model, outputs\.zarr and no state"):
        run_job(wanted(data, directory), QUIET)
    assert tree(directory) == before


def test_files_of_others_stay_where_a_run_starts_over(data: Path, tmp_path: Path) -> None:
    absent = wanted(tmp_path / "rows.zarr", tmp_path / "run")
    with pytest.raises(DataError):
        run_job(absent, QUIET)
    for name in (".notes.tmp", "report/mine.txt"):
        (tmp_path / "run" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / name).write_text("mine")
    shutil.copytree(data, tmp_path / "rows.zarr")
    assert run_job(absent, QUIET).exit_code == 0
    for name in (".notes.tmp", "report/mine.txt"):
        assert (tmp_path / "run" / name).read_text() == "mine"


def test_a_run_whose_state_was_lost_starts_over_and_keeps_what_it_had_recorded(
    data: Path, tmp_path: Path
) -> None:
    class Stopping(SilentListener):
        def iteration(self, record: Any) -> None:
            raise KeyboardInterrupt

    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run_job(wanted(data, run), Stopping())
    metrics, events = ((run / n).read_text() for n in ("metrics.csv", "events.jsonl"))
    shutil.rmtree(run / "checkpoint")
    assert run_job(wanted(data, run), QUIET).exit_code == 0
    assert (run / "metrics.csv.replaced-1").read_text() == metrics
    assert (run / "events.jsonl").read_text().startswith(events)
    assert [a["status"] for a in record(run)["attempts"]] == ["stopped"]
    assert any("no checkpoint/ to resume from" in text for text in record(run)["warnings"])


def test_a_rebuild_beyond_memory_is_refused_before_anything_is_moved(
    data: Path, directory: Path
) -> None:
    shutil.rmtree(directory / "outputs.zarr" / "labels")
    before = tree(directory)
    cluster = {"kind": "threads", "n_workers": 1, "memory_limit": "64MB"}
    small = job(data, directory, model={"n_components": 2}, output=WANTED, cluster=cluster)
    with pytest.raises(JobFileError, match="does not fit into memory"):
        run_job(small, QUIET, rebuild=True)
    assert tree(directory) == before
