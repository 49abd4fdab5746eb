"""Families without correlations take time and memory linear in the number of features."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from mixtures import mixture
from numpy.typing import NDArray

from dgmm import GaussianMixture
from dgmm.job.memory_plan import Work, driver_terms, task_terms
from dgmm.mixture.covariance import FAMILIES
from dgmm.reduction.blocks import BlockGrid

UNCORRELATED = ["diag", "spherical"]
D = 1000


def rows(d: int) -> NDArray[np.float64]:
    """40 rows of two clusters."""
    X = np.random.default_rng(0).normal(size=(40, d))
    X[:20] += 3.0
    return X


def peak(work: Callable[[], object]) -> int:
    """Bytes that NumPy and Python held at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", UNCORRELATED)
def test_fitting_and_predicting_take_memory_linear_in_the_features(family: str) -> None:
    def fit(X: NDArray[np.float64]) -> None:
        fitted = GaussianMixture(2, covariance_type=family, max_iter=3, random_state=0).fit(X)
        fitted.score_samples(X)
        fitted.sample(3)

    fit(rows(5))  # what is imported and compiled once
    few, many = (peak(partial(fit, rows(d))) for d in (D, 2 * D))
    assert many < 2.2 * few
    assert many < 8 * (2 * D) ** 2


@pytest.mark.parametrize("family", UNCORRELATED)
def test_a_plan_asks_for_memory_linear_in_the_features(family: str) -> None:
    def planned(d: int) -> int:
        work = Work(
            grid=BlockGrid(100_000, d),
            itemsize=4,
            band_bytes=0,
            family=FAMILIES[family],
            n_components=2,
            n_candidates=1,
            n_tasks=1,
            sample_rows=100,
            output_chunk_bytes=0,
            n_sample_starts=16,
        )
        terms = [*task_terms(work), *driver_terms(work, hierarchical=False, report=False)]
        return sum(term.n_bytes for term in terms)

    few, middle, many = map(planned, (15_000, 30_000, 60_000))
    assert many - middle <= 2.01 * (middle - few)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_families_answer_is_what_their_matrices_say(name: str) -> None:
    family, k, d = FAMILIES[name], 3, 4
    p = mixture(family, k, d, np.random.default_rng(0))
    matrices = [family.full_covariance(p.covariances, j, d) for j in range(k)]
    variances = np.array([0.1, 2.0, 0.5, 1.0])
    if family.common_scale:
        variances[:] = 0.7
    roots = np.diag(np.sqrt(variances))
    features = np.array([2, 0])
    noise = np.random.default_rng(1).normal(size=(5, d))
    for j, C in enumerate(matrices):
        scaled = roots @ np.linalg.inv(C) @ roots
        U = p.precisions_cholesky
        close = {"rtol": 1e-12, "atol": 1e-14}
        np.testing.assert_allclose(family.trace_with(U, j, variances), np.trace(scaled), **close)
        largest = np.linalg.eigvalsh(scaled)[-1]
        np.testing.assert_allclose(family.largest_with(U, j, variances), largest, **close)
        smallest = family.smallest_eigenvalue(p.covariances, j, d)
        np.testing.assert_allclose(smallest, np.linalg.eigvalsh(C)[0], **close)
        among = family.covariance_among(p.covariances, j, features, d)
        np.testing.assert_array_equal(among, C[np.ix_(features, features)])
        drawn = noise @ np.linalg.cholesky(C).T
        np.testing.assert_allclose(family.correlated(p.covariances, j, noise), drawn, **close)
        W = family.whiten(U, 0, np.eye(d))
        apart = np.abs(W @ C @ W.T - np.eye(d)).max()
        found = family.difference_from_first(U, p.covariances, j, d)
        np.testing.assert_allclose(found, apart, **close)
