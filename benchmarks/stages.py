"""Where the time of a pass goes: what its threads are found in, and the parts of compiled code.

A sampling profiler sees one frame of the latter; they are timed one by one, on one thread. Each is
repeated on rows that the first cache holds: what a pass takes beyond their sum is memory, threads
that wait, and the driver.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from statistics import median
from typing import Any

import numba
import numpy as np

from benchmarks.goals import Shape
from benchmarks.measuring import N_THREADS
from benchmarks.our_em import OurEM
from benchmarks.sampling import in_words, shares_of_time
from dgmm.mixture.backends import fused_products as products
from dgmm.mixture.backends import moment_products, numba_steps
from dgmm.mixture.backends import numba_softmax as softmax
from dgmm.mixture.backends.fused_e_step import E_STEP_FLOOR
from dgmm.mixture.kernels.workspace import aligned

_FORMS = {"full": "pairs", "tied": "none", "diag": "squares", "spherical": "norm"}
_SECONDS = 0.02


def profile(
    covariance_type: str, shape: Shape, n_rows: int, ours: OurEM, products_ms: float
) -> str:
    """In words, of iterations for a second and of a row panel."""
    taken: list[float] = []

    def for_a_second() -> None:
        while sum(taken) < 1.0:
            taken.extend(ours.step())

    shares, ms = shares_of_time(for_a_second), 1e3 * median(taken)
    dtype = ours.kernel.split("-")[1]
    parts = nanoseconds_a_row(covariance_type, shape.d, shape.k, dtype)
    longest = sorted(parts.items(), key=lambda part: -part[1])
    told = ", ".join(f"{name} {part:.1f}" for name, part in longest)
    return (
        f"missed: {covariance_type}, {shape}, {dtype}: an iteration takes {ms:.1f} ms, which is "
        f"{1e6 * ms * N_THREADS / n_rows:.0f} ns of {N_THREADS} threads a row; NumPy's products "
        f"alone {products_ms:.1f} ms. Alone, and in its cache, one thread takes "
        f"{sum(parts.values()):.0f} ns a row: {told}. The threads were found in {in_words(shares)}"
    )


def nanoseconds_a_row(covariance_type: str, d: int, k: int, dtype: Any) -> dict[str, float]:
    """What each part takes, for rows stored in the dtype that they are computed in."""
    form, dtype = _FORMS[covariance_type], np.dtype(dtype)
    which, order, n_products = products.factors(form, d)
    one, rng = dtype.type(1.0), np.random.default_rng(0)
    eta, sums, buffers = products.allocate_buffers(_allocator(dtype), d, k, len(order), dtype)
    eta[:k] = 0.1 * rng.normal(size=(k, len(order)))
    Y, _, L, R, Phi, panels, top, total = buffers
    panel, n = moment_products.ROW_PANEL, L.shape[1]  # a tile of log densities has fewer columns
    rows = rng.normal(size=(panel, d)).astype(dtype)
    factor, offset = np.ones(d, dtype), np.zeros(d, dtype)
    logits = rng.uniform(-30.0, 0.0, L.shape).astype(dtype)
    parts: dict[str, tuple[Any, ...]] = {
        "standardising": (numba_steps.standardise, rows, factor, offset, Y),
        "log densities": (products.log_prob, one, eta, which, n_products, Y, 0, L, panels, n),
        "softmax": (_softmax, dtype.type(E_STEP_FLOOR[dtype]), logits, L, k, n, top, total),
        "transposing": (moment_products.transposed, one, L, R, n, total),
        "moments": (moment_products.moments, one, which, n_products, Y, R, Phi, sums, panel),
    }
    if form == "norm":
        parts["norms"] = (numba_steps.squared_norms, Y, d, d + 1, panel)
    found = {}
    for name, (function, *arguments) in parts.items():
        L.fill(0.0)
        of_tile = name in ("log densities", "softmax", "transposing")
        found[name] = 1e9 * _seconds(_repeated(function), arguments) / (n if of_tile else panel)
    return found


def _allocator(dtype: np.dtype[Any]) -> Callable[[str, int], Any]:
    return lambda _, size: aligned(size, dtype)


@numba.njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator] # no types
def _softmax(floor: Any, logits: Any, L: Any, k: int, n: int, top: Any, total: Any) -> None:
    """Of numbers as they occur, the copying included: of its own results it would be another."""
    source, target = logits.ravel(), L.ravel()
    for i in range(source.size):
        target[i] = source[i]
    softmax.exponentiate(floor, L, k, n, top, total)
    softmax.finish(floor, n, top, total)


@cache
def _repeated(function: Any) -> Any:
    @numba.njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator] # no types
    def repeat(times: int, *arguments: Any) -> None:
        for _ in range(times):
            function(*arguments)

    return repeat


def _seconds(repeat: Any, arguments: list[Any]) -> float:
    """Of one call: the least of three, each of as many as take a fiftieth of a second."""
    repeat(1, *arguments)  # compiles
    times = 1
    while True:
        begun = time.perf_counter()
        repeat(times, *arguments)
        taken = time.perf_counter() - begun
        if taken >= _SECONDS:
            break
        times *= 2
    best = taken
    for _ in range(2):
        begun = time.perf_counter()
        repeat(times, *arguments)
        best = min(best, time.perf_counter() - begun)
    return best / times
