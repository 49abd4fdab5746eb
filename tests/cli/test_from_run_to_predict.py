"""The commands as a user types them, on real data and without fakes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from clusters import gaussian_clusters, write_zarr

JOB = """\
data: {path: rows.zarr}
model: {n_components: 3}
cluster: {kind: threads, n_workers: 2}
output: {path: 'runs/${RUN}', anomaly_quantile: 0.01}
"""
PREDICT = """\
data: {path: rows.zarr}
model: {path: runs/first/model}
cluster: {kind: threads, n_workers: 2}
output: {path: runs/again}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ein Ordner")
    write_zarr(path / "rows.zarr", gaussian_clusters(3000)[0])
    (path / "job.yaml").write_text(JOB)
    (path / "predict.yaml").write_text(PREDICT)
    return path


def dgmm(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "dgmm", *arguments],
        cwd=folder,
        env={"RUN": "first", "PATH": "/usr/bin:/bin", "MPLCONFIGDIR": str(folder / ".mpl")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


def test_a_user_validates_plans_runs_predicts_and_reports(folder: Path) -> None:
    assert dgmm(folder, "validate", "job.yaml").returncode == 0

    planned = dgmm(folder, "plan", "job.yaml")
    assert planned.returncode == 0
    assert "all processes together" in planned.stdout
    assert not (folder / "runs").exists()

    ran = dgmm(folder, "run", "job.yaml")
    assert ran.returncode == 0, ran.stderr
    assert last_line(ran).startswith("done: converged after ")
    assert last_line(ran).endswith("(runs/first)")
    assert re.search(r"iteration 1: mean log-likelihood .* \(from \w+ \d+\)", ran.stderr)
    report = folder / "runs" / "first" / "report.html"
    assert report.stat().st_size > 100_000

    again = dgmm(folder, "run", "job.yaml")
    assert again.returncode == 0
    assert "finished before" in last_line(again)

    other = dgmm(folder, "run", "job.yaml", "--set", "model.n_components=4")
    assert other.returncode == 73
    assert "n_components is 3 there, 4 here" in other.stderr

    predicted = dgmm(folder, "predict", "predict.yaml")
    assert predicted.returncode == 0, predicted.stderr
    assert last_line(predicted).startswith("done: predicted 3,000 rows")
    records = [
        json.loads((folder / "runs" / name / "run.json").read_text()) for name in ("first", "again")
    ]
    assert records[0]["outputs"] == records[1]["outputs"]

    report.unlink()
    assert dgmm(folder, "report", "runs/first").returncode == 0
    assert report.stat().st_size > 100_000


def test_a_job_that_fits_no_memory_is_refused_with_numbers(folder: Path) -> None:
    settings = ("--set", "cluster.memory_limit=8MB", "--set", "output.path=runs/small")
    refused = dgmm(folder, "run", "job.yaml", *settings)
    assert refused.returncode == 78
    assert "limit of 8" in refused.stderr
    assert "does NOT fit" in refused.stderr
    assert json.loads((folder / "runs" / "small" / "run.json").read_text())["exit_code"] == 78
    assert dgmm(folder, "plan", "job.yaml", *settings).returncode == 78
