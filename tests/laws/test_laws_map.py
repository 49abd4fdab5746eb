"""EM with a prior never lowers its objective, whatever the kernel, the step and what is missing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import em_runs
import mixtures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixtures import Array

from dgmm import GaussianMixture
from dgmm.fitting.em import loop as em
from dgmm.fitting.inference.maximum_a_posteriori import MaximumAPosteriori
from dgmm.fitting.inference.prior import ConjugatePrior
from dgmm.fitting.inference.variational import Variational
from dgmm.fitting.inference.weight_posterior import WeightPosterior
from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.outcome import Outcome

FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
ENDS = {Outcome.CONVERGED, Outcome.MAX_ITER_REACHED}


def _map(family: Family, Y: Array, *, kappa: float, nu: float, spread: float) -> MaximumAPosteriori:
    d, n = Y.shape
    one = family.covariance_shape(1, d)
    scale = spread * (np.eye(d).reshape(one) if np.prod(one) == d * d else np.ones(one))
    return MaximumAPosteriori(ConjugatePrior(family, Y.mean(axis=1), kappa, nu + d, scale), n, 1.5)


@FAMILY
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("acceleration", ["none", "squarem"])
@settings(deadline=None, max_examples=4)
@given(
    k=st.integers(1, 6),
    d=st.integers(2, 5),
    seed=st.integers(0, 10**6),
    kappa=st.sampled_from([0.01, 20.0]),
    nu=st.sampled_from([0.0, 50.0]),
    spread=st.sampled_from([1e-3, 1.0, 100.0]),
)
def test_the_objective_never_falls(
    family: Family,
    centred: bool,
    acceleration: Any,
    k: int,
    d: int,
    seed: int,
    kappa: float,
    nu: float,
    spread: float,
) -> None:
    scene = mixtures.scene(family, 120, k, d, seed, separation=1.0)
    inference = _map(family, scene.Y, kappa=kappa, nu=nu, spread=spread)
    problem = em_runs.problem(scene.Y, max_iter=15)
    problem = replace(problem, inference=inference, acceleration=acceleration)
    done = em_runs.fit(scene.parameters, scene.Y, problem, centred=centred)
    assert done.outcome in ENDS
    if not done.events:
        allowed = 2.0 * scene.allowed() + 1e-12 * max(1.0, *map(abs, done.history))
        allowed += 8 * mixtures.EPS * done.parameters.condition_bound
        assert min((b - a for a, b in pairwise(done.history)), default=0.0) >= -allowed


@FAMILY
def test_the_objective_is_judged_and_not_the_likelihood(family: Family) -> None:
    """From the likeliest parameters a strong prior lowers the likelihood: no fall is reported."""
    scene = mixtures.scene(family, 300, 2, 3, 4, separation=4.0)
    best = em_runs.fit(scene.parameters, scene.Y, em_runs.problem(scene.Y, max_iter=60))
    inference = _map(family, scene.Y, kappa=50.0, nu=200.0, spread=500.0)
    problem = replace(em_runs.problem(scene.Y, max_iter=40, tol=1e-8), inference=inference)
    likelihoods: list[float] = []
    candidate = em.EMSolver(problem).init(em.CandidateId(), best.parameters)
    listen = lambda c, i: likelihoods.append(i.mean_log_likelihood)  # noqa: E731 - one line
    done = em.run((candidate,), em_runs.InMemory(scene.Y), problem, listen)[0]
    assert done.outcome is Outcome.CONVERGED
    assert likelihoods[-1] < likelihoods[0] - 0.1
    assert done.history[-1] > done.history[0]
    assert done.objective != done.mean_log_likelihood == likelihoods[-1]


@FAMILY
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_with_missing_values_and_weights_the_objective_never_falls(family: Family) -> None:
    rng = np.random.default_rng(8)
    X = np.concatenate([c + rng.normal(size=(40, 3)) for c in (-3.0, 0.0, 4.0)])
    X[rng.random(X.shape) < 0.3] = np.nan
    weights = rng.integers(1, 5, len(X)).astype(float)
    shared: dict[str, Any] = {
        "covariance_type": family.name,
        "inference": "map",
        "missing": "marginalise",
        "tol": 1e-9,
        "max_iter": 20,
        "n_sample_starts": 1,
        "random_state": 3,
    }
    for kind in ("counts", "importance"):
        found = GaussianMixture(3, weight_kind=kind, **shared).fit(X, sample_weight=weights)
        rises = np.diff(found.lower_bounds_)
        assert len(rises) > 3
        assert rises.min() >= -1e-10


@FAMILY
@pytest.mark.filterwarnings("ignore:.*MAX_ITER_REACHED")
def test_counts_weigh_as_copies_against_the_prior(family: Family) -> None:
    """A row of weight 3 is three rows also for how much the prior says."""
    rng = np.random.default_rng(2)
    X = np.concatenate([c + rng.normal(size=(30, 3)) for c in (-4.0, 4.0)])
    start: dict[str, Any] = {
        "weights_init": [0.5, 0.5],
        "means_init": X[[0, 40]],
        "precisions_init": {
            "full": np.stack([np.eye(3)] * 2),
            "tied": np.eye(3),
            "diag": np.ones((2, 3)),
            "spherical": np.ones(2),
            "tied_diag": np.ones(3),
            "tied_spherical": np.ones(1),
        }[family.name],
        "mean_prior": [1.0, 2.0, 3.0],
        "covariance_prior": {
            "diag": np.full(3, 2.0),
            "tied_diag": np.full(3, 2.0),
            "spherical": 2.0,
            "tied_spherical": np.full(1, 2.0),
        }.get(family.name, 2.0 * np.eye(3)),
        "mean_precision_prior": 4.0,
    }
    own = GaussianMixture(
        2, covariance_type=family.name, inference="map", max_iter=7, tol=0.0, weight_kind="counts",
        acceleration="none", **start,
    )  # fmt: skip
    weighted = own.fit(X, sample_weight=np.full(len(X), 3.0)).model_
    copied = own.fit(np.repeat(X, 3, axis=0)).model_
    assert np.abs(weighted.means - copied.means).max() <= 1e-10
    assert np.abs(weighted.covariances - copied.covariances).max() <= 1e-10


@FAMILY
@pytest.mark.parametrize("inference", ["map", "variational"])
@pytest.mark.parametrize("is_uniform", [False, True])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_counts_are_copies_under_a_default_prior_too(
    family: Family, inference: str, is_uniform: bool
) -> None:
    """The data's covariance, of which the prior is made, counts a row of weight w as w rows."""
    rng = np.random.default_rng(7)
    X = np.concatenate([c + rng.normal(size=(6, 2)) for c in (-4.0, 4.0)])
    counts = np.full(12, 5) if is_uniform else rng.integers(1, 9, 12)
    own = GaussianMixture(
        2, covariance_type=family.name, inference=inference, max_iter=6, tol=0.0,
        weight_kind="counts", acceleration="none", weights_init=[0.5, 0.5], means_init=X[[0, 9]],
        precisions_init={
            "full": np.stack([np.eye(2)] * 2),
            "tied": np.eye(2),
            "diag": np.ones((2, 2)),
            "spherical": np.ones(2),
            "tied_diag": np.ones(2),
            "tied_spherical": np.ones(1),
        }[family.name],
    )  # fmt: skip
    weighted = own.fit(X, sample_weight=counts.astype(float))
    found, bound = weighted.model_, weighted.lower_bound_
    copies = own.fit(np.repeat(X, counts, axis=0))
    assert np.abs(found.covariances / copies.model_.covariances - 1.0).max() <= 1e-10
    assert np.abs(found.means - copies.model_.means).max() <= 1e-10
    assert abs(bound - copies.lower_bound_) <= 1e-10


