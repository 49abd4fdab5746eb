"""Outputs take their name whole, once, and nothing else is lost for that."""

from __future__ import annotations

import json
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
