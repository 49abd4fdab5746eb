"""A run whose directory is removed, moved or replaced writes nothing to what is there then."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from clusters import gaussian_clusters, job, write_zarr

from dgmm.checkpoint.run_state import RunState
from dgmm.cli.entry_point import run
from dgmm.data.zarr.output_array import OutputArray
from dgmm.data.zarr.output_store import create_array, create_outputs
from dgmm.errors import OutputFailedError
from dgmm.events import SilentListener
from dgmm.fitting.em.data_pass import EStepTask
from dgmm.job import fit_job as fitting
from dgmm.job import lifecycle, lock, output_stage, run_job, stages
from dgmm.runtime import stop_flag as stopping

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = gaussian_clusters(4000, 3, 2, spread=2.0)[0]
    return write_zarr(tmp_path_factory.mktemp("data") / "rows.zarr", rows)


def job_file(folder: Path, data: Path, *, k: int = 2, report: bool = False) -> Path:
    """A job whose run directory is `run` beside it."""
    path = folder / f"job-{k}.yaml"
    output = {"path": str(folder / "run"), "anomaly_quantile": 0.02, "report": report}
    tree = {
        "data": {"path": str(data)},
        "model": {"n_components": k, "max_iter": 3},
        "initialisation": {"n_sample_starts": 1},
        "cluster": {"kind": "threads", "n_workers": 1},
        "output": output,
    }
    path.write_text(json.dumps(tree))
    return path


def tree(folder: Path) -> dict[str, str]:
    """Every file and what is in it."""
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def successor(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of another run, which is at work: its outputs are not published yet."""
    folder = tmp_path_factory.mktemp("successor")
    assert run(["run", "--quiet", str(job_file(folder, data, k=3))]) == 0
    directory = folder / "run"
    shutil.copytree(directory / "outputs.zarr", directory / "outputs.zarr.part")
    (directory / "outputs.zarr.part" / "run.sha256").write_text("another run")
    (directory / "checkpoint").mkdir(exist_ok=True)
    (directory / "checkpoint" / "em.7.checkpoint").write_bytes(b"state")
    return directory


def before(owner: object, name: str, change: Callable[[], None], nth: int = 1) -> Callable:
    """Make a function that changes something before its nth call."""
    function, calls = getattr(owner, name), []

    def changing(*arguments: object, **words: object) -> object:
        calls.append(name)
        if len(calls) == nth:
            change()
        return function(*arguments, **words)

    return changing


POINTS = {
    "in-the-first-pass": (EStepTask, "__call__"),
    "before-a-state-is-kept": (RunState, "save_em_state"),
    "before-the-model-is-saved": (fitting, "_save"),
    "between-outputs": (OutputArray, "write"),
    "before-outputs-are-synced": (OutputArray, "sync"),
    "before-outputs-are-published": (output_stage, "publish_outputs"),
    "before-the-sample-is-written": (fitting, "write_sample"),
    "before-the-report": (stages, "write_report"),
}


@pytest.mark.parametrize("how", ["removed", "moved", "replaced", "replaced-by-a-link", "emptied"])
@pytest.mark.parametrize("point", POINTS)
def test_nothing_is_written_to_what_took_the_place_of_the_directory(
    tmp_path: Path,
    data: Path,
    successor: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    point: str,
    how: str,
) -> None:
    directory = tmp_path / "run"

    def change() -> None:
        if how == "emptied":  # and taken by another run: it is the same folder
            for path in directory.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            shutil.copytree(successor, directory, dirs_exist_ok=True)
            return
        if how.startswith("replaced"):
            shutil.rmtree(directory)
        if how == "replaced-by-a-link":
            directory.symlink_to(successor)
        elif how == "replaced":
            shutil.copytree(successor, directory)
        else:
            directory.rename(tmp_path / "elsewhere")
            if how == "removed":
                shutil.rmtree(tmp_path / "elsewhere")

    owner, name = POINTS[point]
    monkeypatch.setattr(owner, name, before(owner, name, change))
    expected = tree(successor)
    is_report = point == "before-the-report"
    code = run(["run", "--quiet", str(job_file(tmp_path, data, report=is_report))])
    said = capsys.readouterr().err
    assert code == 74, said
    what = "removed" if how == "emptied" else "removed, moved"
    assert f"was {what} or replaced while the run worked" in said
    assert "Traceback" not in said
    assert tree(successor) == expected
    if how in {"replaced", "emptied"}:
        assert tree(directory) == expected
    elif how in {"removed", "moved"}:
        assert not directory.exists()