def test_importance_weights_measure_the_data_by_their_effective_rows() -> None:
    """The default covariance of the prior is Σw(x − m)²/Σw · n_eff/(n_eff − 1), at any scale."""
    rng = np.random.default_rng(3)
    X, w = rng.normal(size=(30, 2)), rng.uniform(0.1, 4.0, 30)
    mean = w @ X / w.sum()
    n_eff = w.sum() ** 2 / (w**2).sum()
    expected = w @ (X - mean) ** 2 / w.sum() * n_eff / (n_eff - 1.0)
    own = GaussianMixture(
        1, covariance_type="diag", inference="variational", reg_covar=0.0, max_iter=1, tol=0.0,
        weight_kind="importance", random_state=0,
    )  # fmt: skip
    for scale in (1.0, 1e3):
        with pytest.warns(UserWarning, match="MAX_ITER_REACHED|worth"):
            found = own.fit(X, sample_weight=scale * w).model_.covariances[0]
        # With one component the M-step is (Λ₀ + n S)/(ν + n), n the number of rows.
        scatter = 30 * (w @ (X - mean) ** 2 / w.sum())
        assert found == pytest.approx((expected + scatter) / (2 + 30), rel=1e-9)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_component_of_two_rows_keeps_a_covariance() -> None:
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(100, 5)), np.full((2, 5), 40.0)])
    found = GaussianMixture(2, inference="map", random_state=0).fit(X)
    small = int(np.argmin(found.weights_))
    assert found.weights_[small] * len(X) < 3
    assert np.linalg.eigvalsh(found.covariances_[small])[0] > 0.01


@FAMILY
@pytest.mark.parametrize("acceleration", ["none", "squarem"])
@pytest.mark.parametrize("regularisation", [0.0, 0.3])
def test_the_variational_objective_never_falls_by_more_than_regularisation_explains(
    family: Family, acceleration: Any, regularisation: float
) -> None:
    for seed in range(3):
        scene = mixtures.scene(family, 200, 4, 3, seed, separation=1.5)
        prior = _map(family, scene.Y, kappa=0.5, nu=1.0, spread=1.0).prior
        inference = Variational(prior, WeightPosterior("dirichlet_process", 0.2), 200.0)
        problem = em_runs.problem(scene.Y, max_iter=25, regularisation=regularisation)
        policy = replace(problem.collapse, prunes=True)
        problem = replace(problem, inference=inference, acceleration=acceleration, collapse=policy)
        done = em_runs.fit(scene.parameters, scene.Y, problem)
        assert done.outcome in ENDS
        assert {event.kind for event in done.events} <= {"pruned"}
        if not done.events and not regularisation:
            assert min(b - a for a, b in pairwise(done.history)) >= -1e-9
