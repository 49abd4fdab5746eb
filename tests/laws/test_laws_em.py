"""EM never lowers the likelihood, stays at its fixed points, and tells of every lost component."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import em_runs
import mixtures
import numpy as np
import pytest
from families import ALL_FAMILIES
from hypothesis import given, settings
from hypothesis import strategies as st
from mixtures import Array, Scene

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.data_pass import EStepTask, PassStatistics
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.fitting.inference import MaximumLikelihood
from dgmm.mixture.backends import standardising_backend
from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.mixture.parameters import Parameters, explained_fall, m_step
from dgmm.outcome import Outcome
from dgmm.reduction.map_reduce import map_reduce

FAMILY = pytest.mark.parametrize("family", ALL_FAMILIES.values(), ids=lambda f: f.name)


def _rounding(scene: Scene) -> float:
    """What rounding may take from a mean log-likelihood."""
    return 2.0 * scene.allowed() + 1e-12


@FAMILY
@pytest.mark.parametrize("centred", [False, True])
@settings(deadline=None, max_examples=12)
@given(
    k=st.integers(1, 6),
    d=st.integers(1, 6),
    seed=st.integers(0, 10**6),
    separation=st.sampled_from([0.5, 2.0, 8.0]),
)
def test_the_log_likelihood_never_falls(
    family: Family, centred: bool, k: int, d: int, seed: int, separation: float
) -> None:
    scene = mixtures.scene(family, 300, k, d, seed, separation=separation)
    done = em_runs.fit(
        scene.parameters, scene.Y, em_runs.problem(scene.Y, max_iter=30), centred=centred
    )
    assert done.outcome in {Outcome.CONVERGED, Outcome.MAX_ITER_REACHED}
    if not done.events:
        rises = [after - before for before, after in pairwise(done.history)]
        assert min(rises, default=0.0) >= -_rounding(scene)


@FAMILY
@pytest.mark.parametrize("regularisation", [1e-6, 1e-2, 10.0])
def test_what_regularisation_takes_is_explained(family: Family, regularisation: float) -> None:
    scene = _tight(family)
    allowed = em_runs.problem(scene.Y, max_iter=40, regularisation=regularisation)
    done = em_runs.fit(scene.parameters, scene.Y, allowed)
    assert done.outcome in {Outcome.CONVERGED, Outcome.MAX_ITER_REACHED}


@FAMILY
def test_a_fall_that_nothing_explains_ends_the_run(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MaximumLikelihood, "explained_fall", lambda *_: 0.0)
    scene = _tight(family)
    done = em_runs.fit(
        scene.parameters, scene.Y, em_runs.problem(scene.Y, max_iter=1, regularisation=10.0)
    )
    again = em_runs.problem(scene.Y, max_iter=40, regularisation=10.0)
    fallen = em_runs.fit(scene.parameters, scene.Y, again)
    assert fallen.outcome is Outcome.LOG_LIKELIHOOD_DECREASED
    assert fallen.n_iter == done.n_iter == 1
    assert mixtures.difference(fallen.parameters, scene.parameters) == 0.0


def _tight(family: Family) -> Scene:
    """A mixture at its own maximum, much tighter than the regularisation to come."""
    scene = mixtures.scene(family, n=500, separation=5.0)
    best = em_runs.fit(scene.parameters, scene.Y, em_runs.problem(scene.Y, max_iter=100))
    return Scene(best.parameters, scene.Y)


@FAMILY
def test_the_explained_fall_is_what_one_regularised_step_costs_a_single_component(
    family: Family,
) -> None:
    scene = mixtures.scene(family, k=1)
    added = np.full(4, 0.5)
    estimate = m_step(family, em_runs.one_pass(em_runs.centred(scene.parameters), scene.Y))
    bare, held = estimate.regularised(np.zeros(4)), estimate.regularised(added)
    means = [mixtures.plain_log_prob(p, scene.Y).mean() for p in (bare, held)]
    found = explained_fall(estimate, held, added)
    assert found > 0.01
    assert abs(found - (means[0] - means[1])) <= 10 * scene.allowed()
    assert explained_fall(estimate, bare, np.zeros(4)) == 0.0


@FAMILY
@pytest.mark.parametrize("centred", [False, True])
def test_a_fixed_point_stays(family: Family, centred: bool) -> None:
    """Components far apart: one step reaches the maximum, further ones leave it where it is."""
    scene = mixtures.scene(family, n=600, k=3, separation=40.0)
    converged = em_runs.fit(scene.parameters, scene.Y, em_runs.problem(scene.Y, tol=1e-13))
    assert converged.outcome is Outcome.CONVERGED
    at = Scene(converged.parameters, scene.Y)
    after = em_runs.em_step(at, centred=centred)
    assert mixtures.difference(after.parameters, converged.parameters) <= 10 * at.allowed()


@FAMILY
@pytest.mark.parametrize("centred", [False, True])
def test_one_component_is_the_mean_and_covariance(family: Family, centred: bool) -> None:
    scene = mixtures.scene(family, k=1, d=5)
    found = em_runs.em_step(scene, centred=centred).parameters
    covariance = np.cov(scene.Y, bias=True)
    expected = mixtures.covariances_of(family, np.linalg.cholesky(covariance)[None])
    one = Parameters.of(family, np.ones(1), scene.Y.mean(axis=1)[None], expected)
    assert found.weights[0] == 1.0
    assert mixtures.difference(found, one) <= 10 * scene.allowed()


@FAMILY
@pytest.mark.parametrize("centred", [False, True])
def test_em_commutes_with_the_familys_own_maps(family: Family, centred: bool) -> None:
    """y → A y + b: any A for full and tied, a scaled rotation for spherical ones, else diagonal."""
    scene = mixtures.scene(family, n=500, k=3, d=4)
    rng = np.random.default_rng(11)
    Q = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    A = {
        "full": Q * np.array([0.3, 1.0, 2.0, 5.0]),
        "tied": Q * np.array([0.3, 1.0, 2.0, 5.0]),
        "spherical": 2.5 * Q,
        "tied_spherical": 2.5 * Q,
    }.get(family.name, np.diag([0.3, -1.0, 2.0, 5.0]))
    b = rng.normal(size=4)
    after = em_runs.em_step(scene, centred=centred)
    mapped = Scene(_mapped(scene.parameters, A, b), A @ scene.Y + b[:, None])
    found = em_runs.em_step(mapped, centred=centred)
    allowed = 100 * (scene.allowed() + mapped.allowed())
    assert mixtures.difference(found.parameters, _mapped(after.parameters, A, b)) <= allowed
    volume = np.linalg.slogdet(A)[1]
    assert abs(found.mean_log_likelihood + volume - after.mean_log_likelihood) <= allowed


def _mapped(p: Parameters, A: Array, b: Array) -> Parameters:
    """The mixture of A y + b, read off in the family."""
    factors = [
        A @ np.linalg.cholesky(p.family.full_covariance(p.covariances, j, len(A)))
        for j in range(p.n_components)
    ]
    covariances = mixtures.covariances_of(p.family, np.stack(factors))
    return Parameters.of(p.family, p.weights, p.means @ A.T + b, covariances)


@FAMILY
def test_a_component_that_tightens_keeps_its_digits(family: Family) -> None:
    """The guard looks at parameters before the M-step; those after it must be right as well."""
    rng = np.random.default_rng(2)
    tight = 30.0 + 1e-6 * rng.normal(size=(3, 300))
    Y = tight if family.is_shared else np.concatenate([rng.normal(size=(3, 300)), tight], 1)
    k = 1 if family.is_shared else 2
    means = np.full((1, 3), 30.0) if k == 1 else np.array([np.zeros(3), np.full(3, 30.0)])
    wide = mixtures.covariances_of(family, np.stack([np.eye(3)] * k))
    scene = Scene(Parameters.of(family, np.full(k, 1.0 / k), means, wide), Y)
    product, centred = em_runs.em_step(scene), em_runs.em_step(scene, centred=True)
    assert mixtures.difference(product.parameters, centred.parameters) <= 1e-6


@pytest.mark.parametrize("acceleration", ["none", "squarem"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_candidates_bits_are_those_of_its_run_alone(dtype: type, acceleration: Any) -> None:
    rng = np.random.default_rng(4)
    X = np.concatenate([c + rng.normal(size=(3000, 3)) for c in (-4.0, 0.0, 5.0)]).astype(dtype)
    standardisation = Standardisation.from_sample(X, common_scale=False)
    Y = standardisation.apply(X, np.float64)
    plain = em_runs.problem(Y, max_iter=12, tol=1e-7)
    shared = replace(
        plain,
        single=dtype == np.float32,
        acceleration=acceleration,
        standardisation=standardisation,
    )
    starts = [
        mixtures.mixture(family, k, 3, rng, separation=1.0)
        for family, k in [*((f, 3) for f in ALL_FAMILIES.values()), (FAMILIES["full"], 5)]
    ]
    candidates = tuple(em.EMSolver(shared).init(em.CandidateId(i), p) for i, p in enumerate(starts))
    dataset = ArrayDataset(X)
    with ThreadExecutor(2) as executor:

        def data_pass(requests: tuple[EStepRequest, ...]) -> PassStatistics:
            backend = standardising_backend(10**9).name
            leaves = EStepTask(dataset, requests, backend, MissingPolicy.NONE_MISSING)
            return map_reduce(executor, leaves, dataset.grid.n_blocks)

        together = em.run(candidates, data_pass, shared)
        backwards = em.run(candidates[::-1], data_pass, shared)[::-1]
        for one, two, start in zip(together, backwards, candidates, strict=True):
            (alone,) = em.run((start,), data_pass, shared)
            for other in (one, two):
                assert other.history == alone.history
                np.testing.assert_array_equal(other.parameters.means, alone.parameters.means)
                np.testing.assert_array_equal(
                    other.parameters.covariances, alone.parameters.covariances
                )


@FAMILY
def test_a_float32_stage_leaves_the_last_word_to_float64(family: Family) -> None:
    """The maximum reached by way of float32 passes is the one that float64 passes alone reach."""
    scene = mixtures.scene(family, n=2000, condition=2.0, separation=8.0)
    double = em_runs.problem(scene.Y, max_iter=60, tol=1e-10)
    assert double.guard.allows(scene.parameters, np.float32)
    expected = em_runs.fit(scene.parameters, scene.Y, double)
    found = em_runs.fit(scene.parameters, scene.Y, replace(double, single=True))
    assert found.kernel == "product-float64"
    assert found.outcome is Outcome.CONVERGED
    assert mixtures.difference(found.parameters, expected.parameters) <= 1e-9


@FAMILY
def test_rounding_of_float32_does_not_keep_em_from_converging(family: Family) -> None:
    """A tol below the noise of float32 passes ends that stage, not the fit's convergence."""
    scene = mixtures.scene(family, n=4000, separation=3.0)
    double = em_runs.problem(scene.Y, max_iter=300, tol=1e-11)
    expected = em_runs.fit(scene.parameters, scene.Y, double)
    assert expected.outcome is Outcome.CONVERGED
    found = em_runs.fit(scene.parameters, scene.Y, replace(double, single=True))
    assert found.outcome is Outcome.CONVERGED
    assert found.n_iter <= 2 * expected.n_iter + 10


