"""`cluster.kind: auto`: what it becomes, why, and that no result depends on it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from clusters import job, write_zarr

from dgmm.events import SilentListener
from dgmm.job import chosen_kind, run_job
from dgmm.job.identity import identity
from dgmm.job.plan_table import plan_table
from dgmm.job.planned_classes import PlannedClasses
from dgmm.job.planning import plan_for, plan_job
from dgmm.job.stages import cluster_settings, open_data

AUTO = {"kind": "auto"}
N, D, K = 600, 3, 3
#: Products of a row of full covariance: d(d + 3)/2 + 1.
P = 10


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "x.zarr"
    rows = np.random.default_rng(0).normal(size=(N, D)).astype("float32")
    rows += 6 * (np.arange(N) % K)[:, None].astype("float32")
    write_zarr(path, rows)
    return path


def kind_of(data, directory, **sections: Any) -> str | None:
    return plan_job(job(data, directory, **({"cluster": AUTO} | sections))).kind


def test_little_work_runs_on_threads_and_the_plan_says_so(tmp_path, data):
    asked = job(data, tmp_path / "run", cluster=AUTO)
    plan = plan_job(asked)
    assert (plan.kind, plan.n_workers) == ("threads", 0)
    assert cluster_settings(asked, plan).kind == "threads"
    assert "cluster.kind auto: threads, 7.03 KiB of rows and" in plan_table(plan)


@pytest.mark.parametrize("name", ["MOST_BYTES", "MOST_PRODUCTS"])
def test_more_bytes_or_products_than_the_limit_run_on_worker_processes(
    tmp_path, data, monkeypatch, name
):
    start = {"n_sample_starts": 1}
    size = {"MOST_BYTES": N * D * 4, "MOST_PRODUCTS": N * K * P}[name]
    monkeypatch.setattr(chosen_kind, name, size)
    assert kind_of(data, tmp_path / "run", initialisation=start) == "threads"
    monkeypatch.setattr(chosen_kind, name, size - 1)
    asked = job(data, tmp_path / "run", initialisation=start, cluster=AUTO)
    plan = plan_job(asked)
    assert plan.n_workers >= 1
    assert cluster_settings(asked, plan).kind == "local"
    assert "more than" in plan.why


def test_every_model_and_class_counts(tmp_path, data, monkeypatch):
    start = {"n_sample_starts": 1}
    monkeypatch.setattr(chosen_kind, "MOST_PRODUCTS", N * K * P)
    model = {"n_components": [K, K - 1]}
    assert kind_of(data, tmp_path / "run", initialisation=start, model=model) == "local"
    asked = job(data, tmp_path / "run", initialisation=start, cluster=AUTO)
    assert plan_for(asked, open_data(asked), classes=PlannedClasses(2)).kind == "local"


@pytest.mark.parametrize("key", [{"memory_limit": "1 GiB"}, {"threads_per_worker": 2}])
def test_keys_of_worker_processes_ask_for_them(tmp_path, data, key):
    plan = plan_job(job(data, tmp_path / "run", cluster=AUTO | key))
    assert plan.kind == "local"
    assert plan.why == f"cluster.{next(iter(key))} is of worker processes"


def test_what_a_job_names_is_what_it_gets(tmp_path, data):
    for kind in ("local", "threads"):
        plan = plan_job(job(data, tmp_path / "run", cluster={"kind": kind}))
        assert (plan.kind, plan.why) == (kind, "")
        assert "auto" not in plan_table(plan)
    plan = plan_job(job(data, tmp_path / "run", cluster={"address": "tcp://127.0.0.1:1"}))
    assert (plan.kind, plan.why) == (None, "")


def test_a_run_records_what_it_ran_on_and_goes_on_whatever_the_kind(tmp_path, data):
    records = {}
    for kind in ("auto", "threads"):
        run_job(job(data, tmp_path / kind, cluster={"kind": kind}), SilentListener())
        records[kind] = json.loads((tmp_path / kind / "run.json").read_text())
    assert records["auto"]["cluster"]["kind"] == "threads"
    assert "KiB of rows" in records["auto"]["cluster"]["why"]
    assert records["auto"]["environment"]["workers"] == []
    assert "cluster" not in records["threads"]
    assert records["auto"]["model_sha256"] == records["threads"]["model_sha256"]
    same = job(data, tmp_path / "auto", cluster={"kind": "local"})
    assert identity(same) == identity(job(data, tmp_path / "auto", cluster=AUTO))
    again = run_job(same, SilentListener())
    assert again.exit_code == 0
    assert json.loads((tmp_path / "auto" / "run.json").read_text()) == records["auto"]
