"""Starts and passes of many components: `python -m benchmarks many`.

The k-means start on all threads against NumPy's on one from greedy k-means++ seeds, and against
passes of the EM that follows.
CPU time stands beside seconds: others may use the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks import goals
from benchmarks.goals import Shape
from benchmarks.measuring import N_THREADS
from benchmarks.mixtures import Mixture, clustered_rows, start_near
from benchmarks.our_em import OurEM
from benchmarks.results import Results
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.initialisation.distance_rows import DistanceRows
from dgmm.fitting.initialisation.kmeans import lloyd
from dgmm.fitting.initialisation.kmeans_plus_plus import grown, n_trials
from dgmm.fitting.initialisation.merged_seeds import are_worth_merging, merged_seeds
from dgmm.fitting.initialisation.sample_rows import CentredRows
from dgmm.fitting.initialisation.start_compute import StartCompute
from dgmm.runtime.blas_threads import single_blas_thread

Points = NDArray[np.float64]

#: Rows that are clustered: many components, and a start of common size.
_LARGE, _COMMON = Shape(40_000, 128, 1024), Shape(12_800, 16, 64)
#: More components than NumPy's start, of seeds one by one, takes less than minutes for.
_LARGEST = Shape(40_000, 32, 4096)
_TRIAL, _TRIAL_LARGEST = Shape(2_000, 16, 40), Shape(2_000, 8, 256)
_PASSES, _ROUNDS = 7, 3


@dataclass(frozen=True, slots=True)
class Taken:
    """What a start took, and the sum of squares that it ended with."""

    seconds: float
    cpu_seconds: float
    sum_of_squares: float


def run(results: Results) -> None:
    """Two shapes beside NumPy's start, and one without; a trial a small one."""
    for shape in (_TRIAL,) if results.is_trial else (_LARGE, _COMMON):
        _shape(results, shape)
    _alone(results, _TRIAL_LARGEST if results.is_trial else _LARGEST)


def _rows_of(shape: Shape) -> tuple[NDArray[np.float32], CentredRows, Points]:
    """Rows as passes and as starts take them, and the clusters' centres."""
    X, centres = clustered_rows(shape.n, shape.d, shape.k)
    single = X.astype(np.float32)
    return single, CentredRows.of(single.astype(np.float64)), centres


def _alone(results: Results, shape: Shape) -> None:
    """The start of very many components in passes."""
    X, rows, centres = _rows_of(shape)
    with ThreadExecutor(N_THREADS) as executor:
        compute = StartCompute("numba", executor)
        begin = partial(_first_points, rows, compute, shape.k)
        taken = [_start(rows, begin, shape.k) for _ in range(1 + _ROUNDS)][1:]
    ours, a_pass = _median(taken), _pass_seconds(X, start_near(centres, "spherical"))
    results.measured(
        f"k-means start alone, {shape}", "start in passes of spherical float32",
        ours.seconds / a_pass, "passes",
        note=f"{ours.seconds:.2f} s, CPU {ours.cpu_seconds:.2f} s; a pass {1e3 * a_pass:.1f} ms",
    )  # fmt: skip


def _shape(results: Results, shape: Shape) -> None:
    X, rows, centres = _rows_of(shape)
    with ThreadExecutor(N_THREADS) as executor:
        compute = StartCompute("numba", executor)
        plain, ours = _alternating(rows, compute, shape.k, 1 if results.is_trial else _ROUNDS)
    a_pass = _pass_seconds(X, start_near(centres, "spherical"))
    part = f"k-means start, {shape}"
    seconds = f"{ours.seconds:.2f} s, CPU {ours.cpu_seconds:.2f} s; NumPy's {plain.seconds:.2f} s"
    seconds += f", CPU {plain.cpu_seconds:.2f} s"
    results.measured(
        part, "CPU time of NumPy's start over ours", plain.cpu_seconds / ours.cpu_seconds, "×",
        goal=goals.COMPILED_START, note=seconds,
    )  # fmt: skip
    results.measured(
        part, "sum of squares over NumPy's", ours.sum_of_squares / plain.sum_of_squares, "",
        goal=goals.SUM_OF_SQUARES, at_least=False,
    )  # fmt: skip
    is_large = shape == _LARGE
    results.measured(
        part, "start in passes of spherical float32", ours.seconds / a_pass, "passes",
        goal=goals.START_PASSES if is_large else None, at_least=False,
        note=f"a pass {1e3 * a_pass:.1f} ms",
    )  # fmt: skip
    results.measured(
        "passes of spherical float32", str(shape), shape.n / a_pass, "rows/s",
        goal=goals.MANY_COMPONENTS_ROWS_PER_SECOND if is_large else None,
    )  # fmt: skip


def _alternating(
    rows: CentredRows, compute: StartCompute, k: int, n_rounds: int
) -> tuple[Taken, Taken]:
    """NumPy's start and the compiled one in turn, once without being counted; each one's median.

    Copying the rows into panels counts; compiling does not.
    """

    def plain() -> Taken:
        with single_blas_thread():
            return _start(rows, lambda: (rows, _greedy(rows, rows, k)), k)

    def ours() -> Taken:
        return _start(rows, lambda: _first_points(rows, compute, k), k)

    ours()
    rounds = [(plain(), ours()) for _ in range(n_rounds)]
    first, second = zip(*rounds, strict=True)
    return _median(first), _median(second)


def _median(taken: Sequence[Taken]) -> Taken:
    return Taken(
        median(one.seconds for one in taken),
        median(one.cpu_seconds for one in taken),
        taken[0].sum_of_squares,
    )


def _first_points(rows: CentredRows, compute: StartCompute, k: int) -> tuple[DistanceRows, Points]:
    """Where a fit's k-means begins, and the rows laid out for it."""
    own = compute.over(rows, is_single=True)
    if not are_worth_merging(rows.n_rows, k):
        return own, _greedy(own, rows, k)
    points = merged_seeds(own, k, np.random.default_rng(0), None, compute)
    if points is None:
        raise RuntimeError("float32 does not tell these rows apart")
    return own, points


def _greedy(own: DistanceRows, rows: CentredRows, k: int) -> Points:
    return rows.take(grown(own.seeding(n_trials(k)), k, np.random.default_rng(0)))


def _start(rows: CentredRows, begin: Callable[[], tuple[DistanceRows, Points]], k: int) -> Taken:
    begun, cpu = time.perf_counter(), time.process_time()
    used, points = begin()
    labels = lloyd(used, points)
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu
    counts = np.bincount(labels, minlength=k)
    means = rows.means(labels, counts, otherwise=points)
    return Taken(seconds, cpu_seconds, float(rows.deviations(means, labels).sum()))


def _pass_seconds(X: NDArray[np.float32], start: Mixture) -> float:
    with OurEM(X, start) as ours:
        ours.catch_up(1)
        return median(ours.step(_PASSES))
