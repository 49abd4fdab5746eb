"""The NumPy backend does what it says; the Numba one has its bits where it promises them."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dgmm.errors import UnavailableError
from dgmm.mixture import backends as backend
from dgmm.mixture.backends.gaps import COMPLETE, EMPTY, INCOMPLETE, INFINITE
from dgmm.mixture.backends.numpy_backend import (
    LOG_FLOOR,
    Backend,
    NumpyBackend,
)
from dgmm.mixture.kernels.tiling import Tiling
from dgmm.runtime.blas_threads import single_blas_thread

compiled = pytest.importorskip("dgmm.mixture.backends.numba_backend", reason="Numba is optional")
compiling = pytest.importorskip("dgmm.mixture.backends.numba_cache", reason="it needs Numba too")
vectors = pytest.importorskip("dgmm.mixture.backends.simd_intrinsics", reason="it needs Numba too")

DTYPES = [np.float64, np.float32]
SIZES = st.sampled_from([1, 2, 3, 7, 16, 17, 255, 256, 257, 600])
both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
Array = NDArray[Any]


def _softmax(backend: Backend, L: Array) -> tuple[Array, Array]:
    R, top, total = L.copy(), np.empty_like(L[0]), np.empty_like(L[0])
    with np.errstate(all="ignore"):
        return R, backend.softmax(R, top, total).copy()


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
def test_softmax_of_both_differs_by_rounding_alone(
    dtype: type, k: int, b: int, spread: float, odd: float | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    L = (spread * rng.normal(size=(k, b))).astype(dtype)
    if odd is not None:
        L[rng.integers(k), rng.integers(b)] = odd
        L[:, rng.integers(b)] = odd
    (R, lse), (R_compiled, lse_compiled) = (
        _softmax(a, L) for a in (NumpyBackend(), compiled.NumbaBackend())
    )
    eps = float(np.finfo(dtype).eps)
    # Sums of k terms, each with an error below 2.6 eps (NumPy's) and 0.9 eps (ours).
    np.testing.assert_allclose(R_compiled, R, rtol=(k + 8) * eps, atol=np.exp(-59.0))
    np.testing.assert_allclose(lse_compiled, lse, rtol=2 * eps, atol=(k + 8) * eps)
    assert R.dtype == R_compiled.dtype
    assert lse.dtype == lse_compiled.dtype


@both_dtypes
def test_softmax_is_that_of_its_definition(dtype: type) -> None:
    L = (30 * np.random.default_rng(0).normal(size=(5, 300))).astype(dtype)
    R, lse = _softmax(NumpyBackend(), L)
    wide = L.astype(np.float64)
    weights = np.exp(wide - wide.max(axis=0))
    np.testing.assert_allclose(R, weights / weights.sum(axis=0), atol=20 * np.finfo(dtype).eps)
    expected = np.log(np.exp(wide - wide.max(axis=0)).sum(axis=0)) + wide.max(axis=0)
    np.testing.assert_allclose(lse, expected, rtol=8 * np.finfo(dtype).eps, atol=1e-6)


@both_dtypes
def test_responsibilities_are_never_subnormal(dtype: type) -> None:
    L = np.linspace(0.0, -2000.0, 4000, dtype=dtype).reshape(-1, 4)
    for each in (NumpyBackend(), compiled.NumbaBackend()):
        R, _ = _softmax(each, L)
        kept = R[R > 0]
        floor = LOG_FLOOR[np.dtype(dtype)]
        assert kept.min() >= np.exp(floor) / 2 > np.finfo(dtype).tiny
        assert kept.min() <= np.exp(floor + 3.0)  # of logarithms 2 apart
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
def test_standardising_has_the_same_bits(
    dtype: type, stored: str, b: int, d: int, seed: int, every: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = (100 * rng.random(size=(b * every, d))).astype(stored)[::every]
    work = dtype if stored == "f4" else np.float64
    factor, offset = rng.normal(size=d), rng.normal(size=d)  # not exact: two roundings show
    results = []
    for a in (NumpyBackend(), compiled.NumbaBackend()):
        Y = np.empty((d, b), dtype)
        a.standardise(rows, factor.astype(work), offset.astype(work), Y)
        results.append(Y)
    assert _equal(*results)
    expected = rows.astype(np.float64) * factor - offset
    np.testing.assert_allclose(results[0].T, expected, rtol=1e-6, atol=1e-4)


@both_dtypes
@pytest.mark.parametrize("stored", ["f4", "f8"])
def test_squares_and_what_is_left_of_them_are_standardised_alike(dtype: type, stored: str) -> None:
    rng = np.random.default_rng(0)
    rows = (100 * rng.random(size=(603, 33))).astype(stored)
    work = dtype if stored == "f4" else np.float64
    affine = rng.normal(size=(2, 33)).astype(work)  # no powers of two: both roundings show
    results = []
    for a in (NumpyBackend(), compiled.NumbaBackend()):
        results.append(np.empty((33, 603), dtype))
        a.standardise(rows, *affine, results[-1])
    assert _equal(*results)


def test_pairs_are_products_of_features_in_the_order_of_the_upper_triangle() -> None:
    Y = np.random.default_rng(0).normal(size=(5, 7))
    some, i, j = np.empty((7, 7)), *np.triu_indices(5)
    NumpyBackend().pairs(Y, 1, 3, some)  # 4 and 3 products
    np.testing.assert_array_equal(some, (Y[i] * Y[j])[5:12])


@both_dtypes
@settings(deadline=None, max_examples=60)
@given(
    k=st.sampled_from([1, 2, 3, 16, 33, 64, 130]),
    p=st.sampled_from([1, 2, 6, 45, 65, 153, 561]),
    b=st.sampled_from([1, 2, 255, 512, 1000, 1025]),
)
def test_matrix_products_are_right(dtype: type, k: int, p: int, b: int) -> None:
    rng = np.random.default_rng([k, p, b])
    tiling = Tiling.of(p, k, np.dtype(dtype).itemsize)
    eta = rng.normal(size=(k, p + 5)).astype(dtype)[:, 2:-3]  # a part of natural parameters
    Phi = rng.normal(size=(p, b)).astype(dtype)
    L, sums, product = np.empty((k, b), dtype), np.ones((p, k)), np.empty((p, k), dtype)
    with single_blas_thread():
        NumpyBackend().log_prob(eta, Phi, L, tiling.columns)
        NumpyBackend().moments(Phi, L, sums, product, tiling.moment_rows, tiling.moment_columns)
    wide, eps = Phi.astype(np.float64), float(np.finfo(dtype).eps)
    error = eps * p * (np.abs(eta).astype(np.float64) @ np.abs(wide)).max()
    np.testing.assert_allclose(L, eta.astype(np.float64) @ wide, rtol=0, atol=error)
    error = eps * b * (np.abs(wide) @ np.abs(L.T.astype(np.float64))).max()
    error += np.finfo(np.float64).eps * b * np.abs(sums).max()  # they began at 1
    np.testing.assert_allclose(sums - 1, wide @ L.T.astype(np.float64), rtol=0, atol=error)


@pytest.fixture
def fresh() -> Iterator[None]:
    """A process that has not looked for Numba yet."""
    backend.compiled_backend.cache_clear()
    yield
    backend.compiled_backend.cache_clear()
    backend.compiled_backend()  # what is known of it is the process's own again


WORTH = backend.WORTH_COMPILING


def selected(numbers: int, wanted: str = "auto", *, is_everywhere: bool = True) -> str:
    return backend.select(wanted, numbers, is_everywhere=is_everywhere)


def test_a_backend_that_is_asked_for_is_taken_whatever_the_size() -> None:
    assert selected(10**12, "numpy") == "numpy"
    assert selected(1, "numba") == "numba"


def test_numba_is_not_taken_unless_every_worker_has_it() -> None:
    assert selected(10**12, is_everywhere=False) == "numpy"
    with pytest.raises(
        UnavailableError, match=r"not every worker has .*pip install 'dgmm\[fast\]'"
    ):
        selected(1, "numba", is_everywhere=False)


@pytest.mark.usefixtures("fresh")
def test_small_passes_do_not_load_numba() -> None:
    assert backend.standardising_backend(WORTH - 1).name == selected(WORTH - 1) == "numpy"
    assert backend.standardising_backend(WORTH).name == selected(WORTH) == "numba"
    assert backend.standardising_backend(1).name == "numba"  # it is there now
    assert selected(WORTH - 1) == "numpy"  # bits do not follow what ran before


@pytest.mark.usefixtures("fresh")
def test_a_process_without_numba_takes_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, compiled.__name__, None)
    assert backend.standardising_backend(WORTH).name == selected(WORTH) == "numpy"
    with pytest.raises(UnavailableError, match=r"dgmm\[fast\]"):
        backend.get("numba")
    with pytest.raises(
        UnavailableError, match=r"pip install 'dgmm\[fast\]', or set compute.backend to numpy"
    ):
        selected(1, "numba")
    assert selected(10**12, "numpy") == "numpy"


@pytest.mark.usefixtures("fresh")
def test_a_processor_without_fused_multiplication_computes_with_numpy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vectors.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(vectors.binding, "get_host_cpu_features", lambda: {"fma": False})
    assert selected(WORTH) == "numpy"


@pytest.mark.parametrize("k", [1, 3, 16, 64, 1024])
@pytest.mark.parametrize("p", [3, 45, 561, 8385])
@pytest.mark.parametrize("itemsize", [4, 8])
def test_a_tile_divides_every_block(k: int, p: int, itemsize: int) -> None:
    tiling = Tiling.of(p, k, itemsize)
    assert 4096 % tiling.tile_rows == 0
    assert tiling.tile_rows % tiling.columns == 0
    assert tiling.tile_rows % tiling.moment_columns == 0
    assert min(tiling.design_rows, tiling.moment_rows) >= 1


class _BrokenFiles:
    """A cache whose files cannot be read or written."""

    def __init__(self, error: Exception) -> None:
        self.error, self.flushed, self.cache_path = error, 0, "somewhere"

    def load_overload(self, *_: object) -> None:
        raise self.error

    def save_overload(self, *_: object) -> None:
        raise self.error

    def flush(self) -> None:
        self.flushed += 1
        raise self.error


@pytest.mark.parametrize(
    "error", [EOFError(), OSError(28, "No space left on device"), pickle.UnpicklingError("x")]
)
def test_a_damaged_or_full_cache_of_machine_code_only_costs_time(error: Exception) -> None:
    broken = _BrokenFiles(error)
    cache = compiling._ForgivingCache([broken])
    assert cache.load_overload("signature", "context") is None
    assert broken.flushed == 1
    cache.save_overload("signature", "code")
    assert cache.cache_path == "somewhere"


def test_every_compiled_function_forgives_its_cache() -> None:
    functions = [f for f in vars(compiled).values() if hasattr(f, "py_func")]
    assert functions
    assert all(isinstance(f._cache, compiling._ForgivingCache) for f in functions)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("d", [1, 8, 9, 33, 64, 65, 130])
@pytest.mark.parametrize(
    "name", ["numpy", *(["numba"] if backend.compiled_backend() is not None else [])]
)
def test_what_rows_lack_is_told_alike(name: str, d: int, dtype: type) -> None:
    """Bit j of a row's words stands for feature j; infinity is no missing value."""
    rng = np.random.default_rng(d)
    rows = rng.normal(size=(40, d)).astype(dtype)
    rows[rng.uniform(size=rows.shape) < 0.3] = np.nan
    rows[0], rows[1] = np.nan, 1.0
    rows[2], rows[2, -1] = 1.0, np.inf
    rows[3], rows[3, 0] = np.nan, -np.inf
    given = backend.get(name)
    words = given.missing_words(rows)
    bits = 8 * words.itemsize
    for j in range(d):
        found = (words[:, j // bits] >> words.dtype.type(j % bits)) & words.dtype.type(1)
        np.testing.assert_array_equal(found, np.isnan(rows[:, j]))
    kinds = given.row_gaps(rows)
    assert kinds[:4].tolist() == [EMPTY, COMPLETE, INFINITE, INFINITE]
    has_any, has_all = (~np.isnan(rows)).any(axis=1), (~np.isnan(rows)).all(axis=1)
    expected = np.where(has_all, COMPLETE, np.where(has_any, INCOMPLETE, EMPTY))
    np.testing.assert_array_equal(kinds[4:], expected[4:])
    some, features = np.array([3, 5, 1]), np.arange(0, d, 2)
    taken = np.empty((len(some), len(features)), dtype)
    given.take(rows, some, features, taken)
    np.testing.assert_array_equal(taken, rows[np.ix_(some, features)])
