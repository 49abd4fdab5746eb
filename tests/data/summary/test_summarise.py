"""The summary pass counts, measures and samples; its bits do not depend on how tasks are cut."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from scipy import stats

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.standardisation import Standardisation
from dgmm.data.summary.data_warnings import data_warnings
from dgmm.data.summary.extremes import Extremes
from dgmm.data.summary.moments import Moments
from dgmm.data.summary.summarise import summarise
from dgmm.data.summary.uniform_sample import Candidates, SamplePart
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockGrid

EPS = np.finfo(np.float64).eps
N, D = 50_000, 3


class SerialExecutor:
    """Runs tasks one after the other, last first, through pickles."""

    def __init__(self, n_threads=1):
        self.n_threads = n_threads

    def run(self, task, runs, **_):
        copy = pickle.loads(pickle.dumps(task))  # noqa: S301 - ours
        for run in reversed(runs):
            yield run, copy(run)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)


def summary_of(X, *, n_threads=1, missing="error", sample_rows=1000, seed=0):
    return summarise(
        ArrayDataset(X),
        SerialExecutor(n_threads),
        missing=missing,
        sample_rows=sample_rows,
        seed=seed,
    )


def normal(n=N, d=D, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def same(a, b):
    names = type(a).__slots__
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


@pytest.mark.parametrize("dtype", ["float64", "float32", ">f8", "int16", "bool"])
def test_counts_moments_and_extremes_are_those_of_the_rows(dtype):
    X = (normal() * 3).astype(dtype)
    found = summary_of(X)
    wide = X.astype(np.longdouble)
    assert (found.n_read, found.n_kept, found.n_dropped) == (N, N, 0)
    np.testing.assert_array_equal(found.minimum, X.min(axis=0))
    np.testing.assert_array_equal(found.maximum, X.max(axis=0))
    np.testing.assert_array_equal(found.minimum_row, X.argmin(axis=0))
    np.testing.assert_array_equal(found.maximum_row, X.argmax(axis=0))
    # block means are summed pairwise and merged in a tree: about 2·log₂ n roundings
    bound = 2 * math.log2(N) * EPS
    largest = float(np.abs(wide).max())
    np.testing.assert_allclose(found.mean, wide.mean(axis=0).astype(float), atol=bound * largest)
    np.testing.assert_allclose(found.variance, wide.var(axis=0).astype(float), rtol=4 * bound)


@pytest.mark.parametrize("offset", [1e8, 1e15])
def test_the_variance_keeps_its_digits_at_an_offset(offset):
    X = normal() + offset
    exact = (X - offset).astype(np.longdouble).var(axis=0).astype(float)
    # block means are right to eps·offset; their differences, at most 4/√848 sd with the shortest
    # block, enter the variance squared
    error = 2 * EPS * offset
    bound = 8 * math.log2(N) * EPS + 2 * error * 4 / math.sqrt(848) + error**2
    np.testing.assert_allclose(summary_of(X).variance, exact, rtol=bound)


@pytest.mark.parametrize("n_threads", [2, 3, 5, 100])
def test_the_bits_are_the_same_for_every_split_into_tasks(n_threads):
    X = normal()
    X[::1000, 1] = np.nan
    first = summary_of(X, missing="drop")
    assert same(first, summary_of(X, missing="drop", n_threads=n_threads))


def test_extreme_magnitudes_neither_overflow_nor_vanish():
    unit = normal(d=2)
    X = np.clip(unit, -1.5, 1.5) * [1e308, 1e-310]
    found = summary_of(X)
    np.testing.assert_allclose(found.mean[0], X[:, 0].astype(np.longdouble).mean().astype(float))
    assert found.variance[0] == np.inf
    assert found.variance[1] == 0
    assert np.isfinite(found.mean).all()


def test_columns_of_zeros_merge_with_columns_of_tiny_values():
    parts = [np.zeros((1, 4)), np.full((1, 4), 1e-300), np.array([[3e-300, 1e-300] * 2])]
    merged = Moments.zero(1)
    for part in parts:
        merged = merged.merge(Moments.of_columns(part))
    np.testing.assert_allclose(merged.mean, [1e-300], rtol=8 * EPS)
    # in units of 1e-300 the values are 0 ×4, 1 ×6, 3 ×2: mean 1, variance (4 + 2·4)/12 = 1
    deviation = np.ldexp(np.sqrt(merged.scaled_squares / merged.count), merged.exponent)
    np.testing.assert_allclose(deviation, [1e-300], rtol=8 * EPS)


@pytest.mark.parametrize("monoid", [Moments, Extremes])
def test_no_rows_are_neutral(monoid):
    columns = normal(10, 2).T.copy()
    value = (
        Moments.of_columns(columns)
        if monoid is Moments
        else Extremes.of_columns(columns, start=5, numbers=None)
    )
    assert same(monoid.zero(2).merge(value), value)
    assert same(value.merge(monoid.zero(2)), value)


def test_rows_with_missing_values_are_dropped_and_counted():
    X = normal()
    X[10, 0] = X[11, 0] = X[11, 2] = np.nan
    X[30_000, 1] = np.inf
    X[30_001, 1] = -np.inf
    X[4096:8192] = np.nan
    found = summary_of(X, missing="drop")
    kept = np.isfinite(X).all(axis=1)
    np.testing.assert_array_equal(found.n_nan, [4098, 4096, 4097])
    np.testing.assert_array_equal(found.n_inf, [0, 2, 0])
    assert (found.n_read, found.n_dropped) == (N, 4100)
    assert (found.n_empty, found.n_incomplete) == (4096, 4)
    np.testing.assert_array_equal(found.maximum_row, np.where(kept[:, None], X, -9).argmax(axis=0))
    np.testing.assert_allclose(found.mean, X[kept].mean(axis=0), atol=100 * EPS)
    assert np.isfinite(found.sample).all()


def test_missing_values_are_an_error_with_counts_and_place():
    X = normal(n=9000)
    X[5000, 2] = np.inf
    X[8000:8010, 0] = np.nan
    with pytest.raises(
        DataError, match=r"11 of 9000 rows .*x0: 10 NaN, 0 infinite; x2: 0 NaN, 1 inf"
    ):
        summary_of(X)
    with pytest.raises(DataError, match=r"first in row 5000, feature x2.*data\.missing to drop"):
        summary_of(X)


def test_a_column_without_values_leaves_no_row():
    X = normal(n=9000)
    X[:, 1] = np.nan
    with pytest.raises(DataError, match=r"x1: 9000 NaN.* none is left"):
        summary_of(X, missing="drop")


def test_the_sample_is_distinct_rows_in_order_and_type():
    X = normal().astype(np.float32)
    found = summary_of(X)
    assert found.sample.shape == (1000, D)
    assert found.sample.dtype == np.float32
    assert (np.diff(found.sample_numbers) > 0).all()
    np.testing.assert_array_equal(found.sample, X[found.sample_numbers])


def test_the_sample_is_uniform_over_sorted_rows():
    X = np.sort(normal(d=1), axis=0)
    # 10,000 draws over 10 deciles, for 5 seeds: χ² with 45 degrees of freedom (drawing without
    # replacement makes it smaller); above the bound once in a million data sets
    statistic = 0.0
    for seed in range(5):
        numbers = summary_of(X, sample_rows=10_000, seed=seed).sample_numbers
        counts = np.histogram(numbers, bins=10, range=(0, N))[0]
        statistic += ((counts - 1000) ** 2 / 1000).sum()
    assert statistic < stats.chi2.isf(1e-6, 45)
    assert statistic > stats.chi2.ppf(1e-6, 45) * 0.8  # not regular either: 1 - 10,000/N = 0.8


def test_the_sample_follows_the_seed():
    X = normal()
    assert not same(summary_of(X, seed=1), summary_of(X, seed=2))
    assert same(summary_of(X, seed=1), summary_of(X, seed=1))


@pytest.mark.parametrize("sample_rows", [N - 1, N, 2 * N])
def test_a_sample_as_large_as_the_data_is_nearly_all_rows(sample_rows):
    found = summary_of(normal(), sample_rows=sample_rows)
    assert len(found.sample) == min(sample_rows, N)


def test_dropped_rows_do_not_make_the_sample_small():
    X = normal()
    X[: N - 2000] = np.nan
    found = summary_of(X, missing="drop", sample_rows=1000)
    assert len(found.sample) == 1000
    assert found.sample_numbers.min() >= N - 2000
    few = summary_of(X, missing="drop", sample_rows=5000)
    np.testing.assert_array_equal(few.sample_numbers, np.arange(N - 2000, N))


def test_dropping_rows_elsewhere_keeps_the_others_chosen():
    X = normal()
    whole = summary_of(X).sample_numbers
    X[7] = np.nan
    part = summary_of(X, missing="drop").sample_numbers
    assert len(np.setdiff1d(whole, part)) <= 1


def warnings_of(X, **options):
    dataset, found = ArrayDataset(X), summary_of(X, sample_rows=5000, **options)
    standardisation = Standardisation.from_sample(found.sample, common_scale=False)
    return data_warnings(found, standardisation, dataset)


def test_ordinary_data_give_no_warning():
    assert warnings_of(normal()) == []
    assert warnings_of(normal().astype(np.float16)) == []


@pytest.mark.parametrize("value", [9.97e36, -9.97e36, 1e308])
def test_a_fill_value_is_named_with_its_row(value):
    X = normal()
    X[12_345, 1] = value
    (warning,) = warnings_of(X)
    assert "feature x1" in warning
    assert "row 12345" in warning
    assert f"{value:.6g}" in warning


def test_many_features_with_outliers_are_one_warning():
    X = normal(d=14)
    X[123, 2:] = -7e20
    (warning,) = warnings_of(X)
    assert warning.startswith("12 features whose standard deviation is more than 1000 times")
    assert "x2 (-7e+20 in row 123), x3 (" in warning
    assert "and 2 more" in warning


def test_features_that_differ_in_one_late_row_are_not_repeated():
    X = normal()
    X[:, 2] = X[:, 0]
    X[:, 1] = X[:, 0]
    X[-1, 1] += 1.0
    summary = summary_of(X, sample_rows=N)
    standardisation = Standardisation.from_sample(summary.sample, common_scale=False)
    assert summary.sample_numbers[-1] == N - 1
    (text,) = data_warnings(summary, standardisation, ArrayDataset(X))
    assert "x0 = x2" in text
    assert "x1" not in text


def test_of_rows_with_equal_keys_the_earlier_are_sampled():
    def part(keys, first):
        numbers = np.arange(first, first + len(keys))
        return Candidates((SamplePart(np.array(keys, np.uint64), numbers, numbers[:, None] * 1.0),))

    both = part([7, 3, 7], 0).merge(part([7, 1, 9], 3))
    found = both.smallest(4, 1, np.dtype(np.float64))
    rows, numbers = found.rows, found.numbers
    np.testing.assert_array_equal(numbers, [0, 1, 2, 4])
    np.testing.assert_array_equal(rows[:, 0], numbers)
    assert len(both.smallest(9, 1, np.dtype(np.float64)).rows) == 6


def test_constant_and_repeated_features_are_named():
    X = np.column_stack([normal(), normal()[:, 0], np.full(N, 2.0), np.full(N, 2.0)])
    constant, repeated = warnings_of(X)
    assert "x4, x5" in constant
    assert "x0 = x3" in repeated


def test_dropped_rows_and_large_integers_are_said():
    X = normal()
    X[3] = np.nan
    X[[5, 6], 1] = np.nan
    empty, incomplete = warnings_of(X, missing="drop")
    assert empty == "1 of 50,000 rows have no value at all and are left out"
    assert incomplete == "2 of 50,000 rows hold values that are not finite and are left out"
    large = np.random.default_rng(0).integers(2**60, 2**61, size=(N, 1))
    assert "beyond 2^53" in warnings_of(large)[0]


def test_a_block_holds_at_least_4096_rows():
    assert BlockGrid(N, D).n_blocks == 13
