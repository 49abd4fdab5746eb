"""`dgmm plan`: reckoned from the job and the data's metadata alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clusters import gaussian_clusters, job, write_zarr

from dgmm.errors import JobFileError
from dgmm.job import plan_job


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = gaussian_clusters(40_000, 8)[0].astype(np.float32)
    return write_zarr(tmp_path_factory.mktemp("data") / "rows.zarr", rows)


def term(plan, name: str) -> int:
    return next(t.n_bytes for t in (*plan.task, *plan.driver) if t.name == name)


def test_a_plan_names_shape_passes_and_every_term(tmp_path, data):
    text = str(plan_job(job(data, tmp_path / "run", model={"max_iter": 7})))
    assert "40,000 rows x 8 features, float32" in text
    assert "1 MiB a pass before compression, 9 passes at most" in text
    for name in ("decoded chunks", "tiles", "statistics", "output chunk", "sample", "M-step"):
        assert f"    {name}" in text
    assert not (tmp_path / "run").exists()


def test_statistics_grow_with_components_starts_and_features(tmp_path, data):
    def statistics(**model) -> int:
        return term(plan_job(job(data, tmp_path / "run", model=model)), "statistics")

    once = statistics(n_components=10)
    assert statistics(n_components=1000) == 100 * once
    assert statistics(n_components=10, n_init=3) == 3 * once
    assert statistics(n_components=10, covariance_type="diag") < once


def test_workers_and_driver_add_up(tmp_path, data):
    local = plan_job(job(data, tmp_path / "run", cluster={"kind": "local", "n_workers": 3}))
    assert local.total_bytes == local.driver_bytes + 3 * local.worker_bytes
    here = plan_job(job(data, tmp_path / "run", cluster={"kind": "threads", "n_workers": 3}))
    assert here.total_bytes == here.driver_bytes
    assert here.task_bytes == 3 * sum(t.n_bytes for t in here.task)


def test_a_job_too_large_for_a_worker_is_refused_with_the_plan(tmp_path, data):
    plan = plan_job(job(data, tmp_path / "run", model={"n_components": 5000}))
    assert plan.fits
    with pytest.raises(JobFileError, match=r"(?s)statistics.*does NOT fit"):
        plan.check(plan.task_bytes)
    plan.check(2 * plan.task_bytes)


def test_somebody_elses_cluster_is_asked_before_it_is_judged(tmp_path, data):
    plan = plan_job(job(data, tmp_path / "run", cluster={"address": "tcp://127.0.0.1:1"}))
    assert plan.memory_limit is None
    assert "the limit that workers have" in str(plan)
    with pytest.raises(JobFileError):
        plan.check(1)
