"""A limit that `plan` calls fitting runs: no worker is paused for good at the least one."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from clusters import gaussian_clusters, write_zarr

from dgmm.config import load_job
from dgmm.data.cache_budget import PAUSE_SHARE
from dgmm.job import plan_job

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_the_least_limit_that_fits_runs_without_a_pause_and_less_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = gaussian_clusters(400_000, 12, 5)[0].astype(np.float32)
    write_zarr(tmp_path / "rows.zarr", rows, chunks=(50_000, 12))
    file = tmp_path / "job.yaml"
    file.write_text(
        "data: {path: rows.zarr}\nmodel: {n_components: 5, max_iter: 6}\n"
        "cluster: {kind: local, n_workers: 2, memory_limit: 4GiB}\n"
        "output: {path: run, report: false, responsibilities: true, anomaly_quantile: 0.01}\n"
    )
    needed = plan_job(load_job(str(file))).needed_bytes
    least = math.ceil(needed / PAUSE_SHARE) + 1
    assert plan_job(load_job(str(file), [f"cluster.memory_limit={least}"])).fits
    begun = time.monotonic()
    roomy, tight, small = (
        run(tmp_path, f"cluster.memory_limit={limit}", f"output.path=run-{limit}")
        for limit in (2**32, least, 230 * 2**20)
    )
    assert roomy.returncode == tight.returncode == 0, tight.stderr
    assert time.monotonic() - begun < 120
    assert small.returncode == 78
    assert "limit of 230" in small.stderr


def run(folder: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    chosen = [word for setting in settings for word in ("--set", setting)]
    return subprocess.run(
        [sys.executable, "-m", "dgmm", "run", "job.yaml", *chosen],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
