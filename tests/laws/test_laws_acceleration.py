"""Accelerated EM ends where EM ends, never falls, and every pass it takes is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import em_runs
import mixtures
import numpy as np
import pytest
from families import ALL_FAMILIES
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mixtures import Scene

from dgmm.fitting.em import loop as em
from dgmm.fitting.em import solver
from dgmm.fitting.em.acceleration import Cycle, PlainStep
from dgmm.fitting.em.collapse import CollapsePolicy, CollapseResult, ComponentEvent
from dgmm.fitting.em.state import Iteration
from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.mixture.kernels import Guard
from dgmm.mixture.parameters import Estimate, Parameters
from dgmm.outcome import Outcome

FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)


def problem(scene: Scene, **options: Any) -> em.EMProblem:
    return replace(em_runs.problem(scene.Y, **options), acceleration="squarem")


def run(
    scene: Scene, allowed: em.EMProblem, *, centred: bool = False
) -> tuple[em.FitCandidate, list[Iteration]]:
    """A candidate's end, and what a listener heard; every pass is counted and heard."""
    heard: list[Iteration] = []
    passes = 0
    in_memory = em_runs.InMemory(scene.Y)

    def data_pass(requests: Any) -> Any:
        nonlocal passes
        passes += 1
        return in_memory(requests)

    if centred:
        allowed = replace(allowed, guard=Guard(float("inf")))
    start = em.EMSolver(allowed).init(em.CandidateId(), scene.parameters)
    (done,) = em.run((start,), data_pass, allowed, lambda _, iteration: heard.append(iteration))
    assert done.n_iter == len(heard)
    # Where moments of products do not hold an M-step, a pass is made again with the centred kernel.
    retaken = 0 if centred else sum(iteration.kernel == "centred" for iteration in heard)
    assert passes - done.n_iter == retaken
    return done, heard


def slow(family: Family, **options: Any) -> Scene:
    """Components that overlap: EM takes many small steps."""
    return mixtures.scene(family, n=3000, k=4, d=4, separation=1.0, **options)


@pytest.mark.parametrize("family", ALL_FAMILIES.values(), ids=lambda f: f.name)
@pytest.mark.parametrize("centred", [False, True])
@settings(deadline=None, max_examples=12)
@example(k=6, d=5, seed=2907, separation=2.0)  # a last step that loses 8.4e-12
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
    done, _ = run(scene, problem(scene, max_iter=60), centred=centred)
    assert done.outcome in {Outcome.CONVERGED, Outcome.MAX_ITER_REACHED}
    if not done.events:
        fitted = replace(scene, parameters=done.parameters)
        falls = [before - after for before, after in pairwise(done.history)]
        assert max(falls, default=0.0) <= fitted.allowed_fall(done.mean_log_likelihood)


@FAMILY
@pytest.mark.parametrize(("regularisation", "share"), [(0.0, 0.7), (1e-2, 1.5)])
def test_the_end_is_that_of_plain_em_in_fewer_passes(
    family: Family, regularisation: float, share: float
) -> None:
    """A fixed point of accelerated steps is one of plain steps, regularisation included.

    Where regularisation makes plain steps fall, the likelihood judges badly: two plain passes and
    a rejected one are then the worst that a cycle costs.
    """
    scene = slow(family)
    allowed = problem(scene, max_iter=3000, tol=1e-13, regularisation=regularisation)
    plain, _ = run(scene, replace(allowed, acceleration="none"))
    found, heard = run(scene, allowed)
    assert plain.outcome is found.outcome is Outcome.CONVERGED
    # Where a step gains less than tol = 1e-13, parameters are within √tol, times what is left of a
    # slow sequence, of the end.
    assert mixtures.difference(found.parameters, plain.parameters) <= 1e-4
    assert abs(found.mean_log_likelihood - plain.mean_log_likelihood) <= 1e-9
    assert found.n_iter < share * plain.n_iter
    assert Counter(i.step for i in heard)["accelerated"] >= 3


