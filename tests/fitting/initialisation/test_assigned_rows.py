"""Starts at known labels or responsibilities: one M-step over all rows, in jobs and in Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from clusters import job

from dgmm import GaussianMixture, load_model
from dgmm.config import load_job
from dgmm.errors import DataError, DgmmError, JobFileError
from dgmm.events import SilentListener
from dgmm.job import run_job
from dgmm.mixture.covariance import FAMILIES

K, D, N = 3, 2, 900


def rows() -> tuple[np.ndarray, np.ndarray]:
    """Clusters that overlap, far from the origin, and which they are."""
    rng = np.random.default_rng(4)
    truth = rng.integers(K, size=N)
    centres = 1e4 + np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    return centres[truth] + rng.normal(size=(N, D)) * [1.0, 0.5], truth


def moments(X: np.ndarray, R: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and full covariances of responsibilities (n, k)."""
    n = R.sum(axis=0)
    means = (R.T @ X) / n[:, None]
    pairs = zip(means, R.T, strict=True)
    covariances = np.array([((X - m).T * r) @ (X - m) / r.sum() for m, r in pairs])
    return n / n.sum(), means, covariances


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("soft", [False, True])
def test_the_start_has_the_moments_of_the_rows(family: str, soft: bool) -> None:
    X, truth = rows()
    R = np.eye(K)[truth]
    if soft:
        R = np.random.default_rng(0).dirichlet(np.ones(K), size=N)
    begun = GaussianMixture.from_labels(
        X,
        R if soft else truth,
        covariance_type=family,
        reg_covar=0.0,
        reg_covar_relative=0.0,
        max_iter=0,
    )
    assert begun.n_components == K
    model = begun.fit(X).model_
    weights, means, full = moments(X, R)
    np.testing.assert_allclose(model.weights, weights, rtol=1e-10)
    np.testing.assert_allclose(model.means - 1e4, means - 1e4, atol=1e-8)
    pooled = np.tensordot(weights, full, axes=1)
    for j in range(K):
        whole = pooled if FAMILIES[family].is_shared else full[j]
        if family not in {"full", "tied"}:
            whole = np.diag(np.diag(whole))
        if family in {"spherical", "tied_spherical"}:
            whole = np.eye(D) * np.trace(whole) / D
        np.testing.assert_allclose(model.component_covariance(j), whole, rtol=1e-6, atol=1e-8)


def test_rows_whose_component_is_not_known_are_no_part_of_it_and_are_fitted() -> None:
    X, truth = rows()
    known = np.where(np.arange(N) % 3 == 0, truth, -1)
    begun = GaussianMixture.from_labels(X, known)
    _, means, _ = moments(X[::3], np.eye(K)[truth[::3]])
    np.testing.assert_allclose(begun.means_init, means, rtol=1e-12)
    fitted = begun.fit(X)
    assert (fitted.predict(X) == truth).mean() > 0.9


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.zeros(5, int), r"the shape \(5,\); expected \(900,\), or \(900, k\)"),
        (np.zeros(N), "labels are float64; expected integers"),
        (np.full(N, -2), "labels are −1 where none is known, and else from 0"),
        (np.where(np.arange(N) < 2, 2**62, 0), "the largest label is 4611686018427387904, of 900"),
        (np.zeros((N, 0)), "responsibilities are 0 columns of float64"),
        (np.full((N, 2), "a"), "responsibilities are 2 columns of <U1"),
        (np.full((N, 2), 0.7), "sum to at most 1 in each row"),
        (
            np.where(np.arange(N) < 1, 1, 0),
            "1 has 1 row of its own, and its full covariance needs 3",
        ),
        (
            np.where(np.arange(N) < 2, 1, 0),
            "1 has 2 rows of its own, and its full.* simpler covariance_type$",
        ),
    ],
)
def test_what_are_no_labels_is_refused(labels: np.ndarray, told: str) -> None:
    with pytest.raises(DataError, match=told):
        GaussianMixture.from_labels(rows()[0], labels)


def test_a_constant_feature_and_a_first_block_without_whole_rows_are_no_obstacle(
    tmp_path: Path,
) -> None:
    X, truth = rows()
    X = np.column_stack([X, np.ones(N)])
    begun = GaussianMixture.from_labels(X, truth.astype(np.uint64))
    with pytest.warns(UserWarning, match="constant in the sample"):
        fitted = begun.fit(X)
    assert (fitted.predict(X) == truth).mean() > 0.9
    X[:200, 0] = np.nan
    zarr.create_array(str(tmp_path / "rows.zarr"), data=X, chunks=(200, X.shape[1]))
    begun = GaussianMixture.from_labels(str(tmp_path / "rows.zarr"), truth)
    _, means, _ = moments(X[200:], np.eye(K)[truth[200:]])
    np.testing.assert_allclose(begun.means_init, means, rtol=1e-9)


@pytest.mark.parametrize(("kind", "factor"), [("counts", 1.0), ("importance", 1e-3)])
def test_weights_of_rows_count_in_the_start(kind: str, factor: float) -> None:
    X, truth = rows()
    w = np.random.default_rng(1).integers(0, 4, N)
    begun = GaussianMixture.from_labels(
        X, truth, sample_weight=factor * w, weight_kind=kind, reg_covar=0.0, reg_covar_relative=0.0
    )
    weights, means, covariances = moments(np.repeat(X, w, axis=0), np.eye(K)[np.repeat(truth, w)])
    np.testing.assert_allclose(begun.weights_init, weights, rtol=1e-10)
    np.testing.assert_allclose(begun.means_init, means, rtol=1e-10)
    np.testing.assert_allclose(np.linalg.inv(begun.precisions_init), covariances, rtol=1e-8)
    with pytest.raises(DataError, match="sample_weight has shape"):
        GaussianMixture.from_labels(X, truth, sample_weight=w[:5])