def test_the_best_candidate_is_sound_and_likeliest() -> None:
    scene = mixtures.scene(FAMILIES["full"])
    at = em.EMSolver(em_runs.problem(scene.Y)).init(em.CandidateId(), scene.parameters)

    def ended(restart: int, outcome: Outcome, mean: float) -> em.FitCandidate:
        return replace(at, id=em.CandidateId(restart), outcome=outcome, history=(mean,))

    poor = ended(0, Outcome.CONVERGED, -3.0)
    good = ended(1, Outcome.MAX_ITER_REACHED, -2.0)
    twin = ended(2, Outcome.CONVERGED, -2.0)
    degenerate = ended(3, Outcome.DEGENERATE_START, 5.0)
    broken = ended(4, Outcome.NON_FINITE, 9.0)
    assert em.best((broken, degenerate, twin, good, poor)).restart == 1
    weights = np.full(scene.parameters.n_components, 1e-3)
    weights[0] = 1.0 - weights[1:].sum()
    few = replace(scene.parameters, weights=weights)
    spike = replace(ended(5, Outcome.CONVERGED, 8.0), parameters=few)
    needed = scene.parameters.rows_needed
    assert em.best((spike, good, degenerate), 1000 * needed - 1).restart == 1
    assert em.best((spike, good, degenerate), 1000 * needed + 1).restart == 5


