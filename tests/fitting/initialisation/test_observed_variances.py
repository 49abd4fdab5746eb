"""Starts of rows that lack values have the variances of the data, not those of filled-in rows."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm import GaussianMixture
from dgmm.fitting.conditional_fill import ConditionalFill
from dgmm.fitting.initialisation import INITIALISERS, reads_all_rows, start
from dgmm.fitting.initialisation.observed_variances import ObservedMoments
from dgmm.mixture.covariance import FAMILIES, family_named
from dgmm.mixture.parameters import Parameters

N, D, SHARE = 4000, 4, 0.6
#: Four standard errors of the variance of the values that are left.
ERROR = 4.0 * np.sqrt(2.0 / ((1.0 - SHARE) * N))
SHAPES = {"independent": np.eye(D), "correlated": 0.3 * np.eye(D) + 0.7}
METHODS = [
    name for name, one in INITIALISERS.items() if not one.is_given and not reads_all_rows(name)
]


def rows(shape):
    """Rows of variance 1 that lack 60 % of their values."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(N, D)) @ np.linalg.cholesky(SHAPES[shape]).T
    X[rng.random(X.shape) < SHARE] = np.nan
    return X[~np.isnan(X).all(axis=1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_a_start_has_the_variance_of_the_data(method, name, shape):
    """Filled in, the variances are 0.4 where features are independent."""
    family, observed = family_named(name), rows(shape)[:2000]
    truth = Parameters.of(family_named("full"), np.ones(1), np.zeros((1, D)), SHAPES[shape][None])
    filled, rng = ConditionalFill(truth).rows(observed), np.random.default_rng(0)
    found = start(method, filled, family, 1, np.zeros(D), rng, observed=observed)
    variances = family.variances(found.covariances, 1, D)[0]
    np.testing.assert_allclose(variances, 1.0, atol=ERROR * np.sqrt(2.0))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FAMILIES)
def test_so_has_one_over_all_rows(name):
    options = {"init_params": "kmeans_parallel", "max_iter": 0, "missing": "marginalise"}
    found = GaussianMixture(1, covariance_type=name, random_state=0, **options)
    found.fit(rows("independent"))
    variances = family_named(name).variances(found.covariances_, 1, D)[0]
    np.testing.assert_allclose(variances, 1.0, atol=ERROR)


def known_parts(weights=None):
    """Rows of two components, the second without any value of the last feature."""
    rng = np.random.default_rng(1)
    labels, points = np.arange(50) % 2, rng.normal(size=(2, 3))
    columns, known = rng.normal(size=(3, 50)), rng.random((3, 50)) < 0.7
    known[2, labels == 1] = False
    parts = [
        ObservedMoments.of_labels(
            *(columns[:, own], known[:, own], labels[own], points),
            None if weights is None else weights[own],
        )
        for own in (slice(0, 20), slice(20, 50))
    ]
    return columns, known, labels, parts[0].merge(parts[1])


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_variances_are_widened_to_those_of_the_values_there_are(name, is_weighted):
    weights = np.random.default_rng(3).integers(1, 4, 50).astype(float) if is_weighted else None
    copies = np.ones(50, np.intp) if weights is None else weights.astype(np.intp)
    columns, known, labels, moments = known_parts(weights)
    family, added = family_named(name), np.full(3, 0.01)
    shape = family.covariance_shape(2, 3)
    small = family.regularised(np.zeros(shape), np.full(3, 1e-3))
    begun = Parameters.of(family, np.full(2, 0.5), np.zeros((2, 3)), small)
    scatter, counts = np.zeros((2, 3)), np.zeros((2, 3))
    for k in range(2):
        for j in range(3):
            own = (labels == k) & known[j]
            values = np.repeat(columns[j, own], copies[own])
            counts[k, j], scatter[k, j] = (
                len(values),
                len(values) * (values.var() if own.any() else 0),
            )
    if family.common_scale:
        scatter, counts = (np.repeat(a.sum(axis=1)[:, None], 3, axis=1) for a in (scatter, counts))
    if family.is_shared:
        scatter, counts = (np.repeat(a.sum(axis=0)[None], 2, axis=0) for a in (scatter, counts))
    expected = np.where(counts > 0, scatter / np.maximum(counts, 1) + added, 0.01)
    widened = moments.widened(begun, added)
    found = family.variances(widened.covariances, 2, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    wide = Parameters.of(family, begun.weights, begun.means, 1e6 * small)
    np.testing.assert_array_equal(moments.widened(wide, added).covariances, wide.covariances)


def test_posteriors_of_one_row_each_are_labels():
    columns, known, labels, moments = known_parts()
    R = (labels == np.arange(2)[:, None]).astype(float)
    other = ObservedMoments.of_posteriors(columns, known, R, np.full(3, 0.5))
    begun = Parameters.of(
        family_named("diag"), np.full(2, 0.5), np.zeros((2, 3)), np.full((2, 3), 1e-3)
    )
    one, two = (m.widened(begun, np.zeros(3)).covariances for m in (moments, other))
    np.testing.assert_allclose(one, two, rtol=1e-12)
