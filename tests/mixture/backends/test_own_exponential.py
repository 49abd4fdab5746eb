"""Exponentials and logarithms of compiled code: their errors, odd values, and equal bits."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dgmm.mixture.backends.numpy_backend import LOG_FLOOR

compiled = pytest.importorskip("dgmm.mixture.backends.numba_backend", reason="Numba is optional")
vectors = pytest.importorskip("dgmm.mixture.backends.simd_intrinsics", reason="it needs Numba too")
both_dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])
Array = NDArray[Any]


def weights(x: Array) -> Array:
    """e^x before they are normalised: beside a column's largest logarithm, 0."""
    from dgmm.mixture.backends.numba_softmax import exponentiate

    step = 96 + vectors.lanes_of(x.itemsize)
    found, rows = np.empty_like(x), np.zeros((3, step), x.dtype)
    for start in range(0, x.size, 96):
        some = x[start : start + 96]
        panel = np.zeros((2, step), x.dtype)
        panel[1, : some.size] = some
        exponentiate(x.dtype.type(LOG_FLOOR[x.dtype]), panel, 2, some.size, rows[0], rows[1])
        found[start : start + 96] = panel[1, : some.size]
    return found


def units_off(found: Array, exact: Array) -> float:
    """The largest error in units in the last place."""
    spacing = np.spacing(exact.astype(found.dtype)).astype(np.longdouble)
    return float((np.abs(found.astype(np.longdouble) - exact) / spacing).max())


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="no wider type to compare with")
@both_dtypes
def test_exponentials_are_within_nine_tenths_of_a_unit(dtype: type) -> None:
    rng, floor = np.random.default_rng(0), LOG_FLOOR[np.dtype(dtype)] * 0.999
    x = np.concatenate(
        [
            np.linspace(floor, 0.0, 20_001),
            rng.uniform(floor, 0.0, 20_000),
            rng.uniform(-2.0, 0.0, 20_000),
            -np.exp(rng.uniform(-40.0, 0.0, 5_000)),
        ]
    ).astype(dtype)
    assert units_off(weights(x), np.exp(x.astype(np.longdouble))) < 0.9


@both_dtypes
def test_odd_values_have_the_exponentials_they_should(dtype: type) -> None:
    floor = LOG_FLOOR[np.dtype(dtype)]
    x = np.array([0.0, -0.0, -np.inf, floor, 2 * floor, -1e30, np.nan], dtype)
    np.testing.assert_array_equal(weights(x), np.array([1, 1, 0, 0, 0, 0, np.nan], dtype))
    above = np.nextafter(dtype(floor), dtype(0))
    assert weights(np.array([above]))[0] > 1e3 * np.finfo(dtype).tiny


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="no wider type to compare with")
def test_logarithms_of_sums_are_within_a_unit() -> None:
    """Columns of k zeros with one number more, whose sum lies from 1 to k + 1."""
    for k in (1, 2, 3, 5, 90, 1000):
        L = np.zeros((k + 1, 200))
        L[-1] = -np.linspace(0.0, 30.0, 200)
        R = L.copy()
        lse = compiled.NumbaBackend().softmax(R, np.empty(200), np.empty(200))
        exact = np.log(k + np.exp(L[-1].astype(np.longdouble)))
        # A relative error of the sum of 2 eps (the term's and the addition's) is one of eps here.
        error = np.abs(lse - exact) - 2 * np.finfo(float).eps
        assert (error <= np.spacing(np.abs(lse))).all()


@both_dtypes
@pytest.mark.parametrize("b", [1, 2, 7, 8, 47, 95, 96, 97, 300])
def test_a_column_has_its_bits_wherever_it_stands(dtype: type, b: int) -> None:
    L = (20 * np.random.default_rng(1).normal(size=(9, b + 13))).astype(dtype)
    alone, within = L[:, 5 : 5 + b].copy(), L.copy()
    for panel in (alone, within):
        width = panel.shape[1]
        compiled.NumbaBackend().softmax(panel, np.empty(width, dtype), np.empty(width, dtype))
    assert alone.tobytes() == within[:, 5 : 5 + b].tobytes()


_PRINT_BITS = """
import hashlib, numpy as np
from dgmm.mixture.backends.numba_backend import NumbaBackend
found = hashlib.sha256()
for dtype in (np.float64, np.float32):
    raw = np.random.PCG64(3).random_raw(9 * 301).reshape(9, 301)
    L = (-(raw >> np.uint64(44)).astype(np.float64) / 2**14).astype(dtype)
    lse = NumbaBackend().softmax(L, np.empty(301, dtype), np.empty(301, dtype))
    found.update(L.tobytes())
    found.update(lse.tobytes())
print(found.hexdigest())
"""


@pytest.mark.skipif(not vectors.registers_hold_many(), reason="this processor has no AVX-512")
def test_bits_follow_no_vector_instructions(tmp_path: Any) -> None:
    """Neither those that Numba compiles for nor those that NumPy finds."""
    others: list[dict[str, str]] = [
        {},
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+avx,+bmi2"},
        {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"},
    ]
    found = set()
    for i, variables in enumerate(others):
        own = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / str(i)), **variables}
        command = [sys.executable, "-W", "ignore", "-c", _PRINT_BITS]
        done = subprocess.run(
            command, env=own, capture_output=True, text=True, check=True, timeout=300
        )
        found.add(done.stdout.strip())
    assert len(found) == 1
