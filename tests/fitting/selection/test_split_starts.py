"""Splits of components, the chain of them beside the usual starts, and refits where it helps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from dgmm.data.array_dataset import ArrayDataset
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting import model_start
from dgmm.fitting.model_start import Starter
from dgmm.fitting.selection.chain import falls
from dgmm.fitting.selection.split_starts import split, splitting_order
from dgmm.fitting.selection.sweep import Sweep, sweep
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.parameters import Parameters

QUIET = SilentListener()


def one_component(family: str, d: int) -> Parameters:
    own = FAMILIES[family]
    covariances = np.ones(own.covariance_shape(1, d))
    if covariances.shape[-2:] == (d, d):
        covariances = covariances * np.eye(d)
    return Parameters.of(own, np.ones(1), np.zeros((1, d)), covariances)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_gaussian_is_split_at_0_8_standard_deviations_of_its_main_axis(
    family: str, is_weighted: bool
) -> None:
    rng, n, d = np.random.default_rng(0), 40_000, 3
    axis = np.array([2.0, 1.0, -2.0]) / 3.0
    rows = rng.normal(size=(n, d)) + 3.0 * rng.normal(size=(n, 1)) * axis
    weights = rng.uniform(0.5, 1.5, n) if is_weighted else None
    parted = split(one_component(family, d), rows, np.array([0]), np.zeros(d), weights)

    sd = np.sqrt(1.0 + 9.0)
    along = np.sort(parted.means @ axis)
    # The mean of half a Gaussian is known to sd/√(n/2), here by five of these.
    np.testing.assert_allclose(along, np.array([-1, 1]) * np.sqrt(2 / np.pi) * sd, atol=0.13)
    np.testing.assert_allclose(parted.weights, 0.5, atol=0.02)
    across = parted.means - (parted.means @ axis)[:, None] * axis
    assert np.abs(across).max() < 0.05


def test_the_component_of_most_variance_times_rows_comes_first() -> None:
    family = FAMILIES["diag"]
    variances = np.array([[1.0, 1.0], [9.0, 1.0], [1.0, 4.0]])
    p = Parameters.of(family, np.array([0.5, 0.1, 0.4]), np.zeros((3, 2)), variances)
    assert splitting_order(p).tolist() == [2, 1, 0]  # 1.6, 0.9, 0.5


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return np.asarray(PCA(8, random_state=0).fit_transform(load_digits().data[:900]))


def swept(X: np.ndarray, sizes: tuple[int, ...], **how: Any) -> Sweep:
    models = [FitSettings(k, "full", n_sample_starts=2, max_iter=60) for k in sizes]
    with ThreadExecutor(2) as executor:
        return sweep(ArrayDataset(X), executor, models, QUIET, tolerance=0.01, **how)


def test_models_begin_at_splits_where_these_are_likelier(digits: np.ndarray) -> None:
    """The usual starts stay as they are, so that no model is worse than its fit alone."""
    usual, chained = swept(digits, (2, 3, 4, 6), split_starts=False), swept(digits, (2, 3, 4, 6))
    own = {c.id: c for c in chained.candidates}
    for candidate in usual.candidates:
        assert own[candidate.id].history == candidate.history
        means = own[candidate.id].parameters.means
        assert means.tobytes() == candidate.parameters.means.tobytes()
    gains = [
        a.chosen.mean_log_likelihood - b.chosen.mean_log_likelihood
        for a, b in zip(chained.models, usual.models, strict=True)
    ]
    assert min(gains) >= 0.0
    begun = {m.settings.n_components: m.chosen.start for m in chained.models}
    assert any(start.startswith("split of") for start in begun.values())
    assert max(gains) > 0.01
    assert not chained.fallen


def test_a_model_that_is_less_likely_than_a_smaller_one_is_fitted_again(
    digits: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start whose components are all alike never leaves the likelihood of one component."""
    start = Starter.start

    def poor(self: Starter, prepared: Any, settings: FitSettings, identity: Any) -> Any:
        begun = start(self, prepared, settings, identity)
        if settings.n_components != 3:
            return begun
        covariances = np.array([np.cov(prepared.sample.T, bias=True)] * 3)
        means = np.repeat(prepared.sample.mean(axis=0)[None], 3, axis=0)
        alike = Parameters.of(prepared.family, np.full(3, 1 / 3), means, covariances)
        solver = model_start.EMSolver(begun.prepared.problem)
        candidate = solver.init(begun.candidates[0].id, alike)
        return model_start.ModelStart(settings, begun.prepared, (candidate,), {}, ())

    monkeypatch.setattr(Starter, "start", poor)
    alone = swept(digits, (2, 3), split_starts=False)
    assert [one.name for one in alone.fallen] == ["full-3"]
    assert not alone.refitted
    again = swept(digits, (2, 3))
    assert [one.name for one in again.refitted] == ["full-3"]
    assert not again.fallen
    two, three = again.models
    assert three.chosen.start == "refit from 2"
    assert three.chosen.mean_log_likelihood > two.chosen.mean_log_likelihood
    assert falls(again.begun, alone.candidates)
