"""Whole jobs give the bits that were recorded, and the same on threads and on a local cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from golden.bits_environment import least_different
from golden.record import recorded
from golden.whole_jobs import (
    BACKENDS,
    CLUSTERS,
    FAMILIES,
    backend_of,
    digest,
    n_rows,
    record_of,
    rows,
    run_job,
    stored_digests,
    write_rows,
)
from shell_cluster import scheduler

Run = Callable[[str, str, str], Path]
RECORDED = recorded()


@pytest.fixture(scope="module")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Two worker processes here that all jobs share: starting them takes longer than a job."""
    folder = tmp_path_factory.mktemp("cluster")
    with scheduler(folder) as started, started.worker(), started.worker():
        yield {"scheduler_file": str(started.file)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, running_cluster: dict[str, Any]) -> Run:
    """The run directory of a job, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("golden")

    @cache
    def data(family: str, backend: str) -> Path:
        path = folder / f"{family}-{backend}.zarr"
        X = rows(n_rows(family, backend), FAMILIES[family])
        assert digest(X) == RECORDED["inputs"][f"{family} {backend}"]
        write_rows(path, X)
        return path

    @cache
    def made(family: str, backend: str, cluster: str) -> Path:
        own = folder / f"{family}-{backend}-{cluster}"
        shares = cluster == "local" and family != "full"  # one family starts workers of its own
        section = running_cluster if shares else CLUSTERS[cluster]
        return run_job(own, data(family, backend), family, backend, section)

    return made


def skip_without(backend: str) -> None:
    if backend == "numba":
        pytest.importorskip("numba", reason="Numba is not installed")


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_job_gives_the_recorded_bits(
    run: Run, family: str, backend: str, cluster: str
) -> None:
    skip_without(backend)
    place, differs = least_different([e["environment"] for e in RECORDED["environments"]])
    if differs:
        pytest.skip(f"no digests are recorded for this environment: {'; '.join(differs)}")
    due = RECORDED["environments"][place]["digests"][f"{family} {backend}"]
    assert stored_digests(run(family, backend, cluster)) == due


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_threads_and_local_cluster_give_the_same_bits(run: Run, family: str, backend: str) -> None:
    skip_without(backend)
    threads, local = (run(family, backend, cluster) for cluster in CLUSTERS)
    assert [backend_of(record_of(r)) for r in (threads, local)] == [backend] * 2
    assert stored_digests(threads) == stored_digests(local)
    assert len(stored_digests(threads)) == 7 + 5
