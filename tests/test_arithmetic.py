"""The compiled arithmetic has the bits of the plain one, which does what it says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dgmm import arithmetic
from dgmm.arithmetic.plain import LOG_FLOOR, Arithmetic, Plain
from dgmm.execution.blas import single_blas_thread
from dgmm.kernels.cutting import Cut

compiled = pytest.importorskip("dgmm.arithmetic.compiled", reason="Numba is optional")
numpy_blas = pytest.importorskip("dgmm.arithmetic.numpy_blas", reason="it needs Numba too")

DTYPES = [np.float64, np.float32]
SIZES = st.sampled_from([1, 2, 3, 7, 16, 17, 255, 256, 257, 600])
both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
Array = NDArray[Any]


def _softmax(arithmetic: Arithmetic, L: Array) -> tuple[Array, Array]:
    R, top, total = L.copy(), np.empty_like(L[0]), np.empty_like(L[0])
    with np.errstate(all="ignore"):
        return R, arithmetic.softmax(R, top, total).copy()


def _equal(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)


@both_dtypes
@settings(deadline=None, max_examples=60)
@given(
    k=st.sampled_from([1, 2, 8, 9, 130]),
    b=SIZES,
    spread=st.sampled_from([1.0, 50.0, 5000.0]),
    odd=st.sampled_from([None, np.nan, np.inf, -np.inf, -0.0]),
    seed=st.integers(0, 99),
)
def test_softmax_has_the_same_bits(
    dtype: type, k: int, b: int, spread: float, odd: float | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    L = (spread * rng.normal(size=(k, b))).astype(dtype)
    if odd is not None:
        L[rng.integers(k), rng.integers(b)] = odd
        L[:, rng.integers(b)] = odd
    (R, lse), (R_compiled, lse_compiled) = (_softmax(a, L) for a in (Plain(), compiled.Compiled()))
    assert _equal(R, R_compiled)
    assert _equal(lse, lse_compiled)


@both_dtypes
def test_softmax_is_that_of_its_definition(dtype: type) -> None:
    L = (30 * np.random.default_rng(0).normal(size=(5, 300))).astype(dtype)
    R, lse = _softmax(Plain(), L)
    wide = L.astype(np.float64)
    weights = np.exp(wide - wide.max(axis=0))
    np.testing.assert_allclose(R, weights / weights.sum(axis=0), atol=20 * np.finfo(dtype).eps)
    expected = np.log(np.exp(wide - wide.max(axis=0)).sum(axis=0)) + wide.max(axis=0)
    np.testing.assert_allclose(lse, expected, rtol=8 * np.finfo(dtype).eps, atol=1e-6)


@both_dtypes
def test_responsibilities_are_never_subnormal(dtype: type) -> None:
    L = np.linspace(0.0, -2000.0, 4000, dtype=dtype).reshape(-1, 4)
    for arithmetic_ in (Plain(), compiled.Compiled()):
        R, _ = _softmax(arithmetic_, L)
        kept = R[R > 0]
        assert kept.min() >= np.exp(LOG_FLOOR[np.dtype(dtype)]) / 2 > np.finfo(dtype).tiny
        assert len(kept) < R.size


@both_dtypes
@settings(deadline=None, max_examples=40)
@given(
    stored=st.sampled_from(["f4", "f8", "i2", "u1", "f2"]),
    b=SIZES,
    d=st.sampled_from([1, 2, 5, 16, 33]),
    seed=st.integers(0, 99),
    every=st.sampled_from([1, 2]),
)
def test_standardising_and_products_have_the_same_bits(
    dtype: type, stored: str, b: int, d: int, seed: int, every: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = (100 * rng.random(size=(b * every, d))).astype(stored)[::every]
    work = dtype if stored == "f4" else np.float64
    factor, offset = 2.0 ** rng.integers(-3, 3, size=d), rng.normal(size=d)
    results = []
    for a in (Plain(), compiled.Compiled()):
        Y = np.empty((d, b), dtype)
        a.standardise(rows, factor.astype(work), offset.astype(work), Y)
        pairs = np.empty((d * (d + 1) // 2, b), dtype)
        a.pairs(Y, 0, d, pairs)
        results.append((Y, pairs))
    assert _equal(results[0][0], results[1][0])
    assert _equal(results[0][1], results[1][1])
    expected = rows.astype(np.float64) * factor - offset
    np.testing.assert_allclose(results[0][0].T, expected, rtol=1e-6, atol=1e-4)


@both_dtypes
@settings(deadline=None, max_examples=60)
@given(
    k=st.sampled_from([1, 2, 3, 16, 33, 64, 130]),
    p=st.sampled_from([1, 2, 6, 45, 65, 153, 561]),
    b=st.sampled_from([1, 2, 255, 512, 1000, 1025]),
)
def test_matrix_products_have_the_same_bits_and_are_right(
    dtype: type, k: int, p: int, b: int
) -> None:
    rng = np.random.default_rng([k, p, b])
    cut = Cut.of(p, k, np.dtype(dtype).itemsize)
    eta = rng.normal(size=(k, p + 5)).astype(dtype)[:, 2:-3]  # a part of natural parameters
    Phi = rng.normal(size=(p, b)).astype(dtype)
    found = []
    with single_blas_thread():
        for a in (Plain(), compiled.Compiled()):
            L, sums = np.empty((k, b), dtype), np.ones((p, k))
            a.log_prob(eta, Phi, L, cut.columns)
            product = np.empty((p, k), dtype)
            a.moments(Phi, L, sums, product, cut.moment_rows, cut.moment_columns)
            found.append((L, sums))
    assert _equal(found[0][0], found[1][0])
    assert _equal(found[0][1], found[1][1])
    wide, eps = Phi.astype(np.float64), float(np.finfo(dtype).eps)
    L, sums = found[0]
    error = eps * p * (np.abs(eta).astype(np.float64) @ np.abs(wide)).max()
    np.testing.assert_allclose(L, eta.astype(np.float64) @ wide, rtol=0, atol=error)
    error = eps * b * (np.abs(wide) @ np.abs(L.T.astype(np.float64))).max()
    error += np.finfo(np.float64).eps * b * np.abs(sums).max()  # they began at 1
    np.testing.assert_allclose(sums - 1, wide @ L.T.astype(np.float64), rtol=0, atol=error)


@pytest.fixture
def fresh() -> Iterator[None]:
    """A process that has not looked for Numba yet."""
    arithmetic.compiled_arithmetic.cache_clear()
    yield
    arithmetic.compiled_arithmetic.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_small_passes_do_not_load_numba() -> None:
    assert arithmetic.fastest(arithmetic.WORTH_COMPILING - 1).name == "numpy"
    assert arithmetic.fastest(arithmetic.WORTH_COMPILING).name == "numba"
    assert arithmetic.fastest(1).name == "numba"  # it is there now


@pytest.mark.usefixtures("fresh")
def test_a_process_without_numba_takes_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, compiled.__name__, None)
    assert arithmetic.fastest(arithmetic.WORTH_COMPILING).name == "numpy"


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setitem(numpy_blas._NAMES, "float32", "no_such_gemm"),
        lambda patch: patch.setattr(numpy_blas, "_LOOPS", {"exp": np.log, "log": np.log}),
        lambda patch: patch.setattr(numpy_blas, "_SMALLEST_NUMPY", "99.0.0"),
    ],
    ids=["no BLAS of NumPy's", "another loop", "another NumPy"],
)
def test_a_numpy_that_cannot_be_called_by_address_is_asked_by_name(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[pytest.MonkeyPatch], None]
) -> None:
    change(monkeypatch)
    assert arithmetic.fastest(arithmetic.WORTH_COMPILING).name == "numpy"


@pytest.mark.parametrize("k", [1, 3, 16, 64, 1024])
@pytest.mark.parametrize("p", [3, 45, 561, 8385])
@pytest.mark.parametrize("itemsize", [4, 8])
def test_a_tile_divides_every_block(k: int, p: int, itemsize: int) -> None:
    cut = Cut.of(p, k, itemsize)
    assert 4096 % cut.tile_rows == 0
    assert cut.tile_rows % cut.columns == 0
    assert cut.tile_rows % cut.moment_columns == 0
    assert min(cut.design_rows, cut.moment_rows) >= 1
