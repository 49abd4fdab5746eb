"""Where EM starts: k-means‖ over all rows against k-means on the sample.

For each data set and method, medians over seeds: the sum of squares of the start's means over all
rows (standardised units, as the methods see them; a row's mean), the mean log-likelihood that EM
ends with, its iterations, reads of the data before EM, and seconds. `python -m benchmarks methods`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import N_THREADS, PROJECT
from benchmarks.mixtures import overlapping_rows
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.dataset import Dataset
from dgmm.data.open_dataset import as_dataset
from dgmm.events import SilentListener
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.fit import fit
from dgmm.fitting.initialisation import (
    AllRows,
    StartRequest,
    reads_all_rows,
    start,
    start_over_all_rows,
)
from dgmm.fitting.initialisation.all_rows import Block
from dgmm.fitting.initialisation.kmeans_parallel import N_READS
from dgmm.fitting.initialisation.oversampling import squared_distances
from dgmm.fitting.preparation import prepare
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.parameters import Parameters
from dgmm.random_streams import Stage, stream

if TYPE_CHECKING:
    from benchmarks.results import Results

METHODS = ("kmeans", "kmeans_parallel")
N_SEEDS = 5
#: EM ends sooner where it converges.
MAX_ITER = 100
PHOTOGRAPHS = PROJECT / "data" / "photos.zarr"


def run(results: Results) -> None:
    """Every data set with both methods."""
    with ThreadExecutor(N_THREADS) as executor:
        for name, make, k in DATA:
            data = make()
            if data is None:
                results.remark(f"{name} are not there: `make run` makes them")
                continue
            _compare(results, name, data, k, executor)


def _overlapping() -> Dataset:
    return ArrayDataset(overlapping_rows(500_000, 16, 32, seed=0, tied=False).astype(np.float32))


def _with_rare() -> Dataset:
    """Ten clusters that overlap and two of one row in 10,000 each, 12 sd beside the others."""
    rng = np.random.default_rng(5)
    X = overlapping_rows(1_000_000, 8, 10, seed=1, tied=False).astype(np.float32)
    for sign, members in ((1, slice(0, 100)), (-1, slice(100, 200))):
        X[members] = 0.3 * rng.normal(size=(100, 8)) + 12.0 * sign * np.eye(8)[abs(sign)]
    return ArrayDataset(X[rng.permutation(len(X))])


def _photographs() -> Dataset | None:
    return as_dataset(PHOTOGRAPHS) if Path(PHOTOGRAPHS).exists() else None


DATA: tuple[tuple[str, Callable[[], Dataset | None], int], ...] = (
    ("overlapping clusters, 500,000 × 16, k = 32", _overlapping, 32),
    ("two rare clusters, 1,000,000 × 8, k = 12", _with_rare, 12),
    ("photographs, k = 32", _photographs, 32),
)


@dataclass(frozen=True, slots=True)
class Started:
    """One start, and where EM went from it."""

    sum_of_squares: float
    seconds: float
    log_likelihood: float
    n_iterations: int
    fit_seconds: float


def _compare(
    results: Results, name: str, dataset: Dataset, k: int, executor: ThreadExecutor
) -> None:
    found: dict[str, list[Started]] = {method: [] for method in METHODS}
    for seed in range(N_SEEDS):
        for method in METHODS:
            settings = FitSettings(k, max_iter=MAX_ITER, method=method, seed=seed)
            found[method].append(_started(dataset, executor, settings))
    for method in METHODS:
        part, reads = f"{name}: {method}", N_READS if reads_all_rows(method) else 0
        columns = {
            "sum of squares a row": ("sum_of_squares", ""),
            "seconds of the start": ("seconds", "s"),
            "log-likelihood after EM": ("log_likelihood", "nats/row"),
            "EM iterations": ("n_iterations", ""),
            "seconds of EM": ("fit_seconds", "s"),
        }
        for what, (attribute, unit) in columns.items():
            values = [float(getattr(one, attribute)) for one in found[method]]
            note = f"{min(values):.6g} to {max(values):.6g} of {N_SEEDS} seeds"
            results.measured(part, what, median(values), unit, note=note)
        results.measured(part, "reads beside the summary's", reads, "")


def _started(dataset: Dataset, executor: ThreadExecutor, settings: FitSettings) -> Started:
    prepared = prepare(dataset, executor, settings)
    rows = AllRows(dataset, executor, prepared.standardisation, prepared.summary.n_dropped)
    begun = time.perf_counter()
    parameters = _start(prepared, rows, settings)
    seconds = time.perf_counter() - begun
    cost = rows.reduce(_CostMeasure(parameters.means), "cost")
    begun = time.perf_counter()
    given = replace(settings, method="given")
    fitted = fit(dataset, executor, given, SilentListener(), lambda _: parameters)
    return Started(
        cost.total / prepared.summary.n_kept,
        seconds,
        fitted.chosen.mean_log_likelihood,
        fitted.chosen.n_iter,
        time.perf_counter() - begun,
    )


def _start(prepared: PreparedFit, rows: AllRows, settings: FitSettings) -> Parameters:
    k, rng = settings.n_components, stream(Stage.INITIALISATION, settings.seed, 0)
    if reads_all_rows(settings.method):
        request = StartRequest(prepared.sample, prepared.family, k, prepared.regularisation, rng)
        return start_over_all_rows(settings.method, rows, [request], settings.seed, [(0,)])[0]
    return start(settings.method, prepared.sample, prepared.family, k, prepared.regularisation, rng)


@dataclass(frozen=True, slots=True)
class _Cost:
    total: float

    def merge(self, other: Self) -> Self:
        return type(self)(self.total + other.total)


@dataclass(frozen=True, slots=True, eq=False)
class _CostMeasure:
    centres: NDArray[Any]

    def __call__(self, block: Block) -> _Cost:
        return _Cost(float(squared_distances(block.rows, self.centres).sum()))
