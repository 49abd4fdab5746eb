"""Components of a given start that stay as they are while all else is fitted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clusters import job, write_zarr
from scipy import stats

from dgmm import GaussianMixture, load_model
from dgmm.config import load_job
from dgmm.data.array_dataset import ArrayDataset
from dgmm.errors import DataError, JobFileError
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.fit import Fit, fit
from dgmm.fitting.settings import FitSettings
from dgmm.job import run_job
from dgmm.mixture.covariance import family_named
from dgmm.mixture.criteria import n_parameters
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import save_model

FAMILIES = ["full", "diag", "spherical"]


def rows(n: int = 900) -> np.ndarray:
    rng = np.random.default_rng(2)
    centres = np.array([[0.0, 0.0], [6.0, 1.0], [2.0, 7.0]])
    return centres[np.arange(n) % 3] + rng.normal(size=(n, 2))


def begun(family: str, means: object = ((1.0, 0.5), (5.0, 2.0), (2.0, 5.0))) -> MixtureModel:
    """Three components beside the clusters, wider than these."""
    k = len(np.asarray(means))
    precisions = {
        "full": [np.eye(2) / 2.0] * k,
        "diag": np.full((k, 2), 0.5),
        "spherical": np.full(k, 0.5),
        "tied": np.eye(2) / 2.0,
    }[family]
    return GaussianMixture(
        k, covariance_type=family, max_iter=0, weights_init=[1.0 / k] * k, means_init=means,
        precisions_init=precisions,
    ).fit(rows()).model_  # fmt: skip


def fitted(start: MixtureModel, X: np.ndarray, **options: object) -> Fit:
    settings = FitSettings(
        start.n_components, start.covariance_type, method="given", reg_covar_relative=0.0, **options
    )
    with ThreadExecutor(1) as executor:
        given = start.standardised_parameters
        return fit(ArrayDataset(X), executor, settings, SilentListener(), given)


def plain_em(start: MixtureModel, X: np.ndarray, frozen: tuple[int, ...], n_iter: int) -> tuple:
    """EM in user units, component by component, with some of them held."""
    k = start.n_components
    weights, means = np.array(start.weights), np.array(start.means)
    covariances = np.array([start.component_covariance(j) for j in range(k)])
    for _ in range(n_iter):
        L = np.column_stack(
            [
                np.log(weights[j]) + stats.multivariate_normal(means[j], covariances[j]).logpdf(X)
                for j in range(k)
            ]
        )
        R = np.exp(L - np.logaddexp.reduce(L, axis=1, keepdims=True))
        weights = R.mean(axis=0)
        for j in set(range(k)) - set(frozen):
            means[j] = R[:, j] @ X / R[:, j].sum()
            D = X - means[j]
            S = (R[:, j, None] * D).T @ D / R[:, j].sum()
            if start.covariance_type != "full":
                S = np.diag(np.diag(S))
            covariances[j] = (
                np.eye(2) * np.trace(S) / 2 if start.covariance_type == "spherical" else S
            )
    return weights, means, covariances


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("frozen", [(1,), (2, 0)])
@pytest.mark.filterwarnings("ignore:.*MAX_ITER_REACHED")
def test_all_else_is_fitted_as_by_a_plain_program(family: str, frozen: tuple[int, ...]) -> None:
    start, X = begun(family), rows()
    found = fitted(start, X, freeze=frozen, max_iter=6, tol=0.0, acceleration="none").model
    weights, means, covariances = plain_em(start, X, frozen, 6)
    np.testing.assert_allclose(found.weights, weights, atol=1e-11)
    np.testing.assert_allclose(found.means, means, atol=1e-10)
    for j in range(3):
        np.testing.assert_allclose(found.component_covariance(j), covariances[j], atol=1e-10)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("inference", ["maximum_likelihood", "map"])
def test_frozen_components_stay_and_the_objective_never_falls(family: str, inference: str) -> None:
    start = begun(family)
    found = fitted(start, rows(), freeze=(2, 0), tol=1e-9, inference=inference)
    assert found.chosen.outcome is not None
    assert found.chosen.outcome.name == "CONVERGED"
    assert np.diff(found.chosen.history).min() >= -1e-10
    np.testing.assert_allclose(found.model.means[[0, 2]], start.means[[0, 2]], rtol=1e-14)
    for j in (0, 2):
        own = found.model.component_covariance(j)
        np.testing.assert_allclose(own, start.component_covariance(j), rtol=1e-14)
    assert np.abs(found.model.means[1] - start.means[1]).max() > 0.5
    assert found.n_frozen_parameters == 2 * (2 + family_named(family).n_parameters(1, 2))


def test_a_frozen_component_without_rows_is_kept_and_others_are_not() -> None:
    """Far from all rows its weight becomes 0; the third, on equal rows, is dropped."""
    X = np.concatenate([rows(), np.full((50, 2), 30.0)])
    start = begun("full", ((0.0, 0.0), (500.0, 500.0), (30.0, 30.0), (4.0, 4.0)))
    found = fitted(start, X, freeze=(1,), on_collapse="drop", n_sample_starts=0)
    assert found.model.n_components == 3
    dropped = [e for e in found.events if e.kind == "dropped"]
    assert [(e.component, e.message[:17]) for e in dropped] == [(2, "component 2 of 4 ")]
    assert any("component 2 of 4" in text for text in found.warnings)
    assert (found.origins, found.frozen) == ((0, 1, 3), (1,))
    far = int(np.argmax(found.model.means[:, 0]))
    assert far == 1
    np.testing.assert_allclose(found.model.means[far], [500.0, 500.0], rtol=1e-12)
    assert found.model.weights[far] < 1e-12


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"freeze": (3,)}, r"freeze is \[3\]; expected numbers of components, from 0 to 2"),
        ({"freeze": (1, 1)}, "each once"),
        ({"freeze": (1,), "method": "kmeans"}, "needs a model to take components from"),
        ({"freeze": (1,), "covariance_type": "tied"}, "tied components share their covariance"),
        ({"freeze": (1,), "inference": "variational"}, "are distributions"),
    ],
)
def test_what_cannot_be_frozen_is_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(DataError, match=told):
        FitSettings(3, **{"method": "given"} | options)


def test_a_job_freezes_components_of_the_model_it_starts_from(tmp_path: Path) -> None:
    X, start = rows(), begun("full")
    write_zarr(tmp_path / "rows.zarr", X)
    save_model(start, tmp_path / "start")
    keys = {"freeze": [2], "reg_covar_relative": 0.0}
    asked = job(
        tmp_path / "rows.zarr", tmp_path / "run", model=keys,
        initialisation={"method": "given", "model": str(tmp_path / "start")},
    )  # fmt: skip
    run_job(asked, SilentListener())
    model = load_model(tmp_path / "run")
    expected = fitted(start, X, freeze=(2,)).model
    assert model.means.tobytes() == expected.means.tobytes()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    free = n_parameters(family_named("full"), 3, 2) - 5
    assert record["n_parameters"] == free
    bic = -2 * record["log_likelihood"] + free * np.log(len(X))
    assert record["criteria"]["bic"] == pytest.approx(bic, rel=1e-12)


@pytest.mark.parametrize(
    ("model", "start", "told"),
    [
        ("freeze: [0]", "", r"write initialisation: \{model: PATH\}"),
        (
            "freeze: [3]",
            "initialisation: {model: m}",
            "numbers of components, from 0 to 2",
        ),
        ("freeze: [1.0]", "initialisation: {model: m}", "freeze"),
        ("freeze: [1]", "initialisation: {model: m}\nadapt: {relevance: 9}", "contradicts adapt"),
        ("freeze: [1, 1]", "initialisation: {model: m}", "more than once"),
        (
            "freeze: [1], covariance_type: tied",
            "initialisation: {model: m}",
            "which all components share",
        ),
        ("freeze: [1], inference: variational", "initialisation: {model: m}", "distributions"),
        ("freeze: [-1]", "initialisation: {model: m}", "freeze"),
    ],
)
def test_a_job_file_that_freezes_what_it_cannot_is_refused(
    tmp_path: Path, model: str, start: str, told: str
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        f"data: {{path: rows.zarr}}\nmodel: {{n_components: 3, {model}}}\n{start}\n"
        "output: {path: run}\n"
    )
    with pytest.raises(JobFileError, match=told):
        load_job(path)


@pytest.mark.parametrize("k", ["[3]", "{from: 3, to: 3}"])
def test_a_list_of_one_number_is_that_number(tmp_path: Path, k: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        f"data: {{path: rows.zarr}}\nmodel: {{n_components: {k}, freeze: [3]}}\n"
        "initialisation: {model: m}\noutput: {path: run}\n"
    )
    with pytest.raises(JobFileError, match=r"model.freeze.*from 0 to 2"):
        load_job(path)


def test_the_order_by_weight_is_of_all_components() -> None:
    start = begun("full")
    found = fitted(start, rows(), freeze=(0, 2), component_order="weight").model
    assert (np.diff(found.weights) <= 0).all()
    told = fitted(start, rows(), freeze=(2, 0), component_order="weight")
    held = told.model.means[list(told.frozen)]
    np.testing.assert_allclose(held, start.means[[2, 0]], rtol=1e-12)
    plain = fitted(start, rows(), freeze=(0, 2)).model
    assert replace(plain).ordered_by_weight().means.tobytes() == found.means.tobytes()


def test_a_job_goes_on_where_a_component_that_is_not_frozen_is_lost(tmp_path: Path) -> None:
    write_zarr(tmp_path / "rows.zarr", rows())
    start = begun("full", ((500.0, 500.0), (0.0, 0.0), (4.0, 4.0)))
    save_model(start, tmp_path / "start")
    asked = job(
        tmp_path / "rows.zarr", tmp_path / "run", model={"freeze": [2], "on_collapse": "drop"},
        initialisation={"method": "given", "model": str(tmp_path / "start")},
    )  # fmt: skip
    run_job(asked, SilentListener())
    model = load_model(tmp_path / "run")
    assert model.n_components == 2
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["frozen"] == [1]
    np.testing.assert_allclose(model.means[1], [4.0, 4.0], rtol=1e-12)
    lost = [e for e in record["component_log"] if e["kind"] == "dropped"]
    assert [(e["component"], e["message"][:17]) for e in lost] == [(0, "component 0 of 3 ")]
    lines = (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    heard = [e for e in map(json.loads, lines) if e.get("kind") == "dropped"]
    assert [e["component"] for e in heard] == [0]
