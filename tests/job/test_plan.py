"""`dgmm plan`: reckoned from the job and the data's metadata alone."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clusters import gaussian_clusters, job, write_zarr

from dgmm.data.cache_budget import DRIVER_BASE, PAUSE_SHARE, PROCESS_SHARE, SHARE
from dgmm.errors import JobFileError, UnavailableError
from dgmm.fitting.initialisation.hierarchical import MAX_ROWS
from dgmm.job import plan_job, plan_table
from dgmm.job.memory_plan import WARD_ROWS, WORKER_BASE
from dgmm.job.plan_table import require_memory
from dgmm.job.planned_classes import PlannedClasses
from dgmm.job.planning import plan_for
from dgmm.job.stages import cluster_settings, open_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = gaussian_clusters(40_000, 8)[0].astype(np.float32)
    return write_zarr(tmp_path_factory.mktemp("data") / "rows.zarr", rows)


def term(plan, name: str) -> int:
    return next(t.n_bytes for t in (*plan.task, *plan.driver) if t.name == name)


def test_a_plan_names_shape_passes_and_every_term(tmp_path, data):
    text = plan_table(plan_job(job(data, tmp_path / "run", model={"max_iter": 7})))
    assert "40,000 rows x 8 features, float32" in text
    assert "1.22 MiB a pass before compression, 9 passes at most" in text
    for name in ("decoded chunks", "tiles", "statistics", "output chunk", "sample", "M-step"):
        assert f"    {name}" in text
    assert not (tmp_path / "run").exists()


def test_statistics_grow_with_components_starts_and_features(tmp_path, data):
    def statistics(**model) -> int:
        return term(plan_job(job(data, tmp_path / "run", model=model)), "statistics")

    once = statistics(n_components=10)
    assert statistics(n_components=100) == 10 * once
    assert statistics(n_components=10, n_init=3) == 3 * once
    assert statistics(n_components=10, covariance_type="diag") < once


def test_workers_and_driver_add_up(tmp_path, data):
    local = plan_job(job(data, tmp_path / "run", cluster={"kind": "local", "n_workers": 3}))
    assert local.total_bytes == local.driver_bytes + 3 * local.worker_bytes
    here = plan_job(job(data, tmp_path / "run", cluster={"kind": "threads", "n_workers": 3}))
    assert here.total_bytes == here.driver_bytes
    assert here.task_bytes == 3 * sum(t.n_bytes for t in here.task)


def test_a_job_too_large_for_a_worker_is_refused_with_the_plan(tmp_path, data):
    local = {"kind": "local", "n_workers": 2, "memory_limit": 10 * 2**30}
    plan = plan_job(job(data, tmp_path / "run", model={"n_components": 5000}, cluster=local))
    plan = replace(plan, cache_limit=0)
    least = math.ceil((WORKER_BASE + plan.task_bytes) / PAUSE_SHARE)
    with pytest.raises(JobFileError, match=r"(?s)statistics.*does NOT fit"):
        require_memory(plan, least - 1)
    require_memory(plan, least)


def test_somebody_elses_cluster_is_asked_before_it_is_judged(tmp_path, data):
    plan = plan_job(job(data, tmp_path / "run", cluster={"address": "tcp://127.0.0.1:1"}))
    assert plan.memory_limit is None
    assert "the limit that workers have" in plan_table(plan)
    with pytest.raises(UnavailableError, match="does not fit into the cluster's workers") as caught:
        require_memory(plan, 1)
    assert caught.value.exit_code == 69


def test_libraries_count_against_what_pauses_a_worker_not_only_tasks(tmp_path, data):
    def planned(mib: int):
        limited = {"kind": "local", "n_workers": 2, "memory_limit": mib * 2**20}
        return plan_job(job(data, tmp_path / "run", cluster=limited))

    small = planned(240)
    assert small.task_bytes < 240 * 2**19, "its tasks would fit into half of the limit"
    assert not small.fits
    assert "it may use 80% of its limit of 240, 192: does NOT fit" in plan_table(small)
    assert "raise memory_limit to" in plan_table(small)
    enough = math.ceil(small.needed_bytes / PAUSE_SHARE / 2**20) + 1
    assert planned(enough).fits
    assert not planned(enough - 2).fits


def test_a_lower_pause_threshold_of_somebody_elses_workers_counts(tmp_path, data):
    plan = plan_job(job(data, tmp_path / "run", cluster={"address": "tcp://127.0.0.1:1"}))
    limit = 2 * plan.needed_bytes
    require_memory(plan.found(limit, 1, 0.6), limit)
    with pytest.raises(UnavailableError, match="it may use 40% of"):
        require_memory(plan.found(limit, 1, 0.4), limit)
    never = plan.found(limit, 1, None)
    assert "it may use 95% of" in plan_table(never)  # where Dask ends a worker


def test_auto_takes_no_more_threads_than_memory_allows(tmp_path, data, monkeypatch):
    monkeypatch.setattr("dgmm.job.planning.available_cpus", lambda: 7)

    def planned(**cluster):
        cluster = {"kind": "threads", "n_workers": "auto"} | cluster
        return plan_job(job(data, tmp_path / "run", model={"n_components": 30}, cluster=cluster))

    limit = planned(n_workers=3).needed_bytes
    assert not planned(n_workers=4, memory_limit=limit).fits
    plan = planned(memory_limit=limit)
    assert plan.fits
    assert (plan.n_workers, plan.threads_per_worker, plan.n_places) == (0, 3, 3)
    assert planned(memory_limit=limit * 100).n_places == 7


def test_the_remedy_names_only_keys_that_the_kind_of_cluster_may_have(tmp_path, data):
    def verdict(**cluster) -> str:
        plan = plan_job(job(data, tmp_path / "run", cluster=cluster))
        return plan_table(plan).partition("does NOT fit: ")[2].splitlines()[0]

    small = {"memory_limit": 200 * 2**20}
    assert verdict(kind="threads", n_workers=5, **small).endswith("lower n_workers or n_components")
    assert verdict(kind="threads", n_workers="auto", **small).endswith("or lower n_components")
    two = verdict(kind="local", n_workers=2, threads_per_worker=3, **small)
    assert two.endswith("(auto: lower n_workers), or lower threads_per_worker or n_components")
    assert "threads_per_worker" not in verdict(kind="local", n_workers=2, **small)
    plan = plan_job(job(data, tmp_path / "run", cluster={"address": "tcp://127.0.0.1:1"}))
    with pytest.raises(
        UnavailableError, match=r"give its workers \d+ MiB or more or fewer threads"
    ):
        require_memory(plan.found(9, 2, None), 9)


def test_auto_starts_no_more_workers_than_memory_allows(tmp_path, data, monkeypatch):
    monkeypatch.setattr("dgmm.job.planning.available_cpus", lambda: 90)
    memory = 16 * 2**30
    for module in ("planning", "plan"):
        monkeypatch.setattr(f"dgmm.job.{module}.available_memory", lambda: memory)
    monkeypatch.setattr("dgmm.job.planning.free_memory", lambda: memory)
    many = plan_job(job(data, tmp_path / "run", cluster={"kind": "local"}))
    assert many.fits
    assert 1 < many.n_workers < 90
    assert many.needed_bytes <= PAUSE_SHARE * many.memory_limit
    assert cluster_settings(job(data, tmp_path / "run"), many).n_workers == 2
    auto = job(data, tmp_path / "run", cluster={"kind": "local", "n_workers": "auto"})
    assert cluster_settings(auto, many).n_workers == many.n_workers
    asked = plan_job(job(data, tmp_path / "run", cluster={"kind": "local", "n_workers": 90}))
    assert not asked.fits
    assert "(auto: lower n_workers)" in plan_table(asked)


def test_workers_whose_limits_together_exceed_the_machine_are_refused(tmp_path, data, monkeypatch):
    monkeypatch.setattr("dgmm.job.plan.available_memory", lambda: 2 * 2**30)
    crowd = {"kind": "local", "n_workers": 20, "memory_limit": 2**30}
    plan = plan_job(job(data, tmp_path / "run", cluster=crowd))
    assert plan.fits_its_limit
    assert not plan.fits
    assert "this machine has 2,048: does NOT fit: lower n_workers" in plan_table(plan)


LIMITED = {"kind": "local", "n_workers": 2, "memory_limit": 400 * 2**20}


def test_rows_are_kept_in_what_is_left_of_half_the_limit_and_never_more_than_there_are(
    tmp_path, data
):
    small = plan_job(job(data, tmp_path / "run", cluster=LIMITED))
    room = min(SHARE * small.memory_limit, PROCESS_SHARE * small.memory_limit - WORKER_BASE)
    large = replace(small, shape=(100 * small.shape[0], small.shape[1]))
    assert small.cached_rows.n_bytes == small.pass_bytes
    assert 0 < large.cached_rows.n_bytes < large.pass_bytes
    assert large.cached_rows.n_bytes == int(room - large.task_bytes)
    assert large.worker_bytes == WORKER_BASE + large.task_bytes + large.cached_rows.n_bytes
    assert f"{large.cached_rows.n_bytes / 2**20:.1f}" in plan_table(large)
    assert large.fits


def test_a_worker_that_its_tasks_fill_keeps_nothing(tmp_path, data):
    plan = plan_job(job(data, tmp_path / "run", cluster=LIMITED))
    least = math.ceil(plan.needed_bytes / PAUSE_SHARE)
    full = replace(plan, memory_limit=least, cache_limit=least)
    assert full.fits
    assert full.cached_rows.n_bytes == 0


def test_nothing_is_kept_for_a_single_pass(tmp_path, data):
    plan = plan_job(job(data, tmp_path / "run"))
    assert plan.cached_rows.n_bytes == plan.pass_bytes
    assert replace(plan, n_passes=1).cached_rows.n_bytes == 0


def test_threads_of_this_process_keep_no_more_than_half_of_what_is_free(
    tmp_path, data, monkeypatch
):
    plan = plan_job(job(data, tmp_path / "run"))
    held = plan.task_bytes + sum(t.n_bytes for t in plan.driver)
    free = 2 * (held + DRIVER_BASE) + 2**20
    monkeypatch.setattr("dgmm.job.planning.free_memory", lambda: free)
    plan = plan_job(job(data, tmp_path / "run"))
    assert 0 < plan.cached_rows.n_bytes <= free // 2 - held
    assert plan.driver_bytes <= free


def test_somebody_elses_workers_keep_rows_by_the_limit_and_the_threads_they_have(tmp_path, data):
    plan = plan_job(job(data, tmp_path / "run", cluster={"address": "tcp://127.0.0.1:1"}))
    assert plan.cached_rows.n_bytes == 0
    found = plan.found(10**9, 3)
    assert found.cached_rows.n_bytes == plan.pass_bytes
    assert found.task_bytes == 3 * plan.task_bytes
    assert plan.found(None, 3).cached_rows.n_bytes == 0


def test_a_start_over_all_rows_is_in_the_plan(tmp_path, data):
    def text(method: str) -> str:
        start = {"initialisation": {"method": method}, "model": {"max_iter": 7}}
        return plan_table(plan_job(job(data, tmp_path / "run", **start)))

    assert "9 passes at most" in text("kmeans")
    assert "16 passes at most" in text("kmeans_parallel")  # five rounds, the weights, the moments
    assert "candidates of k-means||" in text("kmeans_parallel")
    assert "candidates of k-means||" not in text("kmeans")


@pytest.mark.parametrize("k", [3, 4_999, 7_000, 30_000])
def test_wards_distances_are_planned_for_as_many_rows_as_there_are_components(tmp_path, data, k):
    start = {"method": "hierarchical", "sample_rows": 20_000}
    plan = plan_job(job(data, tmp_path / "run", model={"n_components": k}, initialisation=start))
    m = min(max(MAX_ROWS, k), 20_000)
    assert term(plan, "Ward's distances") >= 2 * 8 * m * (m - 1) // 2  # SciPy's, and its copy
    assert WARD_ROWS == MAX_ROWS


def test_a_plan_of_classes_tells_that_their_number_is_not_known_yet(tmp_path, data):
    own = {"task": "classify", "data": {"classes": "y.npy", "groups": "g.npy"}}
    text = plan_table(plan_job(job(data, tmp_path / "run", classes={"folds": 3}, **own)))
    assert (
        "classes   their number is known once labels are read: counted are 2, each without 3 "
        in text
    )
    assert "outputs grow with classes and groups; memory is checked again" in text
    assert "responsibilities" not in text
    plain = plan_job(job(data, tmp_path / "run"))
    fewest = plan_job(job(data, tmp_path / "run", task="classify", data={"classes": "y.npy"}))
    assert term(fewest, "statistics") == 2 * term(plain, "statistics")


def test_statistics_posteriors_chunks_and_outputs_grow_with_classes_that_are_known(tmp_path, data):
    def planned(n_classes: int, **output):
        own = {"task": "classify", "data": {"classes": "y.npy"}, "output": output}
        asked = job(data, tmp_path / "run", **own)
        return plan_for(asked, open_data(asked), classes=PlannedClasses(n_classes))

    few, many = planned(10), planned(100)
    for name in ("statistics", "posteriors of classes"):
        assert term(many, name) == 10 * term(few, name)
    # int32, float32, float64 and a float32 for each class.
    assert few.output_bytes == 40_000 * (16 + 4 * 10)
    assert many.output_bytes == 40_000 * (16 + 4 * 100)
    assert planned(100, class_posteriors=False).output_bytes == 40_000 * 16
    grown = term(many, "output chunk") - term(few, "output chunk")
    assert grown >= 2 * 4 * 90 * few.shape[0] // few.n_blocks
    assert "classes   100: 100 mixtures in every pass" in plan_table(many)


def test_sums_of_groups_are_in_the_plan_twice_with_folds(tmp_path, data):
    def sums(n_classes: int, n_folds: int, n_groups: int) -> int:
        own = {"task": "classify", "data": {"classes": "y.npy", "groups": "g.npy"}}
        asked = job(data, tmp_path / "run", **own)
        classes = PlannedClasses(n_classes, n_folds, n_groups)
        plan = plan_for(asked, open_data(asked), classes=classes)
        found = [t.n_bytes for t in plan.driver if t.name == "sums of groups"]
        return sum(found)

    assert sums(20, 0, 0) == 0
    assert sums(20, 0, 5000) >= 5000 * 20 * 8
    assert sums(20, 0, 10_000) == 2 * sums(20, 0, 5000)
    assert sums(20, 3, 5000) == 2 * sums(20, 0, 5000)
