"""Splits of components, the chain of them beside the usual starts, and refits where it helps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from dgmm.data.array_dataset import ArrayDataset
from dgmm.events import Listener, SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting import model_start
from dgmm.fitting.model_start import Starter
from dgmm.fitting.selection.chain import falls
from dgmm.fitting.selection.split_starts import Splitter, split, splitting_order
from dgmm.fitting.selection.sweep import sweep
from dgmm.fitting.selection.sweep_result import Sweep
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


def swept(
    X: np.ndarray,
    sizes: tuple[int, ...],
    *,
    listener: Listener = QUIET,
    inference: Any = "maximum_likelihood",
    split_starts: bool = True,
) -> Sweep:
    own: dict[str, Any] = {"n_sample_starts": 2, "max_iter": 60, "inference": inference}
    models = [FitSettings(k, "full", **own) for k in sizes]
    with ThreadExecutor(2) as executor:
        return sweep(
            *(ArrayDataset(X), executor, models, listener),
            tolerance=0.01,
            split_starts=split_starts,
        )


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


class Notes(SilentListener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def with_poor_starts(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...], *, is_given: bool
) -> None:
    """Starts whose components are all alike never leave the likelihood of one component.

    Unless they are given, EM calls them degenerate.
    """
    start = Starter.start

    def poor(self: Starter, prepared: Any, settings: FitSettings, identity: Any) -> Any:
        begun, k = start(self, prepared, settings, identity), settings.n_components
        if k not in sizes:
            return begun
        covariances = np.array([np.cov(prepared.sample.T, bias=True)] * k)
        means = np.repeat(prepared.sample.mean(axis=0)[None], k, axis=0)
        alike = Parameters.of(prepared.family, np.full(k, 1 / k), means, covariances)
        solver = model_start.EMSolver(begun.prepared.problem)
        candidate = solver.init(begun.candidates[0].id, alike, is_given=is_given)
        return model_start.ModelStart(settings, begun.prepared, (candidate,), {}, ())

    monkeypatch.setattr(Starter, "start", poor)


@pytest.mark.parametrize(
    ("is_given", "reason", "words"),
    [
        (True, "less likely", "full-3 is less likely than full-2, -"),
        (False, "not sound", "full-3 is not sound (DEGENERATE_START): it is fitted again"),
    ],
)
def test_a_model_that_is_less_likely_than_a_smaller_one_or_not_sound_is_fitted_again(
    digits: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    is_given: bool,
    reason: str,
    words: str,
) -> None:
    with_poor_starts(monkeypatch, (3,), is_given=is_given)
    alone = swept(digits, (2, 3), split_starts=False)
    assert [one.name for one in alone.fallen] == ["full-3"] * is_given
    assert [one.is_sound for one in alone.models] == [True, is_given]
    assert not alone.refitted
    listener = Notes()
    again = swept(digits, (2, 3), listener=listener)
    assert [(one.settings.name, one.reason) for one in again.refitted] == [("full-3", reason)]
    assert [words in text for text in listener.notes].count(True) == 1
    assert not again.fallen
    two, three = again.models
    assert three.chosen.start == "refit from 2"
    assert three.chosen.mean_log_likelihood > two.chosen.mean_log_likelihood
    assert falls(again.begun, alone.candidates)


@pytest.mark.parametrize("is_spike", [False, True])
def test_a_refused_refit_ends_no_other(
    digits: np.ndarray, monkeypatch: pytest.MonkeyPatch, is_spike: bool
) -> None:
    """The split that is refused of 3 components leads nowhere, or to a spike on a few rows."""
    with_poor_starts(monkeypatch, (3, 4), is_given=True)
    grown = Splitter.grown

    def refused(self: Splitter, parameters: Parameters, n_components: int, name: str) -> Any:
        led = grown(self, parameters, n_components, name)
        if n_components != 3 or led is None:
            return led
        return replace(led, has_spike=True) if is_spike else None

    monkeypatch.setattr(Splitter, "grown", refused)
    found = swept(digits, (2, 3, 4))
    assert [one.settings.name for one in found.refitted] == ["full-4"]
    assert [one.name for one in found.fallen] == ["full-3"]


def test_under_a_prior_components_of_few_rows_are_sound(digits: np.ndarray) -> None:
    few, sizes = digits[:150], (1, 8, 16, 24)
    found = swept(few, sizes, inference="map")
    assert not all(m.chosen.parameters.supports_covariances(len(few)) for m in found.models)
    assert all(m.is_sound for m in found.models)
    assert not found.refitted
    assert not found.fallen


def test_under_a_prior_the_likelihood_alone_may_fall(
    digits: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EM maximises the posterior density, and priors differ between numbers of components."""
    with_poor_starts(monkeypatch, (3,), is_given=True)
    found = swept(digits, (2, 3), inference="map")
    two, three = (m.chosen.mean_log_likelihood for m in found.models)
    assert three < two - 0.1
    assert not found.refitted
    assert not found.fallen