def test_means_that_start_alike_are_a_degenerate_start() -> None:
    scene = mixtures.scene(FAMILIES["full"], k=1)
    p = scene.parameters
    means = np.repeat(scene.Y.mean(axis=1)[None], 2, axis=0)
    both = np.repeat(p.covariances, 2, axis=0)
    start = Parameters.of(p.family, np.full(2, 0.5), means, both)
    done = em_runs.fit(start, scene.Y, em_runs.problem(scene.Y, tol=10.0))
    assert done.outcome is Outcome.DEGENERATE_START


def test_no_iteration_keeps_the_start() -> None:
    scene = mixtures.scene(FAMILIES["full"])
    done = em_runs.fit(scene.parameters, scene.Y, em_runs.problem(scene.Y, max_iter=0))
    assert done.outcome is Outcome.INITIALISED
    assert done.parameters is scene.parameters


def test_a_row_beyond_float64_is_an_outcome() -> None:
    scene = mixtures.scene(FAMILIES["full"])
    Y = scene.Y.copy()
    Y[0, 0] = 1e200
    done = em_runs.fit(scene.parameters, Y, em_runs.problem(Y))
    assert done.outcome is Outcome.NON_FINITE


def test_the_total_scatter_is_taken_once_for_each_precision() -> None:
    scene = mixtures.scene(FAMILIES["tied"], n=2000, condition=2.0, separation=3.0)
    seen: list[tuple[np.dtype[Any], bool]] = []

    class Watching(em_runs.InMemory):
        def __call__(self, requests: Sequence[EStepRequest]) -> PassStatistics:
            seen.extend((r.kernel.dtype, r.kernel.with_scatter) for r in requests)
            return super().__call__(requests)

    shared = replace(em_runs.problem(scene.Y, tol=1e-9, max_iter=300), single=True)
    candidate = em.EMSolver(shared).init(em.CandidateId(), scene.parameters)
    em.run((candidate,), Watching(scene.Y), shared)
    for dtype in (np.float32, np.float64):
        taken = [with_scatter for own, with_scatter in seen if own == dtype]
        assert len(taken) > 1
        assert taken == [True] + [False] * (len(taken) - 1)
