"""k-means and families on the same rows: what is held out, what is summed, what it depends on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from clusters import gaussian_clusters
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.summary.summarise import summarise
from dgmm.errors import ComponentError
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.comparison import comparing
from dgmm.fitting.comparison.centres import Centres, k_means
from dgmm.fitting.comparison.comparing import Comparison, compare
from dgmm.fitting.comparison.method_names import FAMILIES
from dgmm.fitting.comparison.sums import ComparisonSums
from dgmm.fitting.fit import fit
from dgmm.fitting.selection.folds import Folds
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.backends import get
from dgmm.model.mixture_model import MixtureModel

SETTINGS = FitSettings(n_components=3, covariance_type="full", backend="numpy", seed=4)


def rows(n: int = 12_000) -> NDArray[np.float64]:
    """Three clusters, of different widths."""
    X, labels = gaussian_clusters(n, 3, 3, seed=2, spread=4.0)
    return X * np.where(labels == 1, 0.3, 1.0)[:, None]


def compared(
    X: NDArray[np.float64], threads: int = 2, settings: FitSettings = SETTINGS, **own: Any
) -> Comparison:
    dataset = ArrayDataset(X)
    with ThreadExecutor(threads) as executor:
        found = summarise(dataset, executor, missing="error", sample_rows=5000, seed=4)
        return compare(dataset, executor, found, settings, **own)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compared(rows())


def test_there_are_four_families_and_k_means(comparison: Comparison) -> None:
    assert [method.name for method in comparison.methods] == [*FAMILIES, "k-means"]
    assert comparison.failed == {}
    assert all(method.passes > 0 for method in comparison.methods)
    assert all(0 < method.seconds_per_row < 1 for method in comparison.methods)
    assert all(0.5 < (method.agreement or 0) <= 1 for method in comparison.methods)


def test_sums_are_those_of_each_row_scored_by_each_model(comparison: Comparison) -> None:
    X, sums = rows(), comparison.sums
    unseen = Folds(5, 1, SETTINGS.seed).of_rows(np.arange(len(X))) == 0
    assert sums.n_held_out == unseen.sum()
    assert (sums.n_read, sums.n_dropped) == (len(X), 0)
    mixtures = [m.fitted for m in comparison.methods if isinstance(m.fitted, MixtureModel)]
    L = np.array([mixture.score_samples(X) for mixture in mixtures])
    np.testing.assert_allclose(sums.log_likelihood, L.sum(axis=1), rtol=1e-10)
    np.testing.assert_allclose(sums.held_out, L[:, unseen].sum(axis=1), rtol=1e-10)
    differences = L[:, None, unseen] - L[None, :, unseen]
    np.testing.assert_allclose(sums.squares, (differences**2).sum(axis=2), rtol=1e-8, atol=1e-9)
    labels = [mixture.predict(X) for mixture in mixtures]
    centres = comparison.methods[-1].fitted
    assert isinstance(centres, Centres)
    labels.append(centres.labels(X))
    for a in range(5):
        for b in range(5):
            if a != b:
                expected = np.zeros((3, 3), dtype=int)
                np.add.at(expected, (labels[a], labels[b]), 1)
                np.testing.assert_array_equal(sums.table(a, b), expected)


def test_no_method_sees_a_row_that_is_held_out(comparison: Comparison) -> None:
    X = rows()
    unseen = Folds(5, 1, SETTINGS.seed).of_rows(np.arange(len(X))) == 0
    others = np.where(unseen[:, None], 7.0 - 2.0 * X, X)
    found = compared(others)
    for before, after in zip(comparison.methods, found.methods, strict=True):
        if isinstance(before.fitted, MixtureModel):
            assert isinstance(after.fitted, MixtureModel)
            np.testing.assert_array_equal(before.fitted.means, after.fitted.means)
            np.testing.assert_array_equal(before.fitted.covariances, after.fitted.covariances)
    assert (found.sums.held_out < comparison.sums.held_out).all()


def test_bits_do_not_depend_on_threads(comparison: Comparison) -> None:
    found = compared(rows(), threads=3)
    for name in ("log_likelihood", "held_out", "squares", "tables"):
        np.testing.assert_array_equal(getattr(found.sums, name), getattr(comparison.sums, name))
    assert [m.agreement for m in found.methods] == [m.agreement for m in comparison.methods]


def test_rows_that_are_left_out_are_in_no_sum() -> None:
    X = rows(9000)
    X[::10, 1] = np.nan
    dataset, complete = ArrayDataset(X), np.isfinite(X).all(axis=1)
    with ThreadExecutor(2) as executor:
        found = summarise(dataset, executor, sample_rows=3000, seed=4, missing="drop")
        sums = compare(dataset, executor, found, SETTINGS).sums
    assert (sums.n_read, sums.n_dropped) == (9000, 900)
    assert sums.tables.sum(axis=(1, 2)).tolist() == [complete.sum()] * 10


def test_a_method_that_cannot_be_fitted_is_named_and_the_others_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(dataset: Any, executor: Any, settings: FitSettings, *rest: Any) -> Any:
        if settings.covariance_type == "tied":
            raise ComponentError("every start fails")
        return fit(dataset, executor, settings, *rest)

    monkeypatch.setattr(comparing, "fit", failing)
    found = compared(rows(4000))
    assert [method.name for method in found.methods] == ["full", "diag", "spherical", "k-means"]
    assert found.failed == {"tied": "every start fails"}


def test_a_job_with_noise_has_its_own_model_beside_the_families(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X = rows(4000)
    X[::20] = np.random.default_rng(1).uniform(-40.0, 60.0, (200, 3))
    fitted: list[str] = []

    def counted(name: str, *rest: Any) -> Any:
        fitted.append(name)
        return one(name, *rest)

    one = comparing._one
    monkeypatch.setattr(comparing, "_one", counted)
    found = compared(X, settings=replace(SETTINGS, noise=True, covariance_type="diag"))
    names = [method.name for method in found.methods]
    assert names == [*FAMILIES, "diag with noise", "k-means"]
    assert len(fitted) == 3 * len(names) == 18  # as the plan has it
    place = names.index("diag with noise")
    noisy, plain = (found.methods[i].fitted for i in (place, names.index("diag")))
    assert isinstance(noisy, MixtureModel)
    assert isinstance(plain, MixtureModel)
    assert (noisy.parameters.noise is None, plain.parameters.noise is None) == (False, True)
    total = noisy.score_samples(X).sum()
    np.testing.assert_allclose(found.sums.log_likelihood[place], total, rtol=1e-10)
    labels = noisy.predict(X)
    assert (labels == 3).sum() > 100
    expected = np.zeros((4, 4), dtype=int)
    np.add.at(expected, (labels, plain.predict(X)), 1)
    np.testing.assert_array_equal(found.sums.table(place, names.index("diag")), expected)


def test_rows_are_scored_by_the_backend_that_each_method_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = list[str]()
    monkeypatch.setattr(comparing, "get", lambda name: used.append(name) or get("numpy"))
    compared(rows(4000), threads=1, backend_of=lambda method: f"of {method.name}")
    assert {*FAMILIES} == {name.removeprefix("of ") for name in used if name != "numpy"}


def test_k_means_is_as_good_as_that_of_scikit_learn() -> None:
    X = rows(3000)
    with ThreadExecutor(1) as executor:
        settings = FitSettings(n_components=1, covariance_type="spherical", max_iter=0)
        units = fit(ArrayDataset(X), executor, settings, comparing._Timing()).model.standardisation
    found = k_means(X, 3, units, 0)
    own = KMeans(3, n_init=4, random_state=0).fit(X)
    centres = units.means_to_user(found.points)
    squares = ((X - centres[found.labels(X)]) ** 2).sum()
    assert squares <= own.inertia_ * (1 + 1e-6)
    assert adjusted_rand_score(own.labels_, found.labels(X)) > 0.999


def test_sums_of_parts_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    L, labels = rng.normal(size=(2, 100)), rng.integers(0, 4, (3, 100))
    unseen = rng.random(100) < 0.3
    whole = ComparisonSums.of_rows(L, labels, unseen, 4, 2)
    parts = [
        ComparisonSums.of_rows(L[:, own], labels[:, own], unseen[own], 4, dropped)
        for own, dropped in ((slice(0, 1), 2), (slice(1, 60), 0), (slice(60, 100), 0))
    ]
    total = parts[0].merge(parts[1]).merge(parts[2])
    assert (total.n_read, total.n_dropped, total.n_held_out) == (102, 2, unseen.sum())
    np.testing.assert_array_equal(total.tables, whole.tables)
    np.testing.assert_allclose(total.squares, whole.squares, rtol=1e-12)
    np.testing.assert_allclose(total.held_out, whole.held_out, rtol=1e-12)
