"""Candidates that take an iteration together: each has the bits that it has alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import em_runs
import mixtures
import numpy as np
import pytest
from families import ALL_FAMILIES

from dgmm.fitting.em import loop as em
from dgmm.fitting.em import small_groups
from dgmm.fitting.em.data_pass import PassStatistics
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.fitting.inference.maximum_a_posteriori import MaximumAPosteriori
from dgmm.fitting.inference.prior import ConjugatePrior
from dgmm.fitting.noise_start import with_noise
from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.mixture.noise import Noise
from dgmm.mixture.parameters import Parameters

FAMILY = pytest.mark.parametrize("family", ALL_FAMILIES.values(), ids=lambda f: f.name)
ARRAYS = ("weights", "means", "covariances", "precisions_cholesky")


def starts(family: Family, n: int, k: int, d: int) -> list[Parameters]:
    rng = np.random.default_rng(8)
    return [mixtures.mixture(family, k, d, rng, separation=1.0) for _ in range(n)]


def begun(problem: em.EMProblem, parameters: Sequence[Parameters]) -> tuple[em.FitCandidate, ...]:
    solver = em.EMSolver(problem)
    return tuple(solver.init(em.CandidateId(i), p) for i, p in enumerate(parameters))


def rows(d: int) -> Any:
    rng = np.random.default_rng(3)
    return np.concatenate([c + rng.normal(size=(40, d)) for c in (-2.0, 0.0, 3.0)]).T.copy()


class Weighted(em_runs.InMemory):
    """Statistics of rows of weights, as sums alone show."""

    def __call__(self, requests: Sequence[EStepRequest]) -> PassStatistics:
        found = super().__call__(requests)
        weighed = tuple(replace(s, sum_of_weights=0.5 * s.n_rows) for s in found.candidates)
        return replace(found, candidates=weighed)


def require_equal(found: em.FitCandidate, alone: em.FitCandidate) -> None:
    assert found.history == alone.history
    assert found.outcome is alone.outcome
    assert found.events == alone.events
    assert found.n_iter == alone.n_iter
    assert (found.estimate is None) == (alone.estimate is None)
    if found.estimate is not None and alone.estimate is not None:
        np.testing.assert_array_equal(found.estimate.counts, alone.estimate.counts)
    for name in ARRAYS:
        np.testing.assert_array_equal(
            getattr(found.parameters, name), getattr(alone.parameters, name), name
        )


@FAMILY
@pytest.mark.parametrize(("k", "d"), [(1, 3), (3, 1), (4, 4), (9, 7)])
def test_bits_are_those_of_each_alone(family: Family, k: int, d: int) -> None:
    Y = rows(d)
    problem = replace(
        em_runs.problem(Y, max_iter=14, tol=1e-9, regularisation=1e-3), acceleration="squarem"
    )
    candidates = begun(problem, starts(family, 5, k, d))
    for data_pass in (em_runs.InMemory(Y), Weighted(Y)):
        together = em.run(candidates, data_pass, problem)
        for found, start in zip(together, candidates, strict=True):
            require_equal(found, em.run((start,), data_pass, problem)[0])


@FAMILY
def test_bits_are_those_of_each_alone_where_components_are_lost(family: Family) -> None:
    """One of the candidates has a component without rows, another one on a point."""
    d, Y = 3, rows(3)
    problem = replace(em_runs.problem(Y, max_iter=6, tol=1e-9), acceleration="squarem")
    mixtures_ = starts(family, 4, 3, d)
    far = mixtures_[1]
    mixtures_[1] = Parameters.of(
        family, far.weights, far.means + np.array([[400.0], [0], [0]]), far.covariances
    )
    candidates = begun(problem, mixtures_)
    together = em.run(candidates, em_runs.InMemory(Y), problem)
    assert any(c.events for c in together)
    for found, start in zip(together, candidates, strict=True):
        require_equal(found, em.run((start,), em_runs.InMemory(Y), problem)[0])


class Differing(em_runs.InMemory):
    """Of two requests in three the rows have weights, and one of these has half as many rows."""

    def __init__(self, Y: Any, first: int = 0) -> None:
        super().__init__(Y)
        self._first = first

    def __call__(self, requests: Sequence[EStepRequest]) -> PassStatistics:
        found = super().__call__(requests).candidates
        changes: list[dict[str, Any]] = [
            {},
            {"sum_of_weights": 60.0},
            {"n_rows": 60, "sum_of_weights": 60.0},
        ]
        own = (replace(s, **changes[i % 3]) for i, s in enumerate(found, self._first))
        return PassStatistics(self._Y.shape[1], 0, tuple(own))


def test_candidates_of_different_problems_share_no_m_step() -> None:
    """They differ in regularisation, in what weights are, in rows, and in their inference."""
    family, k, d, Y = FAMILIES["full"], 3, 3, rows(3)
    plain = replace(
        em_runs.problem(Y, max_iter=5, tol=0.0, regularisation=1e-3), acceleration="squarem"
    )
    added = replace(plain.collapse, regularisation=np.full(d, 0.05))
    scale = ConjugatePrior(family, Y.mean(axis=1), 0.01, d + 2.0, np.eye(d)[None])
    prior = MaximumAPosteriori(scale, Y.shape[1], 1.5)
    problems = [
        plain,
        replace(plain, counts_are_rows=True),
        replace(plain, collapse=added),
        replace(plain, inference=prior),
    ]
    begun_ = begun(plain, starts(family, 24, k, d))
    by_id = {c.id: problems[i // 3 % 4] for i, c in enumerate(begun_)}
    together = em.run(begun_, Differing(Y), by_id)
    for i, (found, start) in enumerate(zip(together, begun_, strict=True)):
        require_equal(found, em.run((start,), Differing(Y, i), by_id)[0])


def test_bits_with_noise_are_those_of_each_alone() -> None:
    Y = rows(3)
    box = Noise(0.1, Y.min(axis=1), Y.max(axis=1))
    problem = replace(em_runs.problem(Y, max_iter=9, tol=0.0), acceleration="squarem")
    own = [with_noise(p, box) for p in starts(FAMILIES["full"], 3, 3, 3)]
    candidates = begun(problem, own)
    for found, start in zip(
        em.run(candidates, em_runs.InMemory(Y), problem), candidates, strict=True
    ):
        (alone,) = em.run((start,), em_runs.InMemory(Y), problem)
        require_equal(found, alone)
        assert found.parameters.noise is not None
        assert alone.parameters.noise is not None
        assert found.parameters.noise.weight == alone.parameters.noise.weight


@pytest.mark.parametrize("family", ["full", "diag", "spherical"])
def test_small_mixtures_are_factored_in_one_go(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call a pass and one where steps go further, as for one mixture, and not five."""
    own, calls, factor = FAMILIES[family], list[int](), type(FAMILIES[family]).precisions_cholesky

    def counted(self: Family, covariances: Any) -> Any:
        calls.append(len(covariances))
        return factor(self, covariances)

    Y = rows(3)
    problem = replace(em_runs.problem(Y, max_iter=9, tol=0.0), acceleration="squarem")
    candidates = begun(problem, starts(own, 5, 3, 3))
    monkeypatch.setattr(type(own), "precisions_cholesky", counted)
    ended = em.run(candidates, em_runs.InMemory(Y), problem)
    assert all(c.n_iter == 9 for c in ended)
    assert calls[0] == 5 * 3
    assert len(calls) < 2 * 9