@FAMILY
@pytest.mark.parametrize("tol", [1e-3, 1e-4, 1e-6, 1e-8])
def test_what_is_still_to_come_at_convergence_is_near_tol(family: Family, tol: float) -> None:
    """Less than ten times tol where EM is as slow as here, and no more than plain EM leaves.

    Of one diagonal for all it is 12.5 times 1e-8: what is to come is estimated, not bounded.
    """
    scene = slow(family)
    done, heard = run(scene, problem(scene, max_iter=400, tol=tol))
    plain, _ = run(scene, replace(problem(scene, max_iter=400, tol=tol), acceleration="none"))
    end, _ = run(scene, problem(scene, max_iter=3000, tol=1e-13))
    assert done.outcome is Outcome.CONVERGED
    assert heard[-1].step == "plain"
    assert abs(heard[-1].change) < tol
    times = 15.0 if family.name == "tied_diag" else 10.0
    assert end.mean_log_likelihood - done.mean_log_likelihood < times * tol
    assert done.mean_log_likelihood >= plain.mean_log_likelihood


def parted_by_noise(distance: float) -> Scene:
    """Two clusters so far apart along x, and two components parted along y, which is noise.

    EM first gains less and less, then ever more as the components find the clusters.
    """
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(0, 1, 1000), rng.normal(distance, 1, 1000)])
    Y = np.array([x, rng.normal(size=2000)])
    halves = [Y[:, Y[1] > 0], Y[:, Y[1] <= 0]]
    means = np.array([half.mean(axis=1) for half in halves])
    covariances = np.array([np.cov(half) for half in halves])
    return Scene(Parameters.of(FAMILIES["full"], np.full(2, 0.5), means, covariances), Y)


@pytest.mark.parametrize("distance", [6.0, 10.0, 20.0])
def test_many_small_steps_on_a_plateau_are_no_convergence(distance: float) -> None:
    scene = parted_by_noise(distance)
    allowed = problem(scene, max_iter=200, tol=1e-3)
    plain, _ = run(scene, replace(allowed, acceleration="none"))
    found, _ = run(scene, allowed)
    assert plain.outcome is found.outcome is Outcome.CONVERGED
    assert found.mean_log_likelihood > plain.mean_log_likelihood + 0.3
    np.testing.assert_allclose(sorted(found.parameters.means[:, 0]), [0.0, distance], atol=0.2)


def test_a_few_iterations_are_judged_by_their_change_alone() -> None:
    scene = mixtures.scene(FAMILIES["full"], n=600, k=3, separation=40.0)
    done, _ = run(scene, problem(scene, max_iter=3, tol=1e-3))
    assert done.outcome is Outcome.CONVERGED


@FAMILY
def test_a_start_at_the_end_takes_no_more_passes_than_plain_em(family: Family) -> None:
    scene = mixtures.scene(family, n=600, k=3, separation=40.0)
    allowed = problem(scene, tol=1e-6)
    plain, _ = run(scene, replace(allowed, acceleration="none"))
    found, _ = run(scene, allowed)
    assert found.n_iter == plain.n_iter


def _each(
    next_point: Callable[[PlainStep], tuple[Cycle, Parameters]],
) -> Callable[[Sequence[PlainStep]], list[tuple[Cycle, Parameters]]]:
    """In place of `next_points`: what is said of each step."""
    return lambda steps: [next_point(step) for step in steps]


def _astray(step: PlainStep) -> tuple[Cycle, Parameters]:
    """Every second pass to parameters far from all rows."""
    cycle, to = step.cycle, step.to
    if cycle.start is None:
        return replace(cycle, start=step.at), to
    far = Parameters.of(to.family, to.weights, to.means + 50.0, to.covariances)
    return replace(cycle, start=None, fallback=to, remaining=0.0), far


