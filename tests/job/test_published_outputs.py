"""Outputs take their name whole, once, and nothing else is lost for that."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from clusters import gaussian_clusters, job, write_zarr

from dgmm.config import Job
from dgmm.events import SilentListener
from dgmm.job import run_job
from dgmm.storage.folders import Folder

QUIET = SilentListener()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = gaussian_clusters(3000, 2, 3, spread=1.0)[0]
    return write_zarr(tmp_path_factory.mktemp("data") / "rows.zarr", rows)


def wanted(data: Path, directory: Path, max_iter: int) -> Job:
    model = {"max_iter": max_iter, "tol": 0}
    return job(data, directory, model=model, initialisation={"n_sample_starts": 0})


def record(directory: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    return told


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_run_killed_while_it_removes_earlier_outputs_keeps_its_own(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(folder: Folder, name: str) -> None:
        if name == "outputs.zarr.part" and folder.holds(name):
            raise KeyboardInterrupt
        remove(folder, name)

    run_job(wanted(data, tmp_path / "run", 1), QUIET)
    earlier, remove = tree(tmp_path / "run/outputs.zarr"), Folder._remove
    monkeypatch.setattr(Folder, "_remove", killed)
    with pytest.raises(KeyboardInterrupt):
        run_job(wanted(data, tmp_path / "run", 4), QUIET)
    monkeypatch.undo()
    own = tree(tmp_path / "run/outputs.zarr")
    assert own != earlier
    run_job(wanted(data, tmp_path / "run", 4), QUIET)
    assert tree(tmp_path / "run/outputs.zarr") == own
    assert not (tmp_path / "run/outputs.zarr.part").exists()


def test_what_others_put_where_results_go_gets_another_name(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_job(wanted(data, run, 1), QUIET)
    shutil.rmtree(run / "outputs.zarr")
    for name in ("outputs.zarr/thesis.txt", "model/notes.txt"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("mine")
    run_job(wanted(data, run, 4), QUIET)
    for name in ("outputs.zarr.replaced-1/thesis.txt", "model.replaced-1/notes.txt"):
        assert (run / name).read_text() == "mine"
    said = " ".join(record(run)["warnings"])
    assert "is now outputs.zarr.replaced-1" in said
    assert "is now model.replaced-1" in said
    (run / "outputs.zarr/notes.txt").write_text("mine")
    run_job(wanted(data, run, 6), QUIET)
    assert (run / "outputs.zarr.replaced-2/notes.txt").read_text() == "mine"
    run_job(wanted(data, run, 7), QUIET)
    assert len([*run.glob("*.replaced-*")]) == 3  # what is dgmm's alone is replaced