def test_sorted_rows_have_the_regularisation_of_all(tmp_path: Path) -> None:
    """Blocks of one class each, the first of least spread: the share is of all rows' variance."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(K), 300)
    X = (truth[:, None] - 1) * 50.0 + rng.normal(size=(900, 2)) * 10.0 ** (truth[:, None] - 2)
    zarr.create_array(str(tmp_path / "rows.zarr"), data=X, chunks=(300, 2))
    mixed = rng.permutation(900)
    found = [
        GaussianMixture.from_labels(rows, labels, reg_covar_relative=1e-3).precisions_init
        for rows, labels in ((str(tmp_path / "rows.zarr"), truth), (X[mixed], truth[mixed]))
    ]
    np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-9 * np.abs(found[0]).max())


def test_an_estimator_that_has_no_labels_says_where_they_are_given() -> None:
    with pytest.raises(DataError, match=r"init_params is labels.*from_labels\(X, labels\)"):
        GaussianMixture(K, init_params="labels").fit(rows()[0])


def stored(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    X, truth = rows()
    group = zarr.open_group(str(folder / "data.zarr"), mode="w")
    for name, values in (("rows", X), ("species", truth)):
        array = group.create_array(
            name, shape=values.shape, dtype=values.dtype, chunks=(200, 2)[: values.ndim]
        )
        array[...] = values
    return X, truth


def options(folder: Path, k: int = K) -> dict[str, dict[str, object]]:
    return {
        "data": {"path": str(folder / "data.zarr"), "array": "rows", "classes": "species"},
        "model": {"n_components": k, "reg_covar_relative": 0.0},
        "initialisation": {"method": "labels"},
    }


def test_a_job_begins_at_the_classes_of_its_rows(tmp_path: Path) -> None:
    X, truth = stored(tmp_path)
    keys = options(tmp_path)
    keys["model"]["max_iter"] = 0
    run_job(job(tmp_path / "data.zarr", tmp_path / "run", **keys), SilentListener())
    weights, means, _ = moments(X, np.eye(K)[truth])
    model = load_model(tmp_path / "run")
    np.testing.assert_allclose(model.weights, weights, rtol=1e-10)
    np.testing.assert_allclose(model.means, means, rtol=1e-12)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["start_classes"] == ["0", "1", "2"]


def test_classes_of_the_start_follow_the_order_of_the_components(tmp_path: Path) -> None:
    """Classes of 300, 600 and 900 rows, in the order of their names: by weight it is reversed."""
    rng = np.random.default_rng(4)
    truth = np.repeat([0, 1, 2], [300, 600, 900])
    X = 20.0 * truth[:, None] + rng.normal(size=(len(truth), 2))
    group = zarr.open_group(str(tmp_path / "data.zarr"), mode="w")
    for name, values in (("rows", X), ("species", truth)):
        array = group.create_array(name, shape=values.shape, dtype=values.dtype)
        array[...] = values
    keys = options(tmp_path)
    keys["model"]["component_order"] = "weight"
    run_job(job(tmp_path / "data.zarr", tmp_path / "run", **keys), SilentListener())
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["start_classes"] == ["2", "1", "0"]
    assert load_model(tmp_path / "run").means[:, 0].round(-1).tolist() == [40.0, 20.0, 0.0]


def test_em_goes_on_from_there_with_the_same_bits_for_any_chunks(tmp_path: Path) -> None:
    stored(tmp_path)
    keys = options(tmp_path)
    found = []
    for n_workers in (1, 2):
        run = tmp_path / f"run{n_workers}"
        cluster = {"kind": "threads", "n_workers": n_workers}
        run_job(job(tmp_path / "data.zarr", run, cluster=cluster, **keys), SilentListener())
        found.append(load_model(run))
    assert found[0].means.tobytes() == found[1].means.tobytes()


def test_a_finished_run_is_not_that_of_other_labels(tmp_path: Path) -> None:
    stored(tmp_path)
    asked = job(tmp_path / "data.zarr", tmp_path / "run", **options(tmp_path))
    run_job(asked, SilentListener())
    before = (tmp_path / "run" / "run.json").read_bytes()
    run_job(asked, SilentListener())
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    labels = zarr.open_array(str(tmp_path / "data.zarr" / "species"), mode="r+")
    labels[0] = (int(labels[0]) + 1) % K
    with pytest.raises(DgmmError, match=r"other data|have changed"):
        run_job(asked, SilentListener())


def test_more_classes_than_components_are_named(tmp_path: Path) -> None:
    stored(tmp_path)
    with pytest.raises(DataError, match=r"has 3 classes \(0, 1, 2\), and model.n_components is 2"):
        run_job(job(tmp_path / "d", tmp_path / "run", **options(tmp_path, 2)), SilentListener())


def test_several_models_have_no_start_at_labels(tmp_path: Path) -> None:
    keys = options(tmp_path)
    keys["model"]["n_components"] = [2, 3]
    with pytest.raises(DataError, match=r"initialisation.method is labels.* there are 2"):
        run_job(job(tmp_path / "d", tmp_path / "run", **keys), SilentListener())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("data: {path: a.zarr}", "method: labels needs the class of each row"),
        ("data: {path: a.zarr, classes: c, groups: g}", "a start at labels takes each row"),
    ],
)
def test_a_job_file_without_labels_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "job.yaml"
    rest = "model: {n_components: 2}\ninitialisation: {method: labels}\noutput: {path: r}\n"
    path.write_text(f"{text}\n{rest}")
    with pytest.raises(JobFileError, match=told):
        load_job(path)
