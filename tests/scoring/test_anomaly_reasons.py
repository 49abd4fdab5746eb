"""Reasons of rows, in the user's units: the right feature, what it is and what it should be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dgmm import GaussianMixture
from dgmm.errors import DataError

D = 27


def correlated_rows(rng: np.random.Generator, n: int) -> np.ndarray:
    """Neighbourhoods of 3 × 3 pixels in three colours, of two kinds of image.

    Pixels are correlated as exp(−distance/20), colours by 0.6; the conditions are near 2000.
    """
    at = np.array([(i, j) for i in range(3) for j in range(3)], dtype=float)
    distances = np.sqrt(((at[:, None] - at) ** 2).sum(axis=2))
    covariance = np.kron(0.4 * np.eye(3) + 0.6, np.exp(-distances / 20.0))
    rows = rng.standard_normal((n, D)) @ np.linalg.cholesky(covariance).T
    kinds = rng.integers(2, size=n)[:, None]
    return np.where(kinds, 60.0 + 15.0 * rows, 180.0 + 30.0 * rows)


@pytest.fixture(scope="module")
def fitted() -> GaussianMixture:
    X = correlated_rows(np.random.default_rng(1), 6000)
    return GaussianMixture(2, random_state=0).fit(X)


def planted(model, n: int, size: float, n_features: int = 1):
    """Rows with values `size` conditional standard deviations off, and which features these are."""
    rng = np.random.default_rng(2)
    X = correlated_rows(rng, n)
    k = model.predict(X)
    features = np.argsort(rng.random((n, D)), axis=1)[:, :n_features]
    deviations = 1.0 / np.sqrt(np.diagonal(model.precisions, axis1=1, axis2=2))
    at = np.arange(n)[:, None], features
    X[at] += size * deviations[k[:, None], features] * rng.choice([-1.0, 1.0], features.shape)
    return X, features


def test_the_planted_feature_comes_first_where_its_own_deviation_does_not_find_it(fitted):
    X, features = planted(fitted.model_, 400, 5.0)
    found = fitted.explain_anomalies(X)
    right = (found.features[:, 0] == features[:, 0]).mean()
    model = fitted.model_
    z = np.abs(X - model.means[found.components])
    z /= np.sqrt(model.feature_variances()[found.components])
    by_deviation = (z.argmax(axis=1) == features[:, 0]).mean()
    assert right >= 0.95
    assert by_deviation < 0.5


def test_of_two_planted_features_both_are_found_more_often_one_after_the_other(fitted):
    X, features = planted(fitted.model_, 400, 5.0, 2)
    found = fitted.explain_anomalies(X)
    after_each_other = np.sort(found.features[:, :2], axis=1)
    model = fitted.model_
    precisions = model.precisions[found.components]
    g = np.einsum("nij,nj->ni", precisions, X - model.means[found.components])
    losses = g**2 / np.diagonal(precisions, axis1=1, axis2=2)
    at_once = np.sort(np.argsort(losses, axis=1)[:, -2:], axis=1)
    wanted = np.sort(features, axis=1)
    share = (after_each_other == wanted).all(axis=1).mean()
    assert share > (at_once == wanted).all(axis=1).mean() + 0.05


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_values_are_in_the_units_of_the_data(covariance_type):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(3000, 3)) @ rng.normal(size=(3, 3)) * [0.1, 1.0, 1e5] + [7.0, -4.0, 1e6]
    model = GaussianMixture(1, covariance_type=covariance_type).fit(X).model_
    row = X[:1] + np.array([0.5, 0.0, 0.0])
    found = model.explain_anomalies(row, n_features=3)
    covariance, mean = model.component_covariance(0), model.means[0]
    deviation = row[0] - mean
    np.testing.assert_allclose(
        found.squared_distances[0], deviation @ np.linalg.solve(covariance, deviation), rtol=1e-8
    )
    np.testing.assert_array_equal(found.observed[0], row[0][found.features[0]])
    j = found.features[0, 0]
    rest = np.delete(np.arange(3), j)
    B = np.linalg.solve(covariance[np.ix_(rest, rest)], covariance[rest, j])
    expected, variance = mean[j] + B @ deviation[rest], covariance[j, j] - B @ covariance[rest, j]
    np.testing.assert_allclose(found.expected[0, 0], expected, rtol=1e-8)
    np.testing.assert_allclose(found.deviations[0, 0], np.sqrt(variance), rtol=1e-8)
    np.testing.assert_allclose(
        found.losses[0, 0], (found.observed[0, 0] - expected) ** 2 / variance, rtol=1e-6
    )


def test_of_rows_that_lack_values_only_those_that_they_have_are_looked_at(fitted):
    X, _ = planted(fitted.model_, 60, 5.0)
    X[:, 0] = np.nan
    X[::3, 4:20] = np.nan
    X[0, 1:] = np.nan  # no value at all
    X[1, 2:] = np.nan  # one value
    marginal = GaussianMixture.from_model(fitted.model_, missing="marginalise")
    with pytest.warns(UserWarning, match="1 of 60 rows have no value"):
        found = marginal.explain_anomalies(X, n_features=2)
    model = fitted.model_
    assert found.components[0] == -1
    assert (found.features[0] == -1).all()
    assert np.isnan(found.expected[0]).all()
    assert found.features[1].tolist() == [1, -1]
    assert found.names[1].tolist() == [fitted.model_.feature_names[1], ""]
    np.testing.assert_allclose(found.expected[1, 0], model.means[found.components[1], 1])
    for row in range(2, 60):
        own = np.flatnonzero(~np.isnan(X[row]))
        covariance = model.component_covariance(found.components[row])
        deviation = X[row] - model.means[found.components[row]]

        def distance(features, D=deviation, S=covariance):
            return D[features] @ np.linalg.solve(S[np.ix_(features, features)], D[features])

        without = [distance(np.delete(own, i)) for i in range(len(own))]
        assert found.features[row, 0] == own[int(np.argmin(without))]
        np.testing.assert_allclose(
            found.losses[row, 0], distance(own) - min(without), rtol=1e-7, atol=1e-9
        )


def test_rows_without_a_density_are_explained_by_the_nearest_component(fitted):
    model = fitted.model_
    X = np.repeat(model.means[:1], 2, axis=0)
    X[0, 4] += 1e190
    X[1, 7] -= 1e190
    assert np.isneginf(model.score_samples(X)).all()
    found = model.explain_anomalies(X, n_features=1)
    assert found.features[:, 0].tolist() == [4, 7]
    assert found.components.tolist() == model.predict(X).tolist()
    assert np.isinf(found.losses).all()
    assert np.isfinite(found.deviations).all()


def test_columns_make_a_table_with_a_row_for_each_row(fitted):
    pandas = pytest.importorskip("pandas")
    X, _ = planted(fitted.model_, 5, 5.0)
    table = pandas.DataFrame(fitted.model_.explain_anomalies(X, n_features=2).columns())
    each = ("feature", "observed", "expected", "sd", "loss")
    numbered = [f"{name}_{i}" for i, name in itertools.product((1, 2), each)]
    assert list(table) == ["component", "squared_distance", *numbered]
    assert len(table) == 5


@pytest.mark.parametrize("n", [0, -1, 1.5, True, None])
def test_a_number_of_features_that_is_none_is_refused(fitted, n):
    with pytest.raises(DataError, match="n_features is"):
        fitted.model_.explain_anomalies([[0.0] * D], n_features=n)


def test_missing_values_are_refused_with_what_to_do(fitted):
    with pytest.raises(DataError, match="Drop such rows first"):
        fitted.model_.explain_anomalies([[np.nan] + [0.0] * (D - 1)])
