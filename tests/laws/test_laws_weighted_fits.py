"""Whole fits with weights: those of copies from the same start, and the same in any unit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import em_runs
import mixtures
import numpy as np
import pytest
from mixtures import Array

from dgmm import GaussianMixture
from dgmm.data.array_dataset import ArrayDataset
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.data_pass import EStepRunner
from dgmm.mixture.backends import compiled_backend
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.kernels import Guard

N, D, K = 1000, 4, 3
COUNTS = np.random.default_rng(7).integers(0, 4, N)
FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
BACKENDS = ["numpy"] + ["numba"] * (compiled_backend() is not None)


@FAMILY
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(("max_iter", "allowed"), [(1, 1e-12), (300, 1e-8)])
def test_counts_are_copies_from_the_same_start(family, backend, centred, max_iter, allowed):
    rows = np.ascontiguousarray(mixtures.scene(family, N, K, D).Y.T)
    weighted = _ended(family, backend, centred, max_iter, rows, COUNTS)
    copied = _ended(family, backend, centred, max_iter, np.repeat(rows, COUNTS, axis=0), None)
    assert max_iter == 1 or weighted.outcome.has_converged
    assert weighted.kernel == copied.kernel
    assert weighted.mean_log_likelihood == pytest.approx(copied.mean_log_likelihood, rel=allowed)
    for name in ("weights", "means", "covariances"):
        found, expected = (getattr(one.parameters, name) for one in (weighted, copied))
        assert np.abs(found - expected).max() <= allowed * np.abs(expected).max()


@FAMILY
@pytest.mark.parametrize("j", [-40, 13])
def test_a_power_of_two_of_all_importance_weights_moves_no_bit(family, j):
    rows = _rows(family)
    weights = np.random.default_rng(2).lognormal(sigma=0.4, size=N)
    plain, scaled = (_fitted(family, rows, np.ldexp(weights, e)) for e in (0, j))
    for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
        np.testing.assert_array_equal(getattr(scaled, name), getattr(plain, name))


@pytest.mark.parametrize("factor", [1e-6, 1e4])
def test_the_unit_of_importance_weights_drops_no_component(factor):
    rows = _rows(FAMILIES["full"])
    weights = factor * np.random.default_rng(2).lognormal(sigma=0.4, size=N)
    found = _fitted(FAMILIES["full"], rows, weights)
    assert len(found.weights_) == K
    assert found.converged_


@FAMILY
@pytest.mark.parametrize("kind", ["importance", "counts"])
def test_rows_of_weight_zero_are_absent_whatever_they_hold(family, kind):
    rows, weights = _rows(family), COUNTS.astype(float)
    there = weights > 0
    held = rows.copy()
    held[~there] = np.nan
    held[np.flatnonzero(~there)[0]] = np.inf
    found = _fitted(family, held, weights, kind=kind, missing="drop")
    expected = _fitted(family, rows[there], weights[there], kind=kind)
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12)
    assert (
        _fitted(family, held, weights, kind=kind).means_ == found.means_
    ).all()  # missing: error


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random_from_data", "hierarchical"])
def test_starts_follow_the_weights(init):
    """Two clusters of 4 outweigh eight rows in ten: k = 2 finds those two."""
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0], [8.0, 8.0]])
    labels = np.repeat(np.arange(4), [400, 400, 100, 100])
    rows = centres[labels] + rng.normal(size=(1000, 2))
    weights = np.where(labels < 2, 1e-4, 1.0)
    found = GaussianMixture(2, init_params=init, random_state=0).fit(rows, sample_weight=weights)
    order = np.argsort(found.means_[:, 0])
    np.testing.assert_allclose(found.means_[order], centres[2:], atol=0.5)


def test_the_kind_decides_how_many_rows_there_are():
    """Weights of 1/1000 in all: counts would have lost every component, importance none."""
    rows = _rows(FAMILIES["full"])
    equal = GaussianMixture(K, random_state=0).fit(rows)
    for weights in (np.full(N, 1e-3), np.full(N, 0.1)):
        found = GaussianMixture(K, random_state=0).fit(rows, sample_weight=weights)
        np.testing.assert_array_equal(found.means_, equal.means_)
        np.testing.assert_array_equal(found.covariances_, equal.covariances_)


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e4])
def test_the_unit_of_importance_weights_chooses_no_other_number_of_components(factor):
    rng = np.random.default_rng(1)
    centres = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [9.0, 9.0]])
    rows = centres[rng.integers(4, size=1200)] + rng.normal(size=(1200, 2))
    weights = factor * rng.lognormal(sigma=0.5, size=1200)
    bics = [
        GaussianMixture(k, random_state=0).fit(rows, sample_weight=weights).bic(rows, weights)
        for k in range(2, 7)
    ]
    assert 2 + int(np.argmin(bics)) == 4


@pytest.mark.parametrize("n_threads", [1, 3])
def test_bits_do_not_follow_the_threads(n_threads, monkeypatch):
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)  # blocks of 4096 rows
    rng = np.random.default_rng(3)
    rows, weights = rng.normal(size=(20_000, 2)), rng.lognormal(sigma=1.5, size=20_000)
    found = GaussianMixture(2, random_state=0, sample_rows=3000, n_threads=n_threads)
    found.fit(rows, sample_weight=weights)
    one = GaussianMixture(2, random_state=0, sample_rows=3000, n_threads=2)
    np.testing.assert_array_equal(found.means_, one.fit(rows, sample_weight=weights).means_)


def _rows(family: Any) -> Array:
    return np.ascontiguousarray(mixtures.scene(family, N, K, D).Y.T)


def _fitted(family: Any, rows: Array, weights: Array, kind: str = "importance", **own: Any) -> Any:
    mixture = GaussianMixture(
        K, covariance_type=family.name, weight_kind=kind, random_state=0, tol=1e-5, **own
    )
    return mixture.fit(rows, sample_weight=weights)


def _ended(
    family: Any, backend: str, centred: bool, max_iter: int, rows: Array, weights: Array | None
) -> em.FitCandidate:
    scene = mixtures.scene(family, N, K, D)
    problem = replace(
        em_runs.problem(scene.Y, max_iter=max_iter, tol=1e-11), counts_are_rows=weights is not None
    )
    if centred:
        problem = replace(problem, guard=Guard(float("inf")))
    begun = em.EMSolver(problem).init(em.CandidateId(), scene.parameters)
    dataset = ArrayDataset(rows, weights=weights)
    n_dropped = 0 if weights is None else int((weights == 0).sum())
    with ThreadExecutor(1) as executor:
        data_pass = EStepRunner(dataset, executor, backend, n_dropped=n_dropped)
        return em.run((begun,), data_pass, problem)[0]
