"""Memory does not grow with the rows, and `plan` knows it before."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from process_memory import Peak, peak_of

from dgmm.config import load_job
from dgmm.job import plan_job, plan_table
from dgmm.mixture.backends import standardising_backend

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

D = 8


def rows_in_chunks(path: Path, n: int) -> Path:
    """n rows in chunks of 20,000, written one at a time."""
    array = zarr.create_array(
        store=str(path), shape=(n, D), chunks=(20_000, D), dtype="f4", compressors=None
    )
    rng = np.random.default_rng(0)
    for start in range(0, n, 20_000):
        size = min(20_000, n - start)
        labels = rng.integers(0, 4, size)[:, None]
        array[start : start + size] = rng.normal(size=(size, D)) + 3 * labels
    return path


def job_file(folder: Path, n: int, cluster: str) -> Path:
    rows_in_chunks(folder / "rows.zarr", n)
    path = folder / "job.yaml"
    path.write_text(
        "data: {path: rows.zarr}\n"
        "model: {n_components: 4, max_iter: 2, tol: 0}\n"
        f"cluster: {cluster}\n"
        "output: {path: run, anomaly_quantile: 0.01, responsibilities: true}\n"
    )
    return path


@pytest.fixture(scope="module", autouse=True)
def _compiled_ahead(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Code is compiled already: a worker that compiles holds more than one that loads code."""
    folder = tmp_path_factory.mktemp("ahead")
    job_file(folder, 40_000, "{kind: threads}")
    backend = f"compute.backend={standardising_backend(10**9).name}"
    ended = peak_of(["run", "job.yaml", "--set", backend], folder)
    assert ended.returncode == 0, ended.stderr


# Rows beyond those of the sample and of figures, and tasks long enough to read ahead all the while:
# only what follows N can differ. A process that runs its tasks itself is small and needs more. The
# limit is one at which a process keeps fewer rows than the smaller array has for it.
@pytest.mark.parametrize(
    ("cluster", "base"),
    [
        ("{kind: local, n_workers: 2, memory_limit: 407 MiB}", 1_000_000),
        ("{kind: threads, n_workers: 2, memory_limit: 843 MiB}", 2_000_000),
    ],
    ids=["local", "threads"],
)
def test_sixteen_times_the_rows_take_the_same_memory_and_no_more_than_planned(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_testsuite_property: Callable[[str, object], None],
    cluster: str,
    base: int,
) -> None:
    peaks: list[Peak] = []
    planned, kept = [], []
    for name, factor in (("once", 1), ("sixteen", 16)):
        folder = tmp_path / name
        folder.mkdir()
        file = job_file(folder, factor * base, cluster)
        monkeypatch.chdir(folder)
        plan = plan_job(load_job(file))
        planned.append(plan.total_bytes)
        kept.append(plan.cached_rows.n_bytes)
        assert 0 < kept[-1] < plan.pass_bytes / max(plan.n_workers, 1)
        printed = re.search(r"all processes together\s+([\d,]+)", plan_table(plan))
        assert printed is not None
        assert abs(int(printed[1].replace(",", "")) * 2**20 - plan.total_bytes) <= 2**20
        # A short run does not always come to the moment when all threads hold most: two have more.
        names = ("first", "second") if factor == 1 else ("only",)
        runs = [
            peak_of(["run", "job.yaml", "--set", f"output.path={own}"], folder) for own in names
        ]
        assert all(run.returncode == 0 for run in runs), runs
        peaks.append(max(runs, key=lambda run: run.resident))
    record_testsuite_property(f"{cluster} peak MiB", [p.resident >> 20 for p in peaks])
    record_testsuite_property(f"{cluster} planned MiB", [p >> 20 for p in planned])
    record_testsuite_property(f"{cluster} kept MiB", [k >> 20 for k in kept])
    assert peaks[1].resident <= 1.10 * peaks[0].resident
    for peak, total in zip(peaks, planned, strict=True):
        assert peak.resident <= total
