"""Components that collapse or empty never kill a run and are never silent."""

from __future__ import annotations

import em_runs
import mixtures
import numpy as np
import pytest
from families import ALL_FAMILIES
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mixtures import EPS

from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.mixture.parameters import Parameters
from dgmm.outcome import Outcome

FAMILY = pytest.mark.parametrize("family", ALL_FAMILIES.values(), ids=lambda f: f.name)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("policy", ["reseed", "drop"])
@pytest.mark.parametrize("name", ["full", "diag", "spherical"])
@pytest.mark.parametrize("place", [30.0, 30.1, 29.37])
def test_a_component_on_equal_rows_is_lost_and_logged(
    name: str, policy: str, place: float, centred: bool
) -> None:
    """Two clusters and a pile of equal rows, whose mean float64 may hold or not."""
    rng, family = np.random.default_rng(8), FAMILIES[name]
    pile = np.repeat([[place], [-place]], 40, axis=1)
    clusters = [rng.normal(size=(2, 200)), 12.0 + rng.normal(size=(2, 200))]
    Y = np.concatenate([*clusters, pile], axis=1)[:, rng.permutation(440)]
    means = np.array([[0.0, 0.0], [12.0, 12.0], [30.0, -30.0]])
    wide = mixtures.covariances_of(family, np.stack([np.eye(2)] * 3))
    start = Parameters.of(family, np.full(3, 1 / 3), means, wide)
    settings = em_runs.problem(Y, max_iter=40, on_collapse=policy)
    done = em_runs.fit(start, Y, settings, centred=centred)
    first = done.events[0]
    assert first.component == 2
    assert first.iteration <= 2
    assert first.kind == {"reseed": "reseeded", "drop": "dropped"}[policy]
    assert f"component 2 of 3 collapsed at iteration {first.iteration}" in first.message
    _assert_usable(done.parameters)
    assert done.parameters.n_components == 3 - sum(e.kind == "dropped" for e in done.events)
    assert done.outcome in {Outcome.CONVERGED, Outcome.MAX_ITER_REACHED}


@pytest.mark.parametrize("policy", ["reseed", "drop"])
@FAMILY
def test_a_component_without_rows_is_lost_and_logged(family: Family, policy: str) -> None:
    scene = mixtures.scene(family, k=3, separation=2.0)
    p = scene.parameters
    means = p.means.copy()
    means[1] = 1e3
    start = Parameters.of(family, p.weights, means, p.covariances)
    settings = em_runs.problem(scene.Y, max_iter=30, on_collapse=policy)
    done = em_runs.fit(start, scene.Y, settings)
    assert "component 1 of 3 emptied at iteration 1" in done.events[0].message
    _assert_usable(done.parameters)
    assert done.parameters.n_components == (3 if policy == "reseed" else 2)
    assert done.outcome in {Outcome.CONVERGED, Outcome.MAX_ITER_REACHED}


@pytest.mark.parametrize("policy", ["reseed", "drop"])
@FAMILY
def test_rows_that_are_all_equal_end_in_a_named_outcome(family: Family, policy: str) -> None:
    Y = np.ones((2, 50))
    wide = mixtures.covariances_of(family, np.stack([np.eye(2)] * 2))
    start = Parameters.of(family, np.full(2, 0.5), np.array([[0.9, 1.0], [1.0, 1.2]]), wide)
    settings = em_runs.problem(Y, max_iter=20, on_collapse=policy)
    done = em_runs.fit(start, Y, settings)
    assert done.outcome is Outcome.COMPONENT_COLLAPSED
    assert {event.kind for event in done.events} == {"variance_floored"}
    # A covariance that all components share is one, and its event is one.
    expected = [None] if family.is_shared else [0, 1]
    assert [event.component for event in done.events] == expected
    _assert_usable(done.parameters)


@FAMILY
@pytest.mark.parametrize("policy", ["reseed", "drop"])
@settings(deadline=None, max_examples=12)
@given(
    n=st.integers(4, 40),
    k=st.integers(1, 6),
    d=st.integers(1, 6),
    distinct=st.integers(1, 8),
    seed=st.integers(0, 10**6),
)
@example(n=5, k=1, d=1, distinct=1, seed=5)  # a mean that float64 does not hold
@example(n=35, k=6, d=3, distinct=3, seed=72328)  # the pooled covariance is singular as well
def test_few_and_repeated_rows_never_kill_a_run(
    family: Family, policy: str, n: int, k: int, d: int, distinct: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    Y = rng.normal(size=(d, distinct))[:, rng.integers(distinct, size=n)]
    start = mixtures.mixture(family, k, d, rng, separation=1.0)
    settings = em_runs.problem(Y, max_iter=25, on_collapse=policy)
    done = em_runs.fit(start, Y, settings)
    assert done.outcome is not None
    assert done.outcome is not Outcome.NON_FINITE
    assert done.parameters.n_components <= k
    _assert_usable(done.parameters)


def _assert_usable(p: Parameters) -> None:
    for values in (p.weights, p.means, p.covariances, p.precisions_cholesky):
        assert np.isfinite(values).all()
    assert abs(p.weights.sum() - 1.0) <= p.n_components * EPS
    assert (p.weights >= 0.0).all()
