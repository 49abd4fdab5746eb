"""Score and criteria of rows with weights: those of as many copies of each row."""

from __future__ import annotations

import numpy as np
import pytest
from clusters import gaussian_clusters

import dgmm
from dgmm.errors import DataError

N = 9000  # several blocks


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)
    return gaussian_clusters(N, 2, 2)[0]


@pytest.mark.parametrize("criterion", ["score", "aic", "bic"])
def test_weights_are_copies_in_scores_and_criteria(rows, criterion):
    weights = np.random.default_rng(3).integers(0, 4, N)
    mixture = _mixture().fit(rows)
    copied = getattr(mixture, criterion)(np.repeat(rows, weights, axis=0))
    odd = rows.copy()
    odd[weights == 0] = [np.nan, 0.0]
    found = getattr(mixture, criterion)(odd, sample_weight=weights)
    assert found == pytest.approx(copied, rel=1e-12)
    assert found != pytest.approx(getattr(mixture, criterion)(rows), rel=1e-6)


def test_rows_of_weight_zero_beyond_all_numbers_change_no_score(rows):
    weights = np.arange(N) % 2.0
    mixture = _mixture().fit(rows)
    expected = mixture.score(rows, sample_weight=weights)
    rows[0] = 1e300
    found = mixture.score(rows, sample_weight=weights)
    assert found == pytest.approx(expected, rel=1e-12)


def test_rows_of_which_none_counts_are_refused(rows):
    weights = np.arange(N) % 2.0
    mixture = dgmm.GaussianMixture(2, weight_kind="counts", random_state=0, missing="drop").fit(
        rows
    )
    rows[1::2] = np.nan
    with pytest.raises(DataError, match="all 9,000 are incomplete or weigh 0"):
        mixture.bic(rows, sample_weight=weights)


def test_criteria_of_importance_weights_do_not_follow_their_unit(rows):
    weights = np.random.default_rng(3).lognormal(size=N)
    mixture = dgmm.GaussianMixture(2, random_state=0).fit(rows)
    n_eff = weights.sum() ** 2 / (weights**2).sum()
    free, mean = mixture.n_parameters, mixture.score(rows, sample_weight=weights)
    for scale in (1e-6, 1.0, 1e4):
        found = mixture.bic(rows, sample_weight=scale * weights)
        assert found == pytest.approx(free * np.log(n_eff) - 2.0 * n_eff * mean, rel=1e-12)


@pytest.mark.parametrize("exponent", [1023, -1060])
def test_scores_do_not_follow_a_power_of_two_of_the_weights(exponent):
    """Up to weights whose sum is beyond float64, and down to those that are denormal."""
    rows = gaussian_clusters(200, 2, 2)[0]
    weights = (np.arange(200) + 1.0) / 128.0
    mixture = dgmm.GaussianMixture(2, random_state=0).fit(rows)
    scaled = np.ldexp(weights, exponent)
    for method in (mixture.score, mixture.bic, mixture.aic):
        found = method(rows, sample_weight=scaled)
        assert found == method(rows, sample_weight=weights)
        assert np.isfinite(found)


@pytest.mark.filterwarnings("ignore:1 of 9,000 rows have no value at all:UserWarning")
@pytest.mark.parametrize("missing", ["error", "drop", "marginalise"])
def test_rows_of_weight_zero_are_labelled_where_their_values_allow(rows, missing):
    weights = np.ones(N)
    weights[:4] = 0.0
    odd = rows.copy()
    odd[1], odd[2, 0], odd[3, 0] = np.nan, np.nan, np.inf
    mixture = _mixture(missing=missing)
    labels = mixture.fit_predict(odd, sample_weight=weights)
    np.testing.assert_array_equal(labels[4:], mixture.predict(rows[4:]))
    assert labels[0] == mixture.predict(rows[:1])[0]
    assert labels[[1, 3]].tolist() == [-1, -1]
    assert (labels[2] >= 0) == (missing == "marginalise")
    odd[5, 0] = np.inf
    if missing != "drop":
        with pytest.raises(DataError, match="row 5, feature x0"):
            mixture.fit_predict(odd, sample_weight=weights)


@pytest.mark.parametrize("wrong", [np.ones(N - 1), np.ones((N, 1)), np.full(N, -1.0), ["a"] * N])
def test_what_is_no_sample_weight_is_refused(rows, wrong):
    mixture = dgmm.GaussianMixture(2, random_state=0).fit(rows)
    for method in (mixture.score, mixture.bic, dgmm.GaussianMixture(2).fit):
        with pytest.raises(DataError, match=r"sample_weight|the weight of row 0 is -1"):
            method(rows, sample_weight=wrong)


def test_masked_sample_weights_are_refused_by_row(rows):
    """What lies under the mask is no weight: 0 would leave the row out, 1 would count it."""
    weights = np.ma.array(np.ones(N), mask=np.arange(N) == 7)
    mixture = dgmm.GaussianMixture(2, random_state=0).fit(rows)
    for method in (mixture.score, mixture.bic, dgmm.GaussianMixture(2).fit):
        with pytest.raises(DataError, match="the weight of row 7 is nan"):
            method(rows, sample_weight=weights)
    counts = np.ma.array(np.full(N, 3), mask=np.arange(N) == 7)
    with pytest.raises(DataError, match="the weight of row 7 is nan"):
        _mixture().fit(rows, sample_weight=counts)
    whole = np.ma.array(np.full(N, 3))
    assert mixture.bic(rows, sample_weight=whole) == mixture.bic(rows, sample_weight=whole.data)


def test_the_kind_of_weights_is_one_of_two(rows):
    with pytest.raises(DataError, match="weight_kind is 'frequency'; expected counts or import"):
        dgmm.GaussianMixture(2, weight_kind="frequency").fit(rows)


def _mixture(**parameters):
    return dgmm.GaussianMixture(2, weight_kind="counts", random_state=0, **parameters)
