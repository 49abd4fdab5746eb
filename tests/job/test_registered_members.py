"""What a test registers runs through `dgmm run` and the estimator as what is built in does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import npy_format
import numpy as np
import pytest
from clusters import gaussian_clusters, write_zarr
from npy_format import open_npy
from numpy.typing import NDArray

import dgmm
from dgmm.cli.entry_point import run
from dgmm.config import expected_values, json_schema, load_job
from dgmm.data.formats import FORMATS, DataSource, open_stored
from dgmm.data.summary.summarise import summarise
from dgmm.data.zarr.dataset import open_zarr
from dgmm.errors import DataError, JobFileError
from dgmm.execution import CLUSTERS, ClusterKind, ClusterSettings, open_executor
from dgmm.fitting.initialisation import INITIALISERS, Initialiser, StartRequest
from dgmm.mixture.parameters import Parameters
from dgmm.reduction.blocks import BlockRange
from dgmm.runtime.blas_threads import single_blas_thread
from dgmm.runtime.environment import process_environment
from dgmm.runtime.row_cache import process_cache

T = TypeVar("T")
PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", name="X")
def rows() -> NDArray[np.float64]:
    return gaussian_clusters(600)[0]


@pytest.fixture
def data(tmp_path: Path, X: NDArray[np.float64]) -> Path:
    return write_zarr(tmp_path / "rows.zarr", X)


def written(folder: Path, rows: Path, /, **sections: dict[str, Any]) -> Path:
    """A job file in a folder, its run directory beside it."""
    tree = {
        "data": {"path": str(rows)},
        "model": {"n_components": 3, "max_iter": 5, "tol": 1e-3},
        "cluster": {"kind": "threads", "n_workers": 2},
        "output": {"path": str(folder / "run"), "report": False},
        "on_not_converged": "ignore",
    }
    for name, section in sections.items():
        tree[name] = {**tree.get(name, {}), **section}  # type: ignore[dict-item]
    (folder / "job.yaml").write_text(json.dumps(tree), encoding="utf-8")  # JSON is YAML
    return folder / "job.yaml"


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))


def by_first_feature(request: StartRequest) -> Parameters:
    """k equal shares of the sample, in the order of its first feature."""
    order = np.argsort(np.argsort(request.sample[:, 0], kind="stable"), kind="stable")
    return request.from_labels(order * request.n_components // len(order))


def test_an_initialiser_starts_a_job_and_the_estimator(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Path, X: NDArray[np.float64]
) -> None:
    monkeypatch.setitem(
        INITIALISERS, "by-rank", Initialiser(by_first_feature, follows_metric=False)
    )
    job = written(tmp_path, data, initialisation={"method": "by-rank"}, model={"max_iter": 0})
    assert run(["run", "--quiet", str(job)]) == 0
    assert record(tmp_path)["job"]["initialisation"]["method"] == "by-rank"
    with np.load(tmp_path / "run" / "model" / "arrays.npz") as arrays:
        weights = arrays["weights"]
    np.testing.assert_allclose(weights, 1 / 3, atol=0.02)
    mixture = dgmm.GaussianMixture(
        3, init_params="by-rank", max_iter=0, random_state=0, reg_covar=0, reg_covar_relative=1e-6
    )
    assert mixture.fit(X).weights_.tobytes() == weights.tobytes()


class SerialExecutor:
    """One task after the other, in the calling thread."""

    dashboard: str | None = None
    task_memory_limit: int | None = None
    pause_share: float | None = None
    n_threads = threads_per_worker = 1
    n_ranges = 0

    @property
    def warnings(self) -> list[str]:
        return []

    def environment(self) -> dict[str, Any]:
        return {"driver": process_environment(), "workers": [], "mixed": False}

    def run(
        self, task: Callable[[BlockRange], T], ranges: Sequence[BlockRange], *, align: int = 1
    ) -> Iterator[tuple[BlockRange, T]]:
        for blocks in ranges:
            SerialExecutor.n_ranges += 1
            yield blocks, task(blocks)

    def close(self) -> None:
        """Nothing is open."""


@contextmanager
def serial(settings: ClusterSettings) -> Iterator[SerialExecutor]:
    with single_blas_thread():
        yield SerialExecutor()


def test_a_cluster_kind_runs_the_passes_of_a_job(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Path
) -> None:
    monkeypatch.setitem(
        CLUSTERS, "serial", ClusterKind(serial, "this thread", is_this_process=True)
    )
    monkeypatch.setattr(SerialExecutor, "n_ranges", 0)
    job = written(tmp_path, data, cluster={"kind": "serial", "n_workers": 1})
    assert run(["plan", str(job)]) == 0
    assert run(["run", "--quiet", str(job)]) == 0
    assert SerialExecutor.n_ranges > record(tmp_path)["n_iter"]
    (tmp_path / "threads").mkdir()
    assert run(["run", "--quiet", str(written(tmp_path / "threads", data))]) == 0
    ours, theirs = (folder / "run" / "model" for folder in (tmp_path, tmp_path / "threads"))
    assert (ours / "arrays.npz").read_bytes() == (theirs / "arrays.npz").read_bytes()
    job = written(tmp_path, data, cluster={"kind": "serial", "threads_per_worker": 2})
    with pytest.raises(JobFileError, match="contradicts kind: serial"):
        load_job(job)


def test_rows_that_a_kind_in_this_process_has_cached_go_with_its_executor(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    monkeypatch.setitem(
        CLUSTERS, "serial", ClusterKind(serial, "this thread", is_this_process=True)
    )
    process_cache.drop()
    with open_executor(ClusterSettings("serial")) as executor:
        dataset = open_zarr(str(data)).with_cache(1 << 20)
        summarise(dataset, executor, missing="error", sample_rows=100, seed=0)
        assert process_cache.n_bytes > 0
    assert process_cache.n_bytes == 0


@pytest.fixture
def npy(tmp_path: Path, X: NDArray[np.float64]) -> Path:
    np.save(tmp_path / "rows.npy", X)
    return tmp_path / "rows.npy"


def test_rows_of_a_format_are_fitted_labelled_and_known_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, npy: Path, data: Path, X: NDArray[np.float64]
) -> None:
    monkeypatch.setitem(FORMATS, "npy", open_npy)
    job = written(tmp_path, npy, data={"format": "npy"})
    assert run(["plan", str(job)]) == 0
    assert run(["run", "--quiet", str(job)]) == 0
    assert run(["run", "--quiet", "--exit-skip", str(job)]) == 99
    (tmp_path / "zarr").mkdir()
    assert run(["run", "--quiet", str(written(tmp_path / "zarr", data))]) == 0
    for product in ("model/arrays.npz", "outputs.zarr/labels/c/0"):
        ours, theirs = (f / "run" / product for f in (tmp_path, tmp_path / "zarr"))
        assert ours.read_bytes() == theirs.read_bytes()
    assert run(["run", "--quiet", str(written(tmp_path, npy, data={"format": "zarr"}))]) == 73
    dataset = open_stored("npy", DataSource(str(npy)))
    mixture, whole = (dgmm.GaussianMixture(3, random_state=0).fit(rows) for rows in (dataset, X))
    assert mixture.means_.tobytes() == whole.means_.tobytes()
    assert mixture.predict(dataset).tobytes() == whole.predict(X).tobytes()


@pytest.mark.slow
def test_a_format_of_an_installed_package_is_read_by_worker_processes(
    tmp_path: Path, npy: Path
) -> None:
    info = tmp_path / "site" / "npy_format-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: npy-format\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dgmm.formats]\nnpy = npy_format:open_npy\n")
    shutil.copy(npy_format.__file__, tmp_path / "site")
    cluster = {"kind": "local", "n_workers": 1, "memory_limit": "1 GiB"}
    job = written(tmp_path, npy, data={"format": "npy"}, cluster=cluster)
    places = [str(tmp_path / "site"), str(PROJECT), os.environ.get("PYTHONPATH", "")]
    ended = subprocess.run(
        [sys.executable, "-m", "dgmm", "run", "--quiet", str(job)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert record(tmp_path)["data"]["fingerprint"].keys() == {"shape", "dtype", "sha256"}


def test_a_job_names_the_package_that_cannot_be_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, npy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = tmp_path / "site" / "half_a_format-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: half-a-format\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dgmm.formats]\nhalf = half_a_format:opened\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert run(["run", "--quiet", str(written(tmp_path, npy, data={"format": "half"}))]) == 69
    expected_values._document_with.cache_clear()  # installed packages do not come and go otherwise
    said = capsys.readouterr().err
    assert "data.format 'half' of half-a-format" in said
    assert "No module named 'half_a_format'" in said


def test_a_format_that_does_not_exist_is_refused_with_those_that_do(
    tmp_path: Path, npy: Path
) -> None:
    with pytest.raises(
        JobFileError, match=r'found "npy", expected auto or one of zarr, labelled, .*, numpy '
    ):
        load_job(written(tmp_path, npy, data={"format": "npy"}))


def test_names_reach_schema_and_messages_as_they_are_registered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Path
) -> None:
    job = written(tmp_path, data, initialisation={"method": "by-rnk"})
    with pytest.raises(JobFileError, match=r'found "by-rnk", expected one of kmeans, .*, labels$'):
        load_job(job)
    monkeypatch.setitem(INITIALISERS, "by-rank", Initialiser(by_first_feature))
    choices = json_schema()["$defs"]["InitialisationSettings"]["properties"]["method"]["enum"]
    assert choices == list(INITIALISERS)
    assert choices[-2:] == ["labels", "by-rank"]
    with pytest.raises(JobFileError, match=r"labels, by-rank \(did you mean by-rank\?\)$"):
        load_job(job)
    with pytest.raises(DataError, match=r"^init_params is 'by-rnk'; expected one of .*by-rank$"):
        dgmm.GaussianMixture(3, init_params="by-rnk").fit(np.eye(3))