@FAMILY
def test_large_mixtures_take_theirs_one_by_one(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies of their sums would be memory that no plan counts."""
    monkeypatch.setattr(small_groups, "MOST_NUMBERS", 2)
    Y = rows(3)
    problem = replace(em_runs.problem(Y, max_iter=9, tol=0.0), acceleration="squarem")
    candidates = begun(problem, starts(family, 3, 3, 3))
    monkeypatch.setattr(Parameters, "parted", None)
    for found, start in zip(
        em.run(candidates, em_runs.InMemory(Y), problem), candidates, strict=True
    ):
        require_equal(found, em.run((start,), em_runs.InMemory(Y), problem)[0])


def test_groups_are_bounded_and_hold_each_place_once() -> None:
    keys = ["a", None, "a", "b", "a", "b", "a"]
    sizes = [4000, 1, 4097, 10, 4000, 10, 4000]
    found = sorted(small_groups.small_groups(keys, sizes))
    assert found == [[0, 4, 6], [1], [2], [3, 5]]
    many = [*small_groups.small_groups(["a"] * 40, [4000] * 40)]
    assert [len(group) for group in many] == [16, 16, 8]
    assert sorted(i for group in many for i in group) == [*range(40)]


def test_a_mixture_keeps_no_array_of_the_others_alive() -> None:
    whole = starts(FAMILIES["full"], 1, 6, 3)[0]
    for part in whole.parted(2):
        for values in vars(part).values():
            if isinstance(values, np.ndarray):
                assert values.base is None
