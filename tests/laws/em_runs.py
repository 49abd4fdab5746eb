"""EM over rows in memory, to state laws about whole iterations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from mixtures import Array, Scene

from dgmm.data.standardisation import Standardisation
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.collapse import CollapsePolicy
from dgmm.fitting.em.data_pass import PassStatistics
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.mixture.kernels import CentredKernel, Guard, Kernel, Workspace, e_step
from dgmm.mixture.parameters import Parameters
from dgmm.mixture.sufficient_statistics import Statistics


def one_pass(kernel: Kernel, Y: Array) -> Statistics:
    """Statistics of rows Y (d, n) in the kernel's dtype."""
    return e_step([kernel], Y.astype(kernel.dtype), Workspace())[0]


def centred(parameters: Parameters) -> Kernel:
    """The centred kernel of a mixture."""
    return CentredKernel.of(parameters)


class InMemory:
    """An data_pass over rows Y (d, n) in one piece."""

    def __init__(self, Y: Array) -> None:
        self._Y = Y

    def __call__(self, requests: Sequence[EStepRequest]) -> PassStatistics:
        statistics = tuple(one_pass(request.kernel, self._Y) for request in requests)
        return PassStatistics(self._Y.shape[1], 0, statistics)


def problem(
    Y: Array,
    *,
    max_iter: int = 50,
    tol: float = 1e-9,
    regularisation: float = 0.0,
    on_collapse: Any = "reseed",
) -> em.EMProblem:
    """Conditions of a fit to rows Y (d, n)."""
    added = np.full(len(Y), regularisation)
    policy = CollapsePolicy(on_collapse, np.ascontiguousarray(Y.T), added)
    guard = Guard.of_range(Y.min(axis=1), Y.max(axis=1))
    units = Standardisation.identity(len(Y))
    return em.EMProblem(
        tol=tol, max_iter=max_iter, collapse=policy, guard=guard, standardisation=units
    )


def fit(
    parameters: Parameters, Y: Array, settings: em.EMProblem, *, centred: bool = False
) -> em.FitCandidate:
    """One candidate's run to its outcome."""
    if centred:
        settings = replace(settings, guard=Guard(float("inf")))
    candidate = em.EMSolver(settings).init(em.CandidateId(), parameters)
    return em.run((candidate,), InMemory(Y), settings)[0]


def em_step(scene: Scene, *, centred: bool = False) -> em.FitCandidate:
    """One iteration without regularisation."""
    settings = problem(scene.Y, max_iter=1)
    return fit(scene.parameters, scene.Y, settings, centred=centred)
