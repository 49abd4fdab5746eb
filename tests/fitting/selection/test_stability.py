"""Stability: components are found again in halves of the rows, or named as not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dgmm.data.array_dataset import ArrayDataset
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.fit import Fit, fit
from dgmm.fitting.selection.stability import Stability, jaccard, matched, stability
from dgmm.fitting.settings import FitSettings

Array = NDArray[np.float64]
QUIET = SilentListener()


def separated(n: int = 1200) -> Array:
    """Six clusters of unit variance, 8 apart or more in one of two features."""
    rng = np.random.default_rng(3)
    centres = 8.0 * np.array([[i, j] for i in range(3) for j in range(2)])
    return centres[rng.integers(0, 6, n)] + rng.normal(size=(n, 2))


def found(X: Array, k: int, threads: int = 2, weights: Array | None = None) -> Stability:
    settings = FitSettings(k, n_sample_starts=4)
    with ThreadExecutor(threads) as executor:
        model = fit(ArrayDataset(np.nan_to_num(X)), executor, settings, QUIET).model
        own = replace(settings, missing="marginalise") if np.isnan(X).any() else settings
        return stability(model, X, weights, own, executor)


@pytest.mark.parametrize(("k", "is_stable"), [(6, True), (7, False), (8, False)])
def test_separated_clusters_are_stable_at_their_number_and_not_above(
    k: int, is_stable: bool
) -> None:
    one = found(separated(), k)
    assert one.is_stable is is_stable
    assert one.jaccard.shape == (3, k)
    if k == 6:
        assert one.means.min() > 0.95
    if not is_stable:
        assert one.means[one.worst] < 0.75
        # What is seldom seen by an agreement of all rows: most components are found again.
        assert (one.means > 0.75).sum() >= 3
        assert f"component {one.worst} has a Jaccard coefficient" in one.describe()


def test_threads_change_no_bit_and_rows_that_weigh_nothing_count_for_nothing() -> None:
    X = separated(600)
    assert found(X, 4, 1).jaccard.tobytes() == found(X, 4, 3).jaccard.tobytes()
    far = np.concatenate([X, np.full((40, 2), 1e3)])
    weights = np.concatenate([np.ones(len(X)), np.zeros(40)])
    assert found(far, 6, weights=weights).jaccard.shape == (3, 6)
    coefficients = jaccard(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([3.0, 0.0, 2.0]))
    assert coefficients.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_rows_of_the_noise_are_matched_with_no_component() -> None:
    X = separated()
    X[::10] = np.random.default_rng(0).uniform(X.min(), X.max(), X[::10].shape)
    with ThreadExecutor(2) as executor:
        settings = FitSettings(6, n_sample_starts=4, noise=True)
        model = fit(ArrayDataset(X), executor, settings, QUIET).model
        one = stability(model, X, None, settings, executor)
    assert one.jaccard.shape == (3, 6)
    assert one.is_stable


def test_rows_that_lack_values_are_labelled_by_what_they_have() -> None:
    X = separated()
    X[np.random.default_rng(0).random(len(X)) < 0.1, 1] = np.nan
    with ThreadExecutor(2) as executor:
        settings = FitSettings(6, n_sample_starts=4, missing="marginalise")
        model = fit(ArrayDataset(X), executor, settings, QUIET).model
        one = stability(model, X, None, settings, executor)
    assert one.n_rows == len(X)
    assert one.is_stable


def test_halves_of_a_fit_with_frozen_components_are_fitted_without() -> None:
    X = separated(600)
    with ThreadExecutor(1) as executor:
        settings = FitSettings(6, n_sample_starts=4)
        model = fit(ArrayDataset(X), executor, settings, QUIET).model
        frozen = replace(settings, method="given", freeze=(2,))
        assert stability(model, X, None, frozen, executor).is_stable


def test_a_half_that_cannot_be_fitted_leaves_no_component_stable() -> None:
    X = separated(30)
    with ThreadExecutor(1) as executor:
        settings = FitSettings(20, "spherical", n_sample_starts=0, reg_covar=0.1)
        model = fit(ArrayDataset(X), executor, settings, QUIET).model
        one = stability(model, X, None, settings, executor)
    assert (one.jaccard == 0.0).all()
    assert not one.is_stable
    assert len(one.failed) == 1
    assert one.describe() == f"a half could not be fitted: {one.failed[0]}"
    assert "15 rows" in one.failed[0]


def test_counts_stay_counts_in_the_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that stand for 3 each are 3 rows each: as importances they would be 1."""
    X, seen = separated(600), list[object]()
    settings = FitSettings(6, n_sample_starts=4)
    with ThreadExecutor(1) as executor:
        model = fit(ArrayDataset(X), executor, settings, QUIET).model

        def watched(dataset: object, *others: object) -> Fit:
            one: Fit = fit(dataset, *others)  # type: ignore[arg-type]
            seen.append((one.weights.kind, one.weights.rows_represented))  # type: ignore[union-attr]
            return one

        monkeypatch.setattr("dgmm.fitting.selection.stability.fit", watched)
        weights = np.full(len(X), 3.0)
        assert stability(model, X, weights, settings, executor, 1, "counts").is_stable
    assert seen == [("counts", 900.0)] * 2


def test_components_are_matched_so_that_the_sum_is_largest() -> None:
    """Not each to its own best: two would take the same."""
    assert matched(np.array([[0.9, 0.8], [0.85, 0.0]])) == {0: 1, 1: 0}
    assert matched(np.array([[0.2, 0.9, 0.1]])) == {0: 1}
