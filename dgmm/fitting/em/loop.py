"""Expectation-maximisation: one loop over a tuple of candidates, each a value until its outcome.

One pass over the data feeds all candidates; their results are those of each candidate's run alone.
Progress, logs and checkpoints listen to the loop; it knows none of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from dgmm.fitting.em.acceleration import Step
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.data_pass import PassStatistics
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.fitting.em.solver import EMSolver, advance
from dgmm.fitting.em.state import EMProblem, FitCandidate, Iteration
from dgmm.mixture.kernels import PassKernel
from dgmm.outcome import Outcome

DataPass = Callable[[tuple[EStepRequest, ...]], PassStatistics]
#: One problem for all candidates, or one for each.
Problems = EMProblem | Mapping[CandidateId, EMProblem]
Listen = Callable[[FitCandidate, Iteration], None]


def run(
    candidates: tuple[FitCandidate, ...],
    data_pass: DataPass,
    problem: Problems,
    listen: Listen | None = None,
    save: Callable[[tuple[FitCandidate, ...]], None] = lambda _candidates: None,
    screen: Callable[[tuple[FitCandidate, ...]], tuple[FitCandidate, ...]] = lambda candidates: (
        candidates
    ),
) -> tuple[FitCandidate, ...]:
    """Advance all candidates to their outcomes.

    Parameters
    ----------
    candidates
        Starts; their places do not matter, their restarts and names do.
    data_pass
        One pass over all rows: a request of each candidate to its statistics.
    problem
        Tolerance, limits, policy, units; by candidate where they differ.
    listen
        Called after each iteration of each candidate, where there is one.
    save
        Given all candidates after each pass: what a run that was killed can go on from.
    screen
        Which candidates go on after a pass: a function of the candidates alone.
    """
    while any(c.outcome is None for c in candidates):
        active = tuple(c for c in candidates if c.outcome is None)
        solvers = tuple(_solver(problem, c) for c in active)
        requests = tuple(solver.request(c) for solver, c in zip(solvers, active, strict=True))
        begun = time.perf_counter()
        total = data_pass(requests)
        seconds = time.perf_counter() - begun
        used = " and ".join(sorted(total.backend))
        kernels = [request.kernel for request in requests]
        advanced = advance(solvers, active, kernels, total.candidates)
        if listen is not None:
            heard = zip(solvers, active, advanced, kernels, total.candidates, strict=True)
            for solver, c, new, kernel, statistics in heard:
                if new.n_iter > c.n_iter or new.outcome is not None:
                    record = _record(c, new, kernel, statistics.n_rows)
                    own = new.objective if solver.problem.inference.is_bounded else None
                    listen(new, replace(record, seconds=seconds, backend=used, objective=own))
        moved = iter(advanced)
        candidates = screen(tuple(next(moved) if c.outcome is None else c for c in candidates))
        save(candidates)
    return candidates


def _solver(problem: Problems, candidate: FitCandidate) -> EMSolver:
    return EMSolver(problem if isinstance(problem, EMProblem) else problem[candidate.id])


def is_sound(outcome: Outcome) -> bool:
    """Whether a candidate did not run into trouble on its way to that outcome."""
    return outcome not in {Outcome.DEGENERATE_START, Outcome.COMPONENT_COLLAPSED}


def best(candidates: tuple[FitCandidate, ...], n_rows: float = np.inf) -> FitCandidate:
    """The usable candidate of highest objective; the earlier restart where equal.

    Candidates that ran into trouble (degenerate, collapsed) stand behind all others, and before
    them those with a component of fewer rows, of `n_rows`, than its covariance needs.
    """

    def rank(c: FitCandidate) -> tuple[bool, bool, bool, float, int]:
        outcome = c.outcome or Outcome.MAX_ITER_REACHED
        has_rows = c.parameters.supports_covariances(n_rows)
        return (outcome.is_usable, is_sound(outcome), has_rows, c.objective, -c.restart)

    return max(candidates, key=rank)


def _record(before: FitCandidate, after: FitCandidate, kernel: PassKernel, rows: int) -> Iteration:
    change = after.objective - before.objective
    step = _step(before, after)
    return Iteration(
        iteration=after.n_iter,
        restart=after.restart,
        start=after.start,
        mean_log_likelihood=after.mean_log_likelihood,
        change=change if before.history and step != "rejected" else float("nan"),
        kernel=kernel.name,
        dtype=str(kernel.dtype),
        rows=rows,
        step=step,
    )


def _step(before: FitCandidate, after: FitCandidate) -> Step:
    """How the parameters of a pass came about, and what became of them."""
    if not before.cycle.is_extrapolated:
        return "plain"
    return "accelerated" if len(after.history) > len(before.history) else "rejected"
