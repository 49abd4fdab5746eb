"""Fits of rows that lack values: the start, EM and re-seeding, against complete data."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from dgmm import GaussianMixture
from dgmm.data.standardisation import Standardisation
from dgmm.errors import DataError
from dgmm.fitting.conditional_fill import ConditionalFill
from dgmm.fitting.em.collapse import CollapsePolicy
from dgmm.fitting.initialisation import INITIALISERS, parameters_from_labels, start
from dgmm.mixture.covariance import FAMILIES, family_named
from dgmm.mixture.marginal import MarginalScorer
from dgmm.mixture.parameters import Parameters

EPS = np.finfo(np.float64).eps


def clusters(n, d, k, seed=1, spread=2.0):
    """Correlated clusters, and their labels."""
    rng = np.random.default_rng(seed)
    centres = spread * rng.normal(size=(k, d))
    shapes = [np.linalg.qr(rng.normal(size=(d, d)))[0] * rng.uniform(0.5, 1.5, d) for _ in range(k)]
    labels = rng.integers(k, size=n)
    X = np.stack([centres[j] + shapes[j] @ rng.normal(size=d) for j in labels])
    return 10.0 * X + 100.0, labels


def with_gaps(X, share, n_patterns=None, seed=2):
    """Rows with values missing completely at random, by so many patterns; none lacks all."""
    rng, (n, d) = np.random.default_rng(seed), X.shape
    missing = rng.random((n_patterns or n, d)) < share
    missing[missing.all(axis=1), 0] = False
    gaps = X.copy()
    gaps[missing if n_patterns is None else missing[rng.integers(n_patterns, size=n)]] = np.nan
    return gaps


def fitted(X, k, missing="marginalise", **options):
    own = {"n_sample_starts": 2, "random_state": 0, "missing": missing} | options
    return GaussianMixture(k, **own).fit(X)


def test_a_third_missing_costs_little_where_dropping_leaves_few_rows():
    X, labels = clusters(4000, 8, 5)
    X, held_out = X[:3000], X[3000:]
    gaps = with_gaps(X, 0.3, 40)
    assert 0.3 < np.isnan(gaps).mean() < 0.35
    found = fitted(gaps, 5)
    complete = fitted(X, 5, "error")
    lost = complete.score(held_out) - found.score(held_out)
    assert lost < 0.05
    assert adjusted_rand_score(labels[:3000], found.predict(gaps)) >= 0.85
    with pytest.warns(UserWarning, match="are left out|too few"):
        dropped = fitted(gaps, 5, "drop")
    assert complete.score(held_out) - dropped.score(held_out) > 10 * max(lost, 0.02)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_row_has_to_be_complete(family):
    X, labels = clusters(1500, 4, 2, spread=4.0)
    rng = np.random.default_rng(3)
    X[np.arange(len(X)), rng.integers(4, size=len(X))] = np.nan
    assert np.isnan(X).any(axis=1).all()
    found = fitted(X, 2, covariance_type=family)
    assert adjusted_rand_score(labels, found.predict(X)) > 0.85
    rise = np.diff(found.lower_bounds_)
    assert (rise >= -1e-9).all()


@pytest.mark.parametrize("method", [name for name, one in INITIALISERS.items() if not one.is_given])
def test_every_initialiser_starts_from_rows_that_lack_values(method):
    X, labels = clusters(700, 4, 2)
    found = fitted(with_gaps(X, 0.2), 2, init_params=method, max_iter=100)
    agree = adjusted_rand_score(labels, found.predict(X))
    assert agree > 0.9 or method == "random"  # whose components start alike
    assert np.isfinite(found.lower_bound_)


def test_complete_rows_give_the_bits_of_a_fit_that_expects_no_gaps():
    X, _ = clusters(1500, 4, 3)
    plain, expecting = fitted(X, 3, "error"), fitted(X, 3)
    np.testing.assert_array_equal(plain.means_, expecting.means_)
    np.testing.assert_array_equal(plain.covariances_, expecting.covariances_)


def test_the_likelihood_is_of_the_observed_values_in_their_own_units():
    X, _ = clusters(800, 3, 1)
    gaps = with_gaps(X, 0.3)
    found = fitted(gaps, 1, acceleration="none", tol=1e-12)
    total = found.score(gaps)
    assert abs(total - found.lower_bound_) < 1e-9 * abs(total)
    mean, covariance = found.means_[0], found.covariances_[0]
    log_density = []
    for row in gaps:
        known = ~np.isnan(row)
        own, deviation = covariance[np.ix_(known, known)], row[known] - mean[known]
        quadratic = deviation @ np.linalg.solve(own, deviation)
        log_det = np.linalg.slogdet(2 * np.pi * own)[1]
        log_density.append(-0.5 * (quadratic + log_det))
    np.testing.assert_allclose(found.score_samples(gaps), log_density, rtol=1e-11)


def test_infinity_is_refused_by_fit_and_predict():
    X, _ = clusters(500, 3, 2)
    found = fitted(X, 2)
    X[5, 1] = np.inf
    for refused in (lambda: fitted(X, 2), lambda: found.predict(X)):
        with pytest.raises(DataError, match=r"row 5, feature x1.*infinity is no missing value"):
            refused()


def gaussian(d=3):
    rng = np.random.default_rng(0)
    A = rng.normal(size=(d, d))
    covariance = (A @ A.T + np.eye(d))[None]
    return Parameters.of(family_named("full"), np.ones(1), rng.normal(size=(1, d)), covariance)


def test_missing_values_are_filled_with_what_one_gaussian_expects():
    p = gaussian()
    rows = np.array([[np.nan, 1.0, 2.0], [0.5, np.nan, np.nan], [1.0, 2.0, 3.0]])
    mean, C = p.means[0], p.covariances[0]
    first = mean[0] + C[0, 1:] @ np.linalg.solve(C[1:, 1:], rows[0, 1:] - mean[1:])
    others = mean[1:] + C[1:, 0] / C[0, 0] * (rows[1, 0] - mean[0])
    filled = ConditionalFill(p).rows(rows)
    np.testing.assert_allclose(filled[0], [first, 1.0, 2.0], rtol=1e-13)
    np.testing.assert_allclose(filled[1], [0.5, *others], rtol=1e-13)
    np.testing.assert_array_equal(filled[2], rows[2])
    np.testing.assert_array_equal(ConditionalFill(p).columns(rows.T), filled.T)


def test_a_start_needs_no_gap_to_be_told_of():
    X, _ = clusters(300, 2, 2)
    sample = np.ascontiguousarray((X - 100) / 10)
    family, none = family_named("full"), np.zeros(2)
    plain, told = (
        start("kmeans", sample, family, 2, none, np.random.default_rng(0), observed=observed)
        for observed in (None, sample)
    )
    np.testing.assert_allclose(told.means, plain.means, atol=1e-12)
    np.testing.assert_allclose(told.covariances, plain.covariances, atol=1e-11)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("method", ["kmeans", "hierarchical"])
def test_a_start_adds_what_is_uncertain_of_missing_values(method, share):
    """Labels' moments of filled-in rows are far from the likelihood of the truth; starts are near.

    They come at least half of that way: right labels, and a step of EM from the optimum.
    """
    X, labels = clusters(800, 6, 2, spread=4.0)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    gaps, family = with_gaps(X, share), family_named("full")
    mean, covariance = np.nanmean(gaps, axis=0), np.ma.cov(np.ma.masked_invalid(gaps.T)).data
    one = Parameters.of(family, np.ones(1), mean[None], covariance[None] + 0.01 * np.eye(6))
    filled, none = ConditionalFill(one).rows(gaps), np.zeros(6)

    def log_likelihood(mixture):
        return MarginalScorer(mixture).log_density(gaps.T).mean()

    truth = log_likelihood(parameters_from_labels(family, X, labels, 2, none))
    lost = []
    for observed in (gaps, None):
        rng = np.random.default_rng(0)
        begun = start(method, filled, family, 2, none, rng, observed=observed)
        lost.append(truth - log_likelihood(begun))
    assert lost[0] < 0.5 * lost[1], lost


def test_components_are_reseeded_where_the_completed_density_is_low():
    healthy = Parameters.of(family_named("full"), np.ones(1), np.zeros((1, 3)), np.eye(3)[None])
    # Complete rows have lower log densities than rows of one value, whatever lies farther out:
    # −3.13 against −2.54; completed, that row's is −5.38.
    observed = np.array([[0.5, 0.5, 0.5], [np.nan, 1.8, np.nan], [0.0, 0.1, 0.0]])
    plain = MarginalScorer(healthy).log_density(observed.T)
    assert plain.argmin() == 0
    policy = CollapsePolicy("reseed", np.nan_to_num(observed), np.zeros(3), observed=observed)
    assert policy._worst_rows(healthy, 1, ()) == (1,)


@pytest.mark.parametrize("common", [False, True])
def test_units_are_those_of_the_values_there_are(common):
    X, _ = clusters(3001, 3, 2)
    gaps = with_gaps(X, 0.3)
    found = Standardisation.from_sample(gaps, common_scale=common)
    for j in range(3):
        known = gaps[~np.isnan(gaps[:, j]), j][:, None]
        alone = Standardisation.from_sample(known, common_scale=False)
        assert found.shift[j] == alone.shift[0]
        if not common:
            assert found.scale[j] == alone.scale[0]
            assert found.standardised_variance[j] == alone.standardised_variance[0]
