"""Small data: jobs of several models choose what is there, with the criteria that are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusters import job, write_zarr
from numpy.typing import NDArray
from sklearn.datasets import load_iris

import dgmm
from dgmm import load_model
from dgmm.events import SilentListener
from dgmm.job import run_job

Rows = NDArray[np.float64]
#: Scrucca, Fraley, Murphy & Raftery, *Model-Based Clustering, Classification, and Density
#: Estimation Using mclust in R*, 2023; of mclust's sign, 2 log L less log n for each parameter.
FAITHFUL = {("full", 1): -2607.623, ("full", 2): -2322.192}
IRIS = {
    ("full", 1): -829.978,
    ("full", 2): -574.018,
    ("full", 3): -580.840,
    ("tied", 1): -829.978,
    ("tied", 2): -688.097,
}


def faithful() -> Rows:
    oracle = Path(__file__).resolve().parents[2] / "oracle"
    return np.loadtxt(oracle / "data" / "faithful.csv", delimiter=",", skiprows=1)


def swept(folder: Path, X: Rows, sizes: list[int], families: list[str]) -> dict[str, Any]:
    """What run.json has of the models of a job without regularisation."""
    model = {
        "n_components": sizes,
        "covariance_type": families,
        "reg_covar_relative": 0.0,
        "tol": 1e-8,
        "max_iter": 1000,
    }
    data, start = write_zarr(folder / "rows.zarr", X), {"n_sample_starts": 4}
    run_job(job(data, folder / "run", model=model, initialisation=start), SilentListener())
    found: dict[str, Any] = json.loads((folder / "run" / "run.json").read_text())["selection"]
    return found


@pytest.mark.parametrize(
    ("published", "name"), [(FAITHFUL, "faithful"), (IRIS, "iris")], ids=["faithful", "iris"]
)
def test_one_sweep_has_the_criteria_that_mclust_publishes(
    tmp_path: Path, published: dict[tuple[str, int], float], name: str
) -> None:
    X = faithful() if name == "faithful" else np.asarray(load_iris().data)
    sizes = sorted({k for _, k in published})
    families = sorted({family for family, _ in published})
    models = swept(tmp_path, X, sizes, families)["models"]
    found = {(m["covariance_type"], m["n_components"]): -m["bic"] for m in models}
    for model, bic in published.items():
        assert found[model] == pytest.approx(bic, abs=0.01), model
    if name == "faithful":
        _check_icl(X, models, tmp_path / "run")


def _check_icl(X: Rows, models: list[dict[str, Any]], run: Path) -> None:
    """By entropy (Biernacki et al., 2000), 2 Σ r log r; mclust's takes 2 Σ log max r instead."""
    two = next(m for m in models if m["n_components"] == 2)
    assert -two["icl"] == pytest.approx(-2323.58, abs=0.01)
    R = load_model(run / "models" / "full-2").predict_proba(X)
    by_label = -two["bic"] + 2.0 * np.log(R.max(axis=1)).sum()
    assert by_label == pytest.approx(-2322.70, abs=0.01)


@pytest.mark.filterwarnings("ignore:the chosen model")
def test_one_gaussian_is_one_component() -> None:
    X = np.random.default_rng(0).normal(size=(1000, 4)) @ np.diag([1.0, 2.0, 0.5, 3.0])
    found = dgmm.select(X, n_components=[1, 2, 3], n_sample_starts=2, random_state=0)
    assert found.chosen == found.lowest_bic == (1, "full")


def test_six_separated_gaussians_are_six_components() -> None:
    rng = np.random.default_rng(1)
    centres = 10.0 * np.array([[i, j] for i in range(3) for j in range(2)])
    X = centres[np.arange(1000) % 6] + rng.normal(size=(1000, 2))
    found = dgmm.select(X, n_components=[4, 5, 6, 7], n_sample_starts=2, random_state=0)
    assert found.chosen == found.lowest_bic == (6, "full")
