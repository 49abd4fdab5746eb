"""The same bits wherever a job runs and however its data are chunked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from clusters import gaussian_clusters, job, write_zarr
from shell_cluster import Scheduler, scheduler

from dgmm.events import SilentListener
from dgmm.job import run_job

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: 9 blocks of 8192 rows, the last one short, so that every place cuts the tree differently.
N, D = 70_001, 32
#: Clusters that overlap: EM still moves, and every bit of its path counts.
SPREAD = 1.5
MODEL = {"n_components": 4, "max_iter": 4, "tol": 0}


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return gaussian_clusters(N, D, 4, spread=SPREAD)[0].astype(np.float32)


@pytest.fixture(scope="module")
def data(rows: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zarr(tmp_path_factory.mktemp("data") / "rows.zarr", rows, chunks=(10_000, D))


def bits(data: Path, directory: Path, **sections: dict) -> dict[str, str]:
    """Digests of the model, of every output, and of the exact likelihood of a run."""
    wanted = {"output": {"anomaly_quantile": 0.01}, "anomalies": {"top": 30}, "model": MODEL}
    sections = wanted | sections
    result = run_job(job(data, directory, **sections), SilentListener())
    told = json.loads((directory / "run.json").read_text())
    assert result.exit_code == 0
    assert told["environment"]["mixed"] is False
    model = hashlib.sha256((directory / "model" / "arrays.npz").read_bytes()).hexdigest()
    outputs = {name: array["sha256"] for name, array in told["outputs"].items()}
    own = {"backend": told["backend"], "likelihood": float(told["log_likelihood"]).hex()}
    listed = (directory / "anomalies" / "rows.csv").read_bytes()
    own["anomalies"] = hashlib.sha256(listed).hexdigest()
    return {"model": model} | own | outputs


@pytest.fixture(scope="module")
def reference(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("runs") / "reference"
    return bits(data, directory, cluster={"kind": "threads", "n_workers": 1})


@pytest.mark.parametrize(
    "cluster",
    [
        {"kind": "threads", "n_workers": 2},
        {"kind": "threads", "n_workers": 5},
        {"kind": "local", "n_workers": 1},
        {"kind": "local", "n_workers": 2},
        {"kind": "local", "n_workers": 3},
    ],
    ids=lambda c: f"{c['kind']}-{c['n_workers']}",
)
def test_threads_and_workers_of_any_number_give_the_same_bits(
    data: Path, tmp_path: Path, reference: dict[str, str], cluster: dict
) -> None:
    assert bits(data, tmp_path / "run", cluster=cluster) == reference
    assert reference["backend"] == ("numba" if find_spec("numba") else "numpy")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduler]:
    with ExitStack() as stack:
        found = stack.enter_context(scheduler(tmp_path_factory.mktemp("dask")))
        for _ in range(2):
            stack.enter_context(found.worker())
        yield found


@pytest.mark.parametrize("by", ["address", "scheduler_file"])
def test_a_cluster_started_from_a_shell_gives_the_same_bits(
    data: Path, tmp_path: Path, reference: dict[str, str], shell: Scheduler, by: str
) -> None:
    where = {"address": shell.address, "scheduler_file": str(shell.file)}[by]
    assert bits(data, tmp_path / "run", cluster={by: where}) == reference


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (N, D)},
        {"chunks": (333, D)},
        {"chunks": (8192, D)},
        {"chunks": (5000, 7)},
        {"chunks": (1000, D), "shards": (20_000, D)},
        {"chunks": (4096, D), "zarr_format": 2},
    ],
    ids=["one", "small", "as-blocks", "split-along-features", "sharded", "v2"],
)
def test_any_chunking_gives_the_same_bits(
    rows: np.ndarray, tmp_path: Path, reference: dict[str, str], options: dict
) -> None:
    data = write_zarr(tmp_path / "rows.zarr", rows, **options)
    assert bits(data, tmp_path / "run") == reference


def test_another_seed_gives_other_bits(
    data: Path, tmp_path: Path, reference: dict[str, str]
) -> None:
    assert bits(data, tmp_path / "run", seed=1)["model"] != reference["model"]


@pytest.mark.parametrize("family", ["tied", "diag", "spherical", "tied_diag", "tied_spherical"])
def test_every_family_gives_the_same_bits_on_any_number_of_threads(
    data: Path, tmp_path: Path, family: str
) -> None:
    model = MODEL | {"covariance_type": family}
    found = [
        bits(
            data,
            tmp_path / str(n),
            model=model,
            cluster={"kind": "threads", "n_workers": n},
        )
        for n in (1, 3)
    ]
    assert found[0] == found[1]


def test_a_candidates_bits_are_those_of_its_run_alone(data: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    bits(data, both, model=MODEL | {"n_init": 2})
    alone = tmp_path / "alone"
    bits(data, alone, model=MODEL)
    first = json.loads((both / "run.json").read_text())["restarts"][0]
    only = json.loads((alone / "run.json").read_text())["restarts"][0]
    assert first["mean_log_likelihood"] == only["mean_log_likelihood"]
