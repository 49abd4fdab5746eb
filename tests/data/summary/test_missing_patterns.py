"""Patterns of missing values are counted; moments and extremes are of the values there are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.summary.missing_patterns import MOST_PATTERNS, MissingPatterns, different_rows
from dgmm.data.summary.summarise import summarise
from dgmm.errors import DataError
from dgmm.execution.threads import ThreadExecutor

N, D = 20_000, 9
EPS = np.finfo(np.float64).eps


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)


def rows(share=0.3, *, n=N, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, D)) * 10.0 ** np.arange(D) + 5.0
    X[rng.random((n, D)) < share] = np.nan
    return X


def summary_of(X, weights=None, n_threads=1):
    dataset = ArrayDataset(X, weights=weights)
    with ThreadExecutor(n_threads) as executor:
        return summarise(dataset, executor, missing="marginalise", sample_rows=1000, seed=0)


def test_patterns_are_counted_exactly():
    X = rows()
    X[:50] = np.nan
    found = summary_of(X)
    missing = np.isnan(X[~np.isnan(X).all(axis=1)])
    expected, counts = np.unique(missing, axis=0, return_counts=True)
    np.testing.assert_array_equal(found.patterns.missing(D), expected)
    np.testing.assert_array_equal(found.patterns.counts, counts)
    assert found.n_kept == len(missing) == N - found.n_empty
    assert found.n_partial == int(missing.any(axis=1).sum())
    assert np.isnan(found.sample).any()
    assert not np.isnan(found.sample).all(axis=1).any()


def test_patterns_of_parts_add_up_in_any_grouping():
    parts = [MissingPatterns.of_rows(rows(n=300, seed=seed)) for seed in range(3)]
    parts.append(MissingPatterns.of_complete(40, D))
    whole = MissingPatterns.zero(D)
    for part in parts:
        whole = whole.merge(part)
    for a, b, c, d in itertools.permutations(parts):
        other = a.merge(b).merge(c.merge(d))
        np.testing.assert_array_equal(other.bits, whole.bits)
        np.testing.assert_array_equal(other.counts, whole.counts)
    assert whole.counts.sum() == 940


@pytest.mark.parametrize("d", [1, 7, 8, 9, 63, 64, 65, 130])
@pytest.mark.parametrize("n", [0, 1, 3000])
def test_different_rows_are_those_of_a_comparison_byte_by_byte(d, n):
    rng = np.random.default_rng(d)
    bits = np.packbits(rng.random((n, d)) < 0.1, axis=1)
    bits[: n // 2, : d // 8] = 0
    counts = rng.integers(1, 9, n)
    expected, places, number = np.unique(bits, axis=0, return_inverse=True, return_counts=True)
    for found, own in ((different_rows(bits), number), (different_rows(bits, counts), None)):
        np.testing.assert_array_equal(found[0], expected)
        total = np.bincount(places.ravel(), counts, len(expected)) if own is None else own
        np.testing.assert_array_equal(found[1], total)


def test_more_patterns_than_are_told_apart_stay_more():
    bits = (np.arange(MOST_PATTERNS + 1)[:, None] >> np.arange(13)) & 1
    X = np.where(bits == 1, np.nan, 1.0)
    most = MissingPatterns.of_rows(X[:-1])
    last = MissingPatterns.of_rows(X[-1:])
    assert most.n_patterns == MOST_PATTERNS
    assert most.merge(last).n_patterns is None
    assert last.merge(most).merge(last).n_patterns is None
    assert most.merge(most).n_patterns == MOST_PATTERNS


@pytest.mark.parametrize("weighted", [False, True])
def test_moments_and_extremes_are_of_the_values_there_are(weighted):
    X = rows()
    X[4096:8192, 2] = np.nan  # a block without any value of a feature
    w = np.random.default_rng(1).integers(1, 4, N).astype(float) if weighted else np.ones(N)
    found = summary_of(X, w if weighted else None)
    for j in range(D):
        known = np.flatnonzero(~np.isnan(X[:, j]))
        values = X[known, j]
        mean = np.average(values, weights=w[known])
        variance = np.average((values - mean) ** 2, weights=w[known])
        np.testing.assert_allclose(found.mean[j], mean, rtol=0, atol=200 * EPS * 10.0**j)
        np.testing.assert_allclose(found.variance[j], variance, rtol=200 * EPS)
        assert (found.minimum[j], found.maximum[j]) == (values.min(), values.max())
        assert found.minimum_row[j] == known[values.argmin()]
        assert found.maximum_row[j] == known[values.argmax()]


def test_rows_without_gaps_give_the_bits_of_complete_rows():
    X = rows(0.0)
    whole = summarise(ArrayDataset(X), ThreadExecutor(1), missing="error", sample_rows=9, seed=0)
    found = summary_of(X)
    np.testing.assert_array_equal(found.mean, whole.mean)
    np.testing.assert_array_equal(found.variance, whole.variance)
    assert (found.n_partial, found.patterns.n_patterns) == (0, 1)


def test_the_bits_are_the_same_for_every_number_of_threads():
    X = rows()
    one, eight = summary_of(X), summary_of(X, n_threads=8)
    for name in ("mean", "variance", "minimum_row", "sample", "sample_numbers"):
        np.testing.assert_array_equal(getattr(one, name), getattr(eight, name))
    np.testing.assert_array_equal(one.patterns.counts, eight.patterns.counts)


def test_infinity_is_refused_with_counts_and_place():
    X = rows()
    X[5000, 3], X[9000, 3], X[9000, 4] = np.inf, -np.inf, np.inf
    said = (
        r"2 of 20000 rows hold infinite values \(x3: 2; x4: 1\), the first in row 5000, feature x3"
    )
    with pytest.raises(DataError, match=said):
        summary_of(X)


def test_a_feature_without_any_value_is_an_error_by_name():
    X = rows()
    X[:, 5] = np.nan
    with pytest.raises(
        DataError, match=r"^x5 has no finite value at all\. Leave such features out"
    ):
        summary_of(X)
