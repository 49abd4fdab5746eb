"""A pass that several models share, × the passes of each alone: rows in Zarr, nothing kept.

One read feeds all models of a sweep, so that a shared pass saves reads and decoding; arithmetic is
each model's own. Both sides run alternately on two threads; a figure is the median ratio of pairs.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import zarr

from benchmarks.measuring import N_THREADS, alternate, ratio_of_pairs, seconds
from benchmarks.mixtures import clustered_rows
from benchmarks.results import Results
from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.data.zarr.dataset import open_zarr
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em.data_pass import EStepTask
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.mixture.covariance import family_named
from dgmm.mixture.kernels import Guard, choose
from dgmm.mixture.parameters import Parameters
from dgmm.reduction.map_reduce import map_reduce

N_ROWS, N_FEATURES, ROWS_OF_A_CHUNK = 400_000, 16, 32_768
_BUDGET_S = 40.0


@dataclass(frozen=True, slots=True)
class Case:
    """Models (family, k) that one read feeds, and the share of their own passes it may take."""

    name: str
    models: tuple[tuple[str, int], ...]
    goal: float


CASES = (
    Case("16 spherical, k = 1 to 16", tuple(("spherical", k) for k in range(1, 17)), 0.40),
    Case("16 diag, k = 1 to 16", tuple(("diag", k) for k in range(1, 17)), 0.40),
    Case(
        "4 families × k = 1, 2, 3, 4",
        tuple((f, k) for f in ("full", "tied", "diag", "spherical") for k in (1, 2, 3, 4)),
        0.40,
    ),
    Case("4 full, k = 64: compute dominates", (("full", 64),) * 4, 1.02),
)


def run(results: Results) -> None:
    """Every case."""
    n = 4 * ROWS_OF_A_CHUNK if results.is_trial else N_ROWS
    X, _ = clustered_rows(n, N_FEATURES, 8)
    with tempfile.TemporaryDirectory() as folder, ThreadExecutor(N_THREADS) as executor:
        path = Path(folder) / "rows.zarr"
        array = zarr.create_array(
            store=str(path), shape=X.shape, dtype="f4", chunks=(ROWS_OF_A_CHUNK, N_FEATURES)
        )
        array[...] = X
        dataset = open_zarr(str(path))
        for case in CASES:
            _compare(case, dataset, executor, results)


def _compare(case: Case, dataset: Dataset, executor: ThreadExecutor, results: Results) -> None:
    requests = tuple(_request(*model) for model in case.models)

    def passed(chosen: tuple[EStepRequest, ...]) -> None:
        task = EStepTask(dataset, chosen, "numba", MissingPolicy.NONE_MISSING)
        total = map_reduce(executor, task, dataset.grid.n_blocks)
        if total.n_read != dataset.n_samples:
            raise RuntimeError(f"read {total.n_read} rows of {dataset.n_samples}")

    def together() -> list[float]:
        return [seconds(partial(passed, requests))]

    def one_by_one() -> list[float]:
        return [sum(seconds(partial(passed, (request,))) for request in requests)]

    together()
    budget, least = (0.0, 1) if results.is_trial else (_BUDGET_S, 5)
    shared, alone = alternate([together, one_by_one], budget=budget, least=least)
    ratio = ratio_of_pairs(shared, alone)
    detail = {"together_s": shared, "one_by_one_s": alone}
    results.measured(
        f"{N_ROWS:,} × {N_FEATURES} float32", case.name, ratio, "×",
        goal=case.goal, at_least=False, detail=detail,
    )  # fmt: skip


def _request(family_name: str, k: int) -> EStepRequest:
    """In float64, as EM ends."""
    guard = Guard.of_range(np.full(N_FEATURES, -8.0), np.full(N_FEATURES, 8.0))
    kernel = choose(parameters(family_name, k), guard, with_scatter=False)
    return EStepRequest(kernel, Standardisation.identity(N_FEATURES))


def parameters(family_name: str, k: int) -> Parameters:
    """Components of unit size; where they lie does not matter to time."""
    family, rng = family_named(family_name), np.random.default_rng(k)
    shape = family.covariance_shape(k, N_FEATURES)
    # Of one component: the variances of k = 16 have a matrix's shape as well.
    is_matrix = family.covariance_shape(1, N_FEATURES)[-2:] == (N_FEATURES, N_FEATURES)
    one = np.eye(N_FEATURES) if is_matrix else np.ones(shape[-1:])
    covariances = np.array(np.broadcast_to(one, shape))
    means = rng.normal(size=(k, N_FEATURES))
    return Parameters.of(family, np.full(k, 1.0 / k), means, covariances)
