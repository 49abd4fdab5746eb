"""dgmm's side of a pass: one EM iteration at a time, from a start that both sides share."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from benchmarks.measuring import N_THREADS
from benchmarks.mixtures import Mixture
from dgmm.data.array_dataset import ArrayDataset
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.data_pass import EStepRunner, PassStatistics
from dgmm.fitting.em.solver import EMSolver
from dgmm.fitting.em.state import FitCandidate, Iteration
from dgmm.fitting.preparation import prepare
from dgmm.fitting.settings import FitSettings
from dgmm.fitting.start_arrays import with_arrays
from dgmm.mixture.kernels import Guard, Kernel
from dgmm.model.mixture_model import MixtureModel


class _EnoughError(Exception):
    """Ends EM after its first iteration."""


class OurEM:
    """EM of dgmm's own loop, held up after every iteration.

    Parameters
    ----------
    X : (n, d)
        Rows; float32 rows are worked on in float32 tiles, as early passes of a fit are. A fit's
        guard may be stricter, and take float64: see `guard_allows`. Here the likelihoods that both
        sides arrive at are compared instead.
    start
        Where EM begins.
    backend
        What computes, by its name; else what a fit would choose.
    n_threads
        That passes run on.

    Attributes
    ----------
    n_iterations : int
        M-steps so far.
    kernel : str
        What the last pass ran on: `product-float64`.
    backend : str
        What computed it: `numba` or `numpy`.
    pass_s : float
        Seconds of the last pass over the rows, without the M-step.
    """

    def __init__(
        self,
        X: NDArray[Any],
        start: Mixture,
        backend: str | None = None,
        n_threads: int = N_THREADS,
    ) -> None:
        k = len(start.weights)
        settings = FitSettings(
            k, start.covariance_type, tol=0.0, reg_covar_relative=0.0, acceleration="none"
        )
        self._dataset = ArrayDataset(X)
        self._executor = ThreadExecutor(n_threads, caller_computes=True)  # as the estimator
        prepared = prepare(self._dataset, self._executor, settings)
        self._standardisation = prepared.standardisation
        self.backend = backend or prepared.backend
        self._pass = EStepRunner(self._dataset, self._executor, self.backend)
        self._guard, open_guard = prepared.problem.guard, Guard(0.0)
        self._problem = replace(prepared.problem, max_iter=10**9, guard=open_guard)
        parameters = with_arrays(
            None,
            prepared.standardisation,
            prepared.family,
            k,
            weights=start.weights / start.weights.sum(),  # float32 weights may miss 1 by 1e-8
            means=start.means,
            precisions=start.precisions,
        )
        self._candidate = EMSolver(self._problem).init(CandidateId(), parameters)
        self.n_iterations = 0
        self.kernel, self.pass_s = "", 0.0

    def step(self, times: int = 1) -> list[float]:
        """Do the next iteration `times` times, and stay where we are; seconds of each."""
        return [self._one()[0] for _ in range(times)]

    def passes(self, times: int = 1) -> list[float]:
        """The same; seconds of their passes alone."""
        taken = []
        for _ in range(times):
            self._one()
            taken.append(self.pass_s)
        return taken

    def catch_up(self, n_iterations: int) -> None:
        """Go on to where so many iterations lead."""
        while self.n_iterations < n_iterations:
            self._candidate = self._one()[1]
            self.n_iterations += 1

    def guard_allows(self) -> bool:
        """Whether a fit would take this kernel for the next pass."""
        return self._guard.allows(self._candidate.parameters, self.kernel.split("-")[1])

    def mixture(self) -> Mixture:
        """The parameters now, in the data's units."""
        p = self._candidate.parameters
        model = MixtureModel(p, self._standardisation, self._dataset.feature_names)
        return Mixture(p.family.name, model.weights, model.means, model.covariances)

    def close(self) -> None:
        """Stop the threads."""
        self._executor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _one(self) -> tuple[float, FitCandidate]:
        """The seconds of one iteration, E-step, M-step and choice of kernel, and where it led."""
        heard: list[tuple[float, FitCandidate, Iteration]] = []

        def data_pass(kernels: tuple[Kernel, ...]) -> PassStatistics:
            if heard:
                raise _EnoughError
            at = time.perf_counter()
            found = self._pass(kernels)
            self.pass_s = time.perf_counter() - at
            return found

        def listen(candidate: FitCandidate, iteration: Iteration) -> None:
            heard.append((time.perf_counter(), candidate, iteration))

        begun = time.perf_counter()
        with contextlib.suppress(_EnoughError):
            em.run((self._candidate,), data_pass, self._problem, listen)
        ended, candidate, iteration = heard[0]
        if candidate.outcome is not None or candidate.events:
            raise RuntimeError(f"EM of dgmm ended early: {candidate.outcome}, {candidate.events}")
        self.kernel = f"{iteration.kernel}-{iteration.dtype}"
        # Convergence hands a float32 stage on to float64; a benchmark of float32 stays there.
        candidate = replace(candidate, stage="single" if self._problem.single else "double")
        return ended - begun, candidate
