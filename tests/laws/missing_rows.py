"""Rows with missing values, and passes over them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import em_runs
import numpy as np
from mixtures import Array

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.data_pass import EStepTask, PassStatistics
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.fitting.em.standardised_rows import StandardisedRows
from dgmm.mixture.backends import compiled_backend, get
from dgmm.mixture.kernels import Guard, Workspace
from dgmm.mixture.marginal import MarginalKernel, PreparedParts, marginal_e_step
from dgmm.mixture.parameters import Parameters
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.reduction.map_reduce import map_reduce

BACKENDS = ["numpy", *(["numba"] if compiled_backend() is not None else [])]
KERNELS = {
    "product": lambda p: MarginalKernel.of(p, Guard(1.0)),
    "centred": lambda p: MarginalKernel.of(p, Guard(float("inf"))),
}


def with_gaps(Y: Array, share: float, seed: int = 0) -> Array:
    """Rows Y (d, n) that lack that share of their values at random; one of each row stays."""
    d, n = Y.shape
    rng = np.random.default_rng([seed, 99])
    gone = rng.uniform(size=Y.shape) < share
    gone[rng.integers(d, size=n), np.arange(n)] = False
    return np.where(gone, np.nan, Y)


def one_pass(
    kernel: MarginalKernel,
    Y: Array,
    backend: str = "numpy",
    weights: Array | None = None,
    units: Standardisation | None = None,
) -> Statistics:
    """Statistics of one block of rows Y (d, n)."""
    workspace = Workspace(get(backend))
    identity = Standardisation.identity(len(Y)) if units is None else units

    def columns(rows: Any, features: Any) -> StandardisedRows:
        own = identity if features is None else identity.of_features(features)
        return StandardisedRows.of(rows, own, kernel.dtype, workspace)

    rows = np.ascontiguousarray(Y.T)
    return marginal_e_step([kernel], rows, weights, columns, workspace, PreparedParts())[0]


class Passes:
    """An EM data pass over rows Y (d, n), in blocks, by some workers."""

    def __init__(
        self,
        Y: Array,
        executor: ThreadExecutor,
        *,
        backend: str = "numpy",
        weights: Array | None = None,
    ) -> None:
        self._dataset = ArrayDataset(np.ascontiguousarray(Y.T), weights=weights)
        self._backend, self._executor = backend, executor

    def __call__(self, requests: tuple[EStepRequest, ...]) -> PassStatistics:
        task = EStepTask(self._dataset, requests, self._backend, MissingPolicy.MARGINALISE)
        return map_reduce(self._executor, task, self._dataset.grid.n_blocks)


def problem(Y: Array, **options: Any) -> em.EMProblem:
    """Conditions of a fit to rows Y (d, n) that lack values."""
    filled = np.where(np.isnan(Y), np.nanmean(Y, axis=1)[:, None], Y)
    guard = Guard.of_range(np.nanmin(Y, axis=1), np.nanmax(Y, axis=1))
    return replace(em_runs.problem(filled, **options), guard=guard, marginalises=True)


def fit(
    p: Parameters, Y: Array, settings: em.EMProblem, *, centred: bool = False, **passes: Any
) -> em.FitCandidate:
    """One candidate's run to its outcome."""
    if centred:
        settings = replace(settings, guard=Guard(float("inf")))
    candidate = em.EMSolver(settings).init(em.CandidateId(), p)
    with ThreadExecutor(1) as executor:
        return em.run((candidate,), Passes(Y, executor, **passes), settings)[0]
