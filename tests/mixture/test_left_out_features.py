"""A feature's part in a squared distance is what the distance loses without that feature."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dgmm.mixture.covariance import FAMILIES, family_named
from dgmm.mixture.left_out_features import left_out
from dgmm.mixture.parameters import Parameters

D = 6
NAMES = ("full", "tied", "diag", "spherical")


def mixture(name: str, k: int = 3) -> Parameters:
    """Correlated where the family can be."""
    rng = np.random.default_rng(len(name))
    roots = rng.normal(size=(k, D, D)) + 2.0 * np.eye(D)
    full = roots @ roots.transpose(0, 2, 1)
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": np.diagonal(full, axis1=1, axis2=2).copy(),
        "spherical": full[:, 0, 0],
    }[name]
    weights = rng.dirichlet(np.full(k, 5.0))
    return Parameters.of(family_named(name), weights, rng.normal(0, 5, (k, D)), covariances)


def squared_distance(parameters: Parameters, k: int, Y: np.ndarray, features: list[int]):
    """By solving with the covariance of these features alone."""
    p = parameters
    covariance = p.family.full_covariance(p.covariances, k, D)[np.ix_(features, features)]
    deviations = (Y - p.means[k][:, None])[features]
    return (deviations * np.linalg.solve(covariance, deviations)).sum(axis=0)


def test_all_families_are_here():
    assert set(NAMES) <= set(FAMILIES)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_lost_is_the_difference_of_distances_with_and_without_the_feature(name):
    p, k = mixture(name), 1
    Y = np.random.default_rng(0).normal(0, 10, (D, 50))
    found = left_out(p, k, Y, 1)
    every = list(range(D))
    whole = squared_distance(p, k, Y, every)
    differences = np.stack(
        [whole - squared_distance(p, k, Y, [i for i in every if i != j]) for j in every]
    )
    np.testing.assert_allclose(found.squared_distance, whole, rtol=1e-12)
    np.testing.assert_array_equal(found.features[:, 0], differences.argmax(axis=0))
    np.testing.assert_allclose(found.losses[:, 0], differences.max(axis=0), rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_further_features_are_left_out_of_what_remains_and_losses_add_up(name):
    p, k, most = mixture(name), 2, 4
    Y = np.random.default_rng(1).normal(0, 10, (D, 20))
    found = left_out(p, k, Y, most)
    for row, features in enumerate(found.features):
        y = Y[:, [row]]
        for step, j in enumerate(features):
            left = [i for i in range(D) if i not in features[:step]]
            distance = squared_distance(p, k, y, left)
            others = {i: squared_distance(p, k, y, [o for o in left if o != i]) for i in left}
            assert j == min(others, key=others.get)
            np.testing.assert_allclose(found.losses[row, step], distance - others[j], rtol=1e-9)
        rest = [i for i in range(D) if i not in features]
        lost = found.squared_distance[row] - squared_distance(p, k, y, rest)
        np.testing.assert_allclose(found.losses[row].sum(), lost, rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_expected_value_and_deviation_are_those_of_the_conditional_distribution(name):
    p, k = mixture(name), 0
    Y = np.random.default_rng(2).normal(0, 10, (D, 20))
    found = left_out(p, k, Y, 2)
    covariance = p.family.full_covariance(p.covariances, k, D)
    for (row, features), step in itertools.product(enumerate(found.features), range(2)):
        j = features[step]
        rest = [i for i in range(D) if i not in features[: step + 1]]
        B = np.linalg.solve(covariance[np.ix_(rest, rest)], covariance[rest, j])
        expected = p.means[k, j] + B @ (Y[rest, row] - p.means[k, rest])
        variance = covariance[j, j] - B @ covariance[rest, j]
        np.testing.assert_allclose(found.expected[row, step], expected, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.deviations[row, step], np.sqrt(variance), rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_whose_squares_overflow_has_the_same_features_as_one_on_the_way_there(name):
    p = mixture(name)
    direction = np.random.default_rng(3).normal(size=(D, 5))
    far, near = left_out(p, 0, 1e200 * direction, 3), left_out(p, 0, 1e60 * direction, 3)
    np.testing.assert_array_equal(far.features, near.features)
    assert np.isinf(far.losses[:, 0]).all()
    assert np.isfinite(far.expected).all()


def test_all_features_may_be_left_out_and_no_more():
    p = mixture("full")
    Y = np.random.default_rng(4).normal(size=(D, 7))
    found = left_out(p, 0, Y, 99)
    assert sorted(found.features[0]) == list(range(D))
    np.testing.assert_allclose(found.losses.sum(axis=1), found.squared_distance, rtol=1e-10)
    # The last one is left alone: its mean and variance are those of the component.
    last = found.features[:, -1]
    np.testing.assert_allclose(found.expected[:, -1], p.means[0, last], rtol=1e-9)


def test_what_is_left_beside_a_value_far_out_is_rounding_and_no_reason() -> None:
    """float64 holds nothing of the other features' part of D² beside 1e200."""
    covariance = np.array([[1.0, 0.8, 0.3], [0.8, 1.0, 0.2], [0.3, 0.2, 1.0]])
    p = Parameters.of(family_named("full"), np.ones(1), np.zeros((1, 3)), covariance[None])
    Y = np.array([[1e200, 1e3, 0.0], [0.5, 0.5, 9.0], [-2.0, -2.0, 0.1]])
    found = left_out(p, 0, Y, 3)
    assert found.features[0].tolist() == [0, -1, -1]
    for part in (found.losses, found.expected, found.deviations):
        assert np.isnan(part[0, 1:]).all()
    assert (found.features[1:] >= 0).all()  # a loss of 0 is one
    total = [y @ np.linalg.solve(covariance, y) for y in Y.T[1:]]
    np.testing.assert_allclose(found.losses[1:].sum(axis=1), total, rtol=1e-9)
