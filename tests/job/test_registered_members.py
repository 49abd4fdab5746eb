"""What a test registers runs through `dgmm run` and the estimator as what is built in does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import gaussian_clusters, write_zarr
from numpy.typing import NDArray

import dgmm
from dgmm.cli.entry_point import run
from dgmm.config import json_schema, load_job
from dgmm.errors import DataError, JobFileError
from dgmm.fitting.initialisation import INITIALISERS, Initialiser, StartRequest
from dgmm.mixture.parameters import Parameters


@pytest.fixture(scope="module", name="X")
def rows() -> NDArray[np.float64]:
    return gaussian_clusters(600)[0]


@pytest.fixture
def data(tmp_path: Path, X: NDArray[np.float64]) -> Path:
    return write_zarr(tmp_path / "rows.zarr", X)


def written(folder: Path, data: Path, **sections: dict[str, Any]) -> Path:
    """A job file in a folder, its run directory beside it."""
    tree = {
        "data": {"path": str(data)},
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


def test_names_reach_schema_and_messages_as_they_are_registered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Path
) -> None:
    job = written(tmp_path, data, initialisation={"method": "by-rnk"})
    with pytest.raises(JobFileError, match=r'found "by-rnk", expected one of kmeans, .*, given$'):
        load_job(job)
    monkeypatch.setitem(INITIALISERS, "by-rank", Initialiser(by_first_feature))
    choices = json_schema()["$defs"]["InitialisationSettings"]["properties"]["method"]["enum"]
    assert choices == list(INITIALISERS)
    assert choices[-2:] == ["given", "by-rank"]
    with pytest.raises(JobFileError, match=r"given, by-rank \(did you mean by-rank\?\)$"):
        load_job(job)
    with pytest.raises(DataError, match=r"^init_params is 'by-rnk'; expected one of .*by-rank$"):
        dgmm.GaussianMixture(3, init_params="by-rnk").fit(np.eye(3))