@FAMILY
def test_a_rejected_step_costs_its_pass_and_nothing_else(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = slow(family)
    allowed = problem(scene, max_iter=400, tol=1e-5)
    plain, told = run(scene, replace(allowed, acceleration="none"))
    monkeypatch.setattr(solver, "next_points", _each(_astray))
    found, heard = run(scene, allowed)
    steps = Counter(i.step for i in heard)
    assert steps["rejected"] > 3
    assert steps["accelerated"] == 0
    assert found.n_iter == plain.n_iter + steps["rejected"]
    assert found.history == plain.history
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(
            getattr(found.parameters, name), getattr(plain.parameters, name)
        )
    kept = [i for i in heard if i.step == "plain"]
    assert [i.change for i in kept[1:]] == [i.change for i in told[1:]]
    rejected = [i for i in heard if i.step == "rejected"]
    assert all(np.isnan(i.change) for i in rejected)
    assert {i.mean_log_likelihood for i in rejected} <= set(plain.history)


@FAMILY
@pytest.mark.parametrize("max_iter", range(1, 12))
def test_no_run_ends_on_parameters_that_no_pass_has_judged(family: Family, max_iter: int) -> None:
    scene = slow(family)
    done, heard = run(scene, problem(scene, max_iter=max_iter, tol=0.0))
    assert done.outcome is Outcome.MAX_ITER_REACHED
    assert done.n_iter == max_iter
    assert not done.cycle.is_extrapolated
    after, _ = run(Scene(done.parameters, scene.Y), problem(scene, max_iter=1))
    assert after.history[0] >= done.history[-1]
    assert "accelerated" not in {i.step for i in heard[:4]}


def _tiny(step: PlainStep) -> tuple[Cycle, Parameters]:
    """Asks for a component without rows, for one on a point, and for one beyond the guard."""
    to, admits = step.to, step.admits
    weights, covariances = to.weights.copy(), to.covariances
    weights[0] = 1e-9
    asked = [
        Parameters.of(to.family, weights / weights.sum(), to.means, covariances),
        Parameters.of(to.family, to.weights, to.means, 1e-40 * covariances),
        Parameters.of(to.family, to.weights, to.means, 1e-12 * covariances),
    ]
    assert admits(to)
    assert [admits(p) for p in asked] == [False, False, False]
    return step.cycle, to


@FAMILY
def test_a_step_that_would_lose_a_component_or_the_kernel_is_not_admitted(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = slow(family)
    allowed = problem(scene, max_iter=5, tol=0.0)
    plain, _ = run(scene, replace(allowed, acceleration="none"))
    monkeypatch.setattr(solver, "next_points", _each(_tiny))
    found, _ = run(scene, allowed)
    assert found.history == plain.history


class _LosesOne(CollapsePolicy):
    """Finds a component lost in the third M-step."""

    def resolve(
        self,
        estimate: Estimate,
        reseeds: tuple[int, ...],
        used_rows: tuple[int, ...],
        iteration: int,
        restart: int,
        parameters: Parameters | None = None,
    ) -> CollapseResult:
        found = (estimate, reseeds, used_rows, iteration, restart, parameters)
        resolved = CollapsePolicy.resolve(self, *found)
        event = ComponentEvent(iteration, restart, 0, "reseeded", "component 0 collapsed")
        return replace(resolved, events=(event,)) if iteration == 3 else resolved


def _no_further(step: PlainStep) -> tuple[Cycle, Parameters]:
    """An extrapolation that goes as far as the plain step."""
    if step.cycle.start is None:
        return replace(step.cycle, start=step.at), step.to
    return replace(step.cycle, start=None, fallback=step.to), step.to


def test_a_component_is_never_lost_to_an_extrapolation(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = slow(FAMILIES["full"])
    allowed = problem(scene, max_iter=5, tol=0.0)
    policy = _LosesOne("reseed", allowed.collapse.sample, allowed.collapse.regularisation)
    monkeypatch.setattr(solver, "next_points", _each(_no_further))
    done, heard = run(scene, replace(allowed, collapse=policy))
    assert [i.step for i in heard] == ["plain", "plain", "rejected", "plain", "plain"]
    assert done.events == ()


@FAMILY
def test_a_change_of_kernel_begins_a_new_pair_of_steps(family: Family) -> None:
    scene = slow(family)
    allowed = problem(scene, max_iter=400, tol=1e-9)
    started = em.EMSolver(allowed).init(em.CandidateId(), scene.parameters)
    kernel = em.EMSolver(allowed).kernel(started)
    begun = em.EMSolver(allowed).step(started, kernel, em_runs.one_pass(kernel, scene.Y))
    assert begun.cycle.start is scene.parameters
    # A guard that nothing passes: the next pass is the centred kernel's.
    strict = replace(allowed, guard=Guard(float("inf")))
    centred = em.EMSolver(strict).kernel(begun)
    changed = em.EMSolver(strict).step(begun, centred, em_runs.one_pass(centred, scene.Y))
    assert changed.kernel == "centred-float64"
    assert changed.cycle.start is begun.parameters
    assert not changed.cycle.is_extrapolated


@FAMILY
def test_float32_passes_lead_to_the_maximum_of_float64_passes(family: Family) -> None:
    scene = mixtures.scene(family, n=4000, condition=2.0, separation=3.0)
    allowed = problem(scene, max_iter=400, tol=1e-12)
    expected, _ = run(scene, allowed)
    found, heard = run(scene, replace(allowed, single=True))
    assert {i.dtype for i in heard} == {"float32", "float64"}
    assert found.outcome is expected.outcome is Outcome.CONVERGED
    assert mixtures.difference(found.parameters, expected.parameters) <= 1e-4
