"""Standardised rows are nearly exact, finite for finite input, and robust against fill values."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from dgmm.data.standardisation import NORMAL_QUARTILE_RANGE, Standardisation
from dgmm.runtime.environment import cpu_features

EPS = np.finfo(np.float64).eps


def normal(m=10_000, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(m, d))


def measured(sample, **options):
    return Standardisation.from_sample(sample, **({"common_scale": False} | options))


@pytest.mark.parametrize("common_scale", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1e8, -1e15])
def test_y_is_exact_where_the_difference_is(offset, common_scale):
    X = normal() * [0.01, 1, 100] + offset
    found = measured(X, common_scale=common_scale)
    exact = (X.astype(np.longdouble) - found.shift) / found.scale
    # x - shift is rounded once, to half a unit in its own last place; the scale rounds nothing.
    np.testing.assert_allclose(found.apply(X), exact.T.astype(float), rtol=EPS / 2, atol=0)


def test_float32_rows_are_shifted_in_float32_without_loss():
    X = (normal() + 1e4).astype(np.float32)
    found = measured(X)
    y = found.apply(X, np.float32)
    assert y.dtype == np.float32
    exact = (X.astype(np.float64) - found.shift) / found.scale
    np.testing.assert_array_equal(y, exact.T)  # neighbours of the shift: Sterbenz's lemma


@pytest.mark.parametrize("d", [1, 2, 31, 32, 33, 100])
@pytest.mark.parametrize("b", [0, 1, 127, 300])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_come_out_features_first_whatever_their_layout(d, b, order):
    X = np.asarray(normal(b, d), order=order)
    found = measured(normal(50, d))
    y = found.apply(X)
    assert y.flags.c_contiguous
    np.testing.assert_array_equal(y, ((X - found.shift) / found.scale).T)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "float16", ">f4", ">f8"])
@pytest.mark.parametrize("target", [np.float32, np.float64])
def test_every_real_type_is_standardised(dtype, target):
    X = np.random.default_rng(0).integers(0, 2, size=(500, 3)).astype(dtype)
    found = measured(X)
    expected = (X.astype(np.float64) - found.shift) / found.scale
    np.testing.assert_array_equal(found.apply(X, target), expected.T)


def test_the_scale_is_the_power_of_two_nearest_to_the_robust_sd():
    widths = np.array([1e-12, 0.3, 1.0, 1.5, 1e12])
    found = measured(normal(100_000, 5) * widths)
    assert (np.frexp(found.scale)[0] == 0.5).all()
    # IQR/1.349 of 100,000 normal values is within 5 · 1.36/√(2·10⁵) ≈ 1.5 % of the sd
    np.testing.assert_allclose(found.variance, widths**2, rtol=0.031)
    assert (found.standardised_variance >= 0.5 * 0.97).all()
    assert (found.standardised_variance <= 2 * 1.03).all()


def test_the_shift_is_a_value_of_the_sample():
    X = normal(1001).astype(np.float32)
    np.testing.assert_array_equal(measured(X).shift, np.median(X, axis=0))
    assert (np.rint(measured(normal(), dtype=np.int32).shift) == 0).all()


def test_one_fill_value_changes_nothing():
    X = normal()
    broken = X.copy()
    broken[17] = 9.97e36
    np.testing.assert_array_equal(measured(X).scale, measured(broken).scale)
    # one value of 10,000 moves a quantile by at most one order statistic
    np.testing.assert_allclose(measured(broken).shift, measured(X).shift, atol=1e-2)


def test_a_common_scale_is_of_the_root_mean_robust_variance():
    found = measured(normal(100_000) * [1, 1, 8], common_scale=True)
    assert (found.scale == 4.0).all()  # √((1 + 1 + 64)/3) = 4.69
    np.testing.assert_allclose(found.variance, [1, 1, 64], rtol=0.031)


def test_constant_features_are_named_and_have_scale_one():
    X = normal()
    X[:, 1] = 7.25
    for common_scale in (False, True):
        found = measured(X * [1, 1, 1], common_scale=common_scale)
        np.testing.assert_array_equal(found.is_constant, [False, True, False])
        assert (found.apply(X)[1] == 0).all()
        assert (found.variance > 0).all()
    constant = measured(np.full((9, 2), 3e300), common_scale=True)
    np.testing.assert_array_equal(constant.scale, 1.0)
    np.testing.assert_array_equal(constant.shift, 3e300)


def test_the_sd_is_taken_where_the_interquartile_range_is_zero():
    X = np.zeros((1000, 1))
    X[:100] = 1.0  # variance 0.1 · 0.9
    found = measured(X)
    np.testing.assert_allclose(found.variance, 0.09, rtol=8 * EPS)
    assert not found.is_constant.any()


@pytest.mark.parametrize("common_scale", [False, True])
@pytest.mark.parametrize("unit", [1e308, 1e-310, 5e-324, 1e-12, 1e12])
def test_extreme_units_are_standardised_like_others(unit, common_scale):
    X = np.clip(normal(1000, 2) * 0.6, -1.7, 1.7) * unit
    found = measured(X, common_scale=common_scale)
    y = found.apply(X)
    assert np.isfinite(y).all()
    assert (found.scale > 0).all()
    assert np.isfinite(found.standardised_variance).all()
    if unit > 1e-320:
        assert (y.std(axis=1) > 0.4).all()
        assert (y.std(axis=1) < 1.6).all()


@pytest.mark.parametrize("target", [np.float32, np.float64])
def test_finite_rows_give_finite_results(target):
    found = measured(normal(1000, 4) * [1e-300, 1e-12, 1.0, 1e300])
    extreme = np.array([[1.7e308] * 4, [-1.7e308] * 4, [5e-324] * 4, [0.0] * 4])
    for rows in (extreme, np.clip(extreme, -3e38, 3e38).astype(np.float32)):
        assert np.isfinite(found.apply(rows, target)).all()


def test_positions_travel_to_user_units_and_back():
    found = measured(normal() * [1e-3, 1, 1e3] + [1e8, 0, 5])
    positions = normal(7)
    user = found.means_to_user(positions)
    # y·scale + shift is rounded once, relative to the larger of shift and result
    bound = EPS * (np.abs(found.shift) + np.abs(user)) / found.scale
    assert (np.abs(found.means_from_user(user) - positions) <= 2 * bound).all()


@pytest.mark.parametrize("sample", [np.empty((0, 2)), np.array([[1.0, np.nan]])])
def test_a_sample_without_finite_rows_is_refused(sample):
    with pytest.raises(ValueError, match="finite values only"):
        measured(sample)


def test_one_row_is_all_constant():
    found = measured(np.array([[3.0, -2.0]]))
    assert found.is_constant.all()
    np.testing.assert_array_equal(found.shift, [3.0, -2.0])


@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 5, 8, 100, 5003, 50_001])
def test_shift_and_spread_are_order_statistics_of_a_sample_of_any_size(n_rows):
    sample = np.random.default_rng(n_rows).normal(size=(n_rows, 3))
    found = Standardisation.from_sample(sample, common_scale=False)
    ordered = np.sort(sample, axis=0)
    low, high = ordered[(n_rows - 1) // 4], ordered[n_rows - 1 - (n_rows - 1) // 4]
    np.testing.assert_array_equal(found.shift, ordered[(n_rows - 1) // 2])
    if n_rows > 1:
        spread = (high - low) / NORMAL_QUARTILE_RANGE
        np.testing.assert_allclose(found.variance, spread**2, rtol=8 * np.finfo(float).eps)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int16", "bool"])
def test_a_sample_is_standardised_with_the_bits_of_other_rows(dtype):
    rows = (np.random.default_rng(0).normal(size=(500, 3)) * [1.0, 3.0, 9.0] + 5.0).astype(dtype)
    found = Standardisation.from_sample(rows, common_scale=False)
    np.testing.assert_array_equal(found.apply_to_sample(rows), found.apply(rows).T)


def test_a_sample_whose_scale_has_no_reciprocal_is_standardised_too():
    rows = np.random.default_rng(0).normal(size=(500, 2)) * [1e-310, 1.0]
    found = Standardisation.from_sample(rows, common_scale=False)
    np.testing.assert_array_equal(found.apply_to_sample(rows), found.apply(rows).T)


def tied(m, d, kind, seed):
    """Rows with ties of every kind: none, many, a constant, both zeros, ordered either way."""
    g = np.random.default_rng(seed)
    X = g.normal(size=(m, d))
    if kind == "ties":
        return np.rint(2 * X)
    if kind == "zeros":
        return np.where(g.random((m, d)) < 0.5, 0.0, -0.0)
    if kind == "constant":
        return np.full((m, d), 7.5)
    return {"random": X, "sorted": np.sort(X, axis=0), "reversed": -np.sort(X, axis=0)}[kind]


def by_sorting(X):
    """Shift and robust spread as the sorted columns give them."""
    ordered, last = np.sort(X.astype(np.float64), axis=0), len(X) - 1
    low, middle, high = ordered[last // 4], ordered[last // 2], ordered[last - last // 4]
    return middle, (high - low) / NORMAL_QUARTILE_RANGE


@pytest.mark.parametrize("kind", ["random", "ties", "zeros", "constant", "sorted", "reversed"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, ">f8"])
def test_shift_and_spread_are_those_of_the_sorted_sample(kind, dtype):
    for m in (*range(1, 34), 63, 64, 65, 127, 128, 129, 257, 600, 1023, 1025, 3001):
        X = tied(m, 1 + m % 7, kind, m).astype(dtype)
        found = measured(X)
        middle, spread = by_sorting(X)
        np.testing.assert_array_equal(found.shift, middle, err_msg=f"{m} rows")
        assert not np.signbit(found.shift[found.shift == 0]).any()
        known = spread > 0
        own = np.sqrt(found.variance)[known]
        np.testing.assert_allclose(own, spread[known], rtol=8 * EPS, err_msg=f"{m} rows")


_PRINT_BITS = """
import hashlib, numpy as np
from dgmm.data.standardisation import Standardisation
found = hashlib.sha256()
for m in (*range(1, 40), 130, 257, 600, 1000, 1025, 4001, 20000):
    for kind in (np.float64, np.float32, np.int8):
        X = (20 * np.random.default_rng(m).normal(size=(m, 5))).astype(kind)
        own = Standardisation.from_sample(X, common_scale=bool(m % 2))
        for name in ("shift", "scale", "standardised_variance", "is_constant"):
            found.update(getattr(own, name).tobytes())
print(found.hexdigest())
"""


def test_a_standardisation_has_the_same_bits_on_every_processor():
    all_off = " ".join(set(cpu_features()) - cpu_baseline())
    groups = ("", "X86_V4 AVX512_ICL AVX512_SPR", "X86_V4 AVX512_ICL AVX512_SPR X86_V3", all_off)
    found = {features: _bits_without(features) for features in groups}
    assert len(set(found.values())) == 1, found


def cpu_baseline():
    import numpy._core._multiarray_umath as umath

    return set(umath.__cpu_baseline__)


def _bits_without(features):
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": features}
    command = [sys.executable, "-W", "ignore", "-c", _PRINT_BITS]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.strip()