def test_a_run_notices_between_its_writes_that_its_directory_is_gone(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.05)

    def change() -> None:
        (tmp_path / "run").rename(tmp_path / "gone")  # at once: the signal may come any moment
        assert not threading.Event().wait(30)  # a long pass; the signal ends it

    monkeypatch.setattr(fitting, "note_fit", before(fitting, "note_fit", change))
    assert run(["run", "--quiet", str(job_file(tmp_path, data))]) == 74
    assert "was removed, moved or replaced" in capsys.readouterr().err


def test_a_run_from_python_ends_with_an_error_and_not_with_its_process(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.02)
    monkeypatch.setattr(stopping.signal, "getsignal", lambda _: signal.SIG_DFL)

    def change() -> None:
        (tmp_path / "run").rename(tmp_path / "gone")
        assert stopping.requested.wait(30)

    gone = before(EStepTask, "__call__", change, nth=2)
    monkeypatch.setattr(EStepTask, "__call__", gone)
    with pytest.raises(OutputFailedError, match="was removed, moved or replaced"):
        run_job(job(data, tmp_path / "run"), SilentListener())
    assert not stopping.requested.is_set()
    assert not (tmp_path / "run").exists()


def test_a_run_whose_lock_was_removed_stops(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone = before(fitting, "note_fit", (tmp_path / "run" / "lock").unlink)
    monkeypatch.setattr(fitting, "note_fit", gone)
    file = job_file(tmp_path, data)
    assert run(["run", "--quiet", str(file)]) == 74
    assert "lock was removed or replaced" in capsys.readouterr().err
    monkeypatch.undo()
    assert run(["run", "--quiet", str(file)]) == 0


@pytest.mark.parametrize("loss", ["moved", "taken over"])
def test_a_run_that_loses_its_directory_after_its_last_write_does_not_end_as_done(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    loss: str,
) -> None:
    other = lock.Holder("another-machine", 4711, "2026-11-21", "boot", 99, "their-token", 3)

    def change() -> None:
        if loss == "moved":
            (tmp_path / "run").rename(tmp_path / "elsewhere")
        else:
            words = json.dumps(asdict(other)).encode().ljust(512)
            (tmp_path / "run" / lock.NAME).write_bytes(words)

    name = "write_report_if_asked"
    monkeypatch.setattr(lifecycle, name, before(lifecycle, name, change))
    code = run(["run", "--quiet", str(job_file(tmp_path, data))])
    said = capsys.readouterr().err
    assert code == {"moved": 74, "taken over": 73}[loss], said
    assert {"moved": "removed, moved or replaced", "taken over": "was taken over by"}[loss] in said
    assert "failed: " in said


def test_outputs_are_written_by_the_run_that_they_belong_to(tmp_path: Path) -> None:
    def made(run_name: str) -> OutputArray:
        create_outputs(tmp_path / "o.zarr", {}, 3, run_name)
        create_array(
            tmp_path / "o.zarr",
            "labels",
            shape=(40,),
            chunks=(20,),
            dtype="int32",
            dimension_names=("row",),
            fill_value=-1,
        )
        return OutputArray(tmp_path / "o.zarr", "labels", run_name)

    first = made("first")
    first.write(0, np.ones(20, np.int32))
    (tmp_path / "o.zarr").rename(tmp_path / "moved")
    second = made("second")
    first.write(20, np.ones(20, np.int32))  # it is held open, and went along
    assert (tmp_path / "moved/labels/c/1").exists()
    with pytest.raises(OutputFailedError, match="belongs to another run"):
        OutputArray(first.path, "labels", "first").write(0, np.zeros(20, np.int32))
    assert not (tmp_path / "o.zarr/labels/c").exists()
    second.write(0, np.zeros(20, np.int32))
    assert second.read(0, 20).tolist() == 20 * [0]
