"""EM over rows with missing values is EM of the observed likelihood, row by row."""

from __future__ import annotations

import mixtures
import numpy as np
import pytest
import row_by_row
from families import ALL_FAMILIES
from missing_rows import BACKENDS, KERNELS, one_pass, with_gaps
from mixtures import Scene
from scipy.stats import multivariate_normal

from dgmm.mixture.covariance import Family
from dgmm.mixture.marginal import MarginalScorer, statistics_of_posteriors
from dgmm.mixture.parameters import Parameters, m_step

FAMILY = pytest.mark.parametrize("family", ALL_FAMILIES.values(), ids=lambda f: f.name)
KERNEL = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
BACKEND = pytest.mark.parametrize("backend", BACKENDS)
N, D, K = 300, 5, 3


def _scene(family: Family, share: float = 0.3, seed: int = 0) -> Scene:
    scene = mixtures.scene(family, N, K, D, seed)
    return Scene(scene.parameters, with_gaps(scene.Y, share, seed))


def _stepped(scene: Scene, kernel, backend, weights=None) -> Parameters:
    family = scene.family
    statistics = one_pass(kernel(scene.parameters), scene.Y, backend, weights)
    return m_step(family, statistics, before=scene.parameters).regularised(np.zeros(len(scene.Y)))


@FAMILY
@KERNEL
@BACKEND
@pytest.mark.parametrize("weighted", [False, True])
def test_a_pass_is_the_row_by_row_computation(family, kernel, backend, weighted) -> None:
    scene = _scene(family)
    weights = np.random.default_rng(1).uniform(0.1, 3.0, N) if weighted else None
    found = one_pass(kernel(scene.parameters), scene.Y, backend, weights)
    expected = row_by_row.expected(scene.parameters, scene.Y, weights)
    w = np.ones(N) if weights is None else weights
    assert found.n_rows == N
    assert found.weight == pytest.approx(w.sum(), rel=1e-14)
    assert found.log_likelihood == pytest.approx(expected.log_density @ w, rel=1e-12)
    np.testing.assert_allclose(found.sums[:, -1], expected.counts, rtol=1e-10)
    stepped = _stepped(scene, kernel, backend, weights)
    one = row_by_row.stepped_of_observed_values if family.masks_features else row_by_row.stepped
    assert mixtures.difference(stepped, one(scene.parameters, scene.Y, weights)) <= 1e-9


@FAMILY
def test_scores_are_those_of_the_row_by_row_computation(family) -> None:
    scene = _scene(family)
    scorer, expected = MarginalScorer(scene.parameters), row_by_row.expected(*_parts(scene))
    np.testing.assert_allclose(scorer.log_density(scene.Y), expected.log_density, rtol=1e-10)
    found = scorer.responsibilities(scene.Y)
    np.testing.assert_allclose(found, expected.responsibilities, atol=1e-10)


@FAMILY
def test_imputed_values_are_those_of_the_conditional_mixture(family) -> None:
    """Mean and sd of x_m given x_o, by the joint density on a grid of one missing feature."""
    p = mixtures.scene(family, 20, K, 2).parameters
    Y = np.array([[0.3, np.nan, 1.0], [np.nan, -0.4, 2.0]])
    means, deviations = MarginalScorer(p).impute(Y)
    grid = np.linspace(-40.0, 40.0, 200_001)
    for i, missing in ((0, 1), (1, 0)):
        rows = np.where(np.isnan(Y[:, i])[:, None], grid, Y[:, i][:, None])
        density = np.exp(mixtures.plain_log_prob(p, rows)).sum(axis=0)
        density /= density.sum()
        mean = density @ grid
        assert means[missing, i] == pytest.approx(mean, abs=1e-9)
        sd = np.sqrt(density @ (grid - mean) ** 2)
        assert deviations[missing, i] == pytest.approx(sd, rel=1e-8)
    np.testing.assert_array_equal(means[:, 2], Y[:, 2])
    np.testing.assert_array_equal(deviations[:, 2], 0.0)


@FAMILY
def test_entropies_are_those_of_what_is_missing_given_what_is_observed(family) -> None:
    p = _scene(family).parameters
    observed = np.array([True, False, True, False, False])
    _, entropies = MarginalScorer(p).of_pattern(observed)
    for j in range(K):
        precision = np.linalg.inv(p.family.full_covariance(p.covariances, j, D))
        C = np.linalg.inv(precision[np.ix_(~observed, ~observed)])
        expected = multivariate_normal(np.zeros(3), C).entropy()
        assert entropies[j] == pytest.approx(expected, rel=1e-12)
    _, none = MarginalScorer(p).of_pattern(np.ones(D, np.bool_))
    np.testing.assert_array_equal(none, 0.0)


@FAMILY
def test_the_completed_log_density_of_complete_rows_is_their_log_density(family) -> None:
    scene = mixtures.scene(family, 50, K, D)
    scorer = MarginalScorer(scene.parameters)
    found = scorer.completed_log_density(scene.Y)
    np.testing.assert_array_equal(found, scorer.log_density(scene.Y))


@FAMILY
@pytest.mark.parametrize("weighted", [False, True])
def test_given_the_posteriors_of_a_pass_statistics_are_those_of_the_pass(family, weighted) -> None:
    scene = _scene(family)
    weights = np.random.default_rng(1).uniform(0.1, 3.0, N) if weighted else None
    R = MarginalScorer(scene.parameters).responsibilities(scene.Y)
    found = statistics_of_posteriors(scene.parameters, scene.Y, R, weights)
    expected = one_pass(KERNELS["centred"](scene.parameters), scene.Y, "numpy", weights)
    assert (found.n_rows, found.weight) == (N, pytest.approx(expected.weight))
    np.testing.assert_allclose(found.sums, expected.sums, atol=1e-9)
    if expected.scatter is not None:
        np.testing.assert_allclose(found.scatter, expected.scatter, atol=1e-9)
    if expected.observed is not None:
        np.testing.assert_allclose(found.observed, expected.observed, atol=1e-9)


def _parts(scene: Scene) -> tuple[Parameters, mixtures.Array]:
    return scene.parameters, scene.Y
