"""Numbers of components that do not depend on the start, and clusters of merged components."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from clusters import gaussian_clusters

from dgmm import GaussianMixture, load_model
from dgmm.data.array_dataset import ArrayDataset
from dgmm.errors import DataError
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.fit import fit
from dgmm.fitting.settings import FitSettings
from dgmm.model.model_files import save_model

FAMILIES = ["full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"]


def bows() -> tuple[np.ndarray, np.ndarray]:
    """Two bent clusters, of which a mixture needs several components each."""
    rng = np.random.default_rng(0)
    t = rng.uniform(0.0, np.pi, 4000)
    bow = np.stack([10 * np.cos(t), 10 * np.sin(t)], 1)
    apart = np.where(np.arange(4000)[:, None] < 3000, 0.0, 60.0)
    return bow + apart + rng.normal(size=(4000, 2)), (np.arange(4000) >= 3000).astype(int)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("inference", ["maximum_likelihood", "variational"])
def test_a_permuted_mixture_is_numbered_as_the_first_one(family: str, inference: str) -> None:
    X, _ = gaussian_clusters(2000)
    model = GaussianMixture(
        4, covariance_type=family, inference=inference, random_state=0
    ).fit(X).model_  # fmt: skip
    k = model.n_components
    wanted = model.ordered_by_weight()
    assert (np.diff(wanted.weights) <= 0).all()
    assert sorted(wanted.weights) == sorted(model.weights)
    for shift in range(k):
        order = np.roll(np.arange(k), shift)
        mixed = replace(model, parameters=model.parameters.take(order))
        found = mixed.ordered_by_weight()
        assert found.means.tobytes() == wanted.means.tobytes()
        assert found.covariances.tobytes() == wanted.covariances.tobytes()
        np.testing.assert_array_equal(found.predict(X), wanted.predict(X))
        np.testing.assert_allclose(mixed.score_samples(X), model.score_samples(X), rtol=1e-12)


def test_equal_weights_go_by_the_first_mean_that_differs() -> None:
    X, _ = gaussian_clusters(2000)
    start = {"weights_init": [0.25] * 4, "means_init": [[5, 1], [5, 0], [-3, 9], [-3, 2]]}
    model = GaussianMixture(
        4, covariance_type="spherical", max_iter=0, precisions_init=np.ones(4), **start
    ).fit(X[:, :2]).model_  # fmt: skip
    ordered = model.ordered_by_weight().means
    np.testing.assert_allclose(ordered, [[-3, 2], [-3, 9], [5, 0], [5, 1]])


def test_a_fit_numbers_components_by_weight_where_it_is_asked_to() -> None:
    rng = np.random.default_rng(0)
    sizes, centres = (300, 600, 1200), (0.0, 20.0, 40.0)
    X = np.concatenate(
        [
            c + rng.normal(size=(n, 2)) * (1.0, 1.0 + c / 20)
            for n, c in zip(sizes, centres, strict=True)
        ]
    )
    light_first = GaussianMixture(
        3, max_iter=0, weights_init=[1 / 3] * 3, means_init=[[c, c] for c in centres],
        precisions_init=[np.eye(2)] * 3,
    ).fit(X).model_  # fmt: skip
    models = []
    for order in ("start", "weight"):
        settings = FitSettings(3, method="given", component_order=order, reg_covar_relative=1e-3)
        given = light_first.standardised_parameters
        with ThreadExecutor(1) as executor:
            models.append(fit(ArrayDataset(X), executor, settings, SilentListener(), given))
    plain, ordered = models
    assert (np.diff(plain.model.weights) > 0).all()
    wanted = plain.model.ordered_by_weight()
    assert ordered.model.means.tobytes() == wanted.means.tobytes()
    assert ordered.events
    order = [int(np.flatnonzero(plain.model.weights == w)[0]) for w in ordered.model.weights]
    told = {e.component: e.message.partition("(")[2] for e in plain.events}
    for event in ordered.events:  # notes of components follow their numbers
        assert event.message.partition("(")[2] == told[order[event.component]]


def test_clusters_are_renumbered_with_their_components() -> None:
    X, _ = gaussian_clusters(2000)
    model = GaussianMixture(4, random_state=0).fit(X).model_
    clustered = replace(model, clusters=(0, 1, 0, 2))
    ordered = clustered.ordered_by_weight()
    assert ordered.clusters is not None
    assert ordered.clusters[0] == 0
    assert set(ordered.clusters) == {0, 1, 2}
    of_rows, again = clustered.predict_clusters(X), ordered.predict_clusters(X)
    assert len(set(zip(of_rows, again, strict=True))) == 3


def test_bent_clusters_are_merged_and_told_apart(tmp_path) -> None:
    X, truth = bows()
    model = GaussianMixture(8, random_state=0).fit(X).model_
    with pytest.raises(DataError, match=r"no clusters: merge_components\(X\) makes them"):
        model.predict_clusters(X)
    merged = model.merge_components(X)
    found = merged.predict_clusters(X)
    assert len(set(zip(found, truth, strict=True))) == 2
    save_model(merged, tmp_path / "model")
    again = load_model(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_clusters(X), found)
    assert len({*(model.merge_components(X, max_entropy=9.0).clusters or ())}) == 8
    assert len({*(model.merge_components(X, min_overlap=9.0).clusters or ())}) == 8
    three = model.merge_components(X, n_clusters=3)
    assert set(three.predict_clusters(X)) == {0, 1, 2}
    with pytest.raises(DataError, match="n_clusters is 9; expected a whole number from 1 to 8"):
        model.merge_components(X, n_clusters=9)


def test_of_many_rows_some_at_even_distances_decide(monkeypatch) -> None:
    X, _ = bows()
    model = GaussianMixture(8, random_state=0).fit(X).model_
    monkeypatch.setattr("dgmm.model.component_order.MOST_ROWS", 500)
    few = model.merge_components(X).clusters
    assert few == model.merge_components(X[np.linspace(0, 3999, 500).astype(int)]).clusters


def test_rows_that_cannot_be_scored_merge_nothing_and_what_means_nothing_is_refused() -> None:
    X, _ = gaussian_clusters(2000)
    model = GaussianMixture(4, random_state=0).fit(X).model_
    lacking = np.concatenate([X, np.full((3, X.shape[1]), np.nan)])
    with pytest.warns(UserWarning, match="have no value at all"):
        clusters = model.merge_components(lacking).clusters
    assert clusters == model.merge_components(X).clusters
    with (
        pytest.warns(UserWarning, match="have no value at all"),
        pytest.raises(DataError, match="no row whose posteriors are known"),
    ):
        model.merge_components(lacking[-3:])
    for n in (0, 2.5, True, "2"):
        with pytest.raises(DataError, match="expected a whole number from 1 to 4"):
            model.merge_components(X, n_clusters=n)
    for most in (-1.0, float("nan"), "a"):
        with pytest.raises(DataError, match="expected a number of at least 0"):
            model.merge_components(X, max_entropy=most)
        with pytest.raises(DataError, match=r"min_overlap is .*expected a number of at least 0"):
            model.merge_components(X, min_overlap=most)
