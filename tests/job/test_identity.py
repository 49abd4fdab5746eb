"""What makes two jobs the same, and what earlier versions recorded of it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from clusters import gaussian_clusters, job, write_zarr
from golden.old_runs import HERE

from dgmm.errors import OutputExistsError, UnavailableError
from dgmm.events import SilentListener
from dgmm.job import run_job
from dgmm.job.earlier_identities import in_former_names, in_todays_names
from dgmm.job.identity import fingerprint
from dgmm.job.output_stage import OutputStage
from dgmm.mixture import backends
from dgmm.model.model_files import load_model, model_digest
from dgmm.storage.folders import Folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zarr(tmp_path_factory.mktemp("rows") / "rows.zarr", gaussian_clusters(300)[0])


def record(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "run.json").read_text(encoding="utf-8"))


def test_a_recorded_identity_in_todays_names_and_back_is_itself() -> None:
    recorded = record(HERE / "old_finished")["job_identity"]
    today = in_todays_names(recorded)
    assert today["compute"] == {"backend": "auto"}
    assert today["initialisation"]["n_sample_starts"] == 2
    assert "sample_starts" not in today["initialisation"]
    assert in_former_names(today) == recorded
    assert in_todays_names(today) == today


def test_outputs_that_an_earlier_version_began_are_known_again(tmp_path: Path) -> None:
    found, model = record(HERE / "old_finished"), load_model(HERE / "old_finished" / "model")
    with Folder(tmp_path) as folder:
        directory = SimpleNamespace(
            folder=folder,
            path=tmp_path,
            record={"data": found["data"]},
            identity=in_todays_names(found["job_identity"]),
        )
        stage = OutputStage(None, directory, None, None, model, None, backend="numpy", warn=print)  # type: ignore[arg-type]
    due = {"data": found["data"]["fingerprint"], "model": model_digest(model)}
    assert stage._run == fingerprint({"job": found["job_identity"], **due})


def test_a_job_has_the_identity_that_its_record_is_read_with(rows: Path, tmp_path: Path) -> None:
    own = job(rows, tmp_path / "run", model={"max_iter": 2}, on_not_converged="ignore")
    run_job(own, SilentListener())
    found = record(tmp_path / "run")["job_identity"]
    assert in_todays_names(found) == found


def test_the_backend_is_recorded_and_part_of_the_job(rows: Path, tmp_path: Path) -> None:
    model = {"max_iter": 2}
    first = job(
        rows, tmp_path / "run", model=model, compute={"backend": "numpy"}, on_not_converged="ignore"
    )
    run_job(first, SilentListener())
    assert record(tmp_path / "run")["job"]["compute"] == {"backend": "numpy"}
    assert run_job(first, SilentListener()).was_finished
    with pytest.raises(OutputExistsError, match=r"compute\.backend is 'numpy' there, 'auto' here"):
        run_job(job(rows, tmp_path / "run", model=model), SilentListener())


def test_numba_is_taken_on_request_however_few_the_rows(rows: Path, tmp_path: Path) -> None:
    pytest.importorskip("numba", reason="Numba is optional")
    run_job(job(rows, tmp_path / "run", compute={"backend": "numba"}), SilentListener())
    assert ",numba," in (tmp_path / "run" / "metrics.csv").read_text(encoding="utf-8")


def test_numba_without_numba_is_refused_before_work(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "compiled_backend", cache(lambda: None))
    asked = job(rows, tmp_path / "run", compute={"backend": "numba"})
    with pytest.raises(UnavailableError, match=r"compute\.backend is numba, .*'dgmm\[fast\]'"):
        run_job(asked, SilentListener())
    assert not (tmp_path / "run").exists()
