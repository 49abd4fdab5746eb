"""Workers that join a run are compared with the driver as those at its start are."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from clusters import gaussian_clusters, job, write_zarr
from shell_cluster import scheduler

from dgmm.events import SilentListener
from dgmm.execution.dask_cluster import existing_cluster
from dgmm.execution.threads import ThreadExecutor
from dgmm.job import run_job, stages
from dgmm.storage.atomic_files import read_json

pytestmark = pytest.mark.timeout(120)
ANOTHER_CPU = """
import numpy._core._multiarray_umath as umath
for name in umath.__cpu_features__:
    if name.startswith("AVX512"):
        umath.__cpu_features__[name] = not umath.__cpu_features__[name]
"""


def test_a_worker_with_another_processor_that_joins_is_reported_and_makes_the_run_mixed(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(ANOTHER_CPU)
    with (
        scheduler(tmp_path) as found,
        found.worker("--name", "same"),
        existing_cluster(found.address) as executor,
    ):
        assert executor.warnings == []
        with found.worker("--name", "later", environment={"PYTHONPATH": str(folder)}):
            deadline = time.monotonic() + 60
            while executor.n_threads < 2:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            (text,) = executor.warnings
            assert "CPU features differs" in text
            assert "worker later" in text
            assert executor.environment()["mixed"] is True


def test_what_joined_during_a_run_stands_in_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[str] = []

    class Growing(ThreadExecutor):
        @property
        def warnings(self) -> list[str]:
            return joined

        def environment(self) -> dict[str, Any]:
            return super().environment() | {"mixed": bool(joined)}

        def run(self, *arguments: Any, **options: Any) -> Any:
            if not joined:
                joined.append("CPU features differs: a worker that came later")
            return super().run(*arguments, **options)

    @contextmanager
    def opened(_: SimpleNamespace) -> Any:
        with Growing(1) as executor:
            yield executor

    monkeypatch.setattr(stages, "open_executor", opened)
    rows = write_zarr(tmp_path / "rows.zarr", gaussian_clusters(3000, 2)[0])
    run_job(job(rows, tmp_path / "run"), SilentListener())
    record = read_json(tmp_path / "run" / "run.json")
    assert record["environment"]["mixed"] is True
    assert any("a worker that came later" in text for text in record["warnings"])
