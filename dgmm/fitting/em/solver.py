"""EM of one candidate as a solver: a state goes in, a state comes out, and the solver is frozen.

`init` makes the state, `request` says what it asks of the next pass, `step` takes what the
pass found, and `terminate` gives the state its outcome. (The division is that of optimistix.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from dgmm.fitting.em.acceleration import PlainStep, next_points
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.collapse import CollapseResult
from dgmm.fitting.em.convergence import is_degenerate
from dgmm.fitting.em.e_step import EStepResult
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.fitting.em.m_steps import MStep, m_steps
from dgmm.fitting.em.state import EMProblem, FitCandidate
from dgmm.mixture.kernels import BlockKernel, Guard, PassKernel, choose
from dgmm.mixture.marginal import MarginalKernel
from dgmm.mixture.parameters import Estimate, Parameters
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.outcome import Outcome


@dataclass(frozen=True, slots=True)
class EMSolver:
    """EM under one problem: tolerance, limits, policy, units."""

    problem: EMProblem

    def init(
        self,
        candidate_id: CandidateId,
        parameters: Parameters,
        *,
        is_given: bool = False,
        warm_objective: float | None = None,
    ) -> FitCandidate:
        """The state at a start; one that goes on from an earlier fit has done with float32."""
        begins_single = self.problem.single and warm_objective is None
        return FitCandidate(
            candidate_id,
            parameters,
            stage="single" if begins_single else "double",
            reseeds=(0,) * parameters.n_components,
            outcome=Outcome.INITIALISED if self.problem.max_iter == 0 else None,
            is_given=is_given,
            warm_objective=warm_objective,
        )

    def request(self, candidate: FitCandidate) -> EStepRequest:
        """What the candidate asks of the next pass."""
        problem = self.problem
        return EStepRequest(
            self.kernel(candidate), problem.standardisation, problem.rows, problem.backend
        )

    def kernel(self, candidate: FitCandidate) -> BlockKernel | MarginalKernel:
        """The fastest kernel that guard and stage allow; the last iteration is never single."""
        guard = self.problem.guard
        parameters = self.problem.inference.scored(candidate.parameters)
        if candidate.stage == "centred":
            guard = Guard(float("inf"))
        single = candidate.stage == "single" and candidate.n_iter + 1 < self.problem.max_iter
        single = single and guard.allows(parameters, np.float32)
        if self.problem.marginalises:
            return MarginalKernel.of(parameters, guard, single=single)
        # Of float32 rows it is good enough for float32 passes, and taken anew for float64.
        was_single = candidate.kernel.endswith("float32")
        is_stale = candidate.scatter is None or (was_single and not single)
        return choose(parameters, guard, single=single, with_scatter=is_stale)

    def step(
        self, candidate: FitCandidate, kernel: PassKernel, statistics: Statistics
    ) -> FitCandidate:
        """One iteration (`advance`)."""
        return advance([self], [candidate], [kernel], [statistics])[0]

    def e_step(
        self, candidate: FitCandidate, kernel: PassKernel, statistics: Statistics
    ) -> EStepResult:
        """What a pass found of the candidate."""
        return EStepResult.of(candidate, kernel, statistics, self.problem)

    def moved(self, found: EStepResult, step: MStep) -> tuple[FitCandidate, PlainStep | None]:
        """One iteration later; with a plain step whose end the next pass may go beyond, if any.

        Where the guard refuses the new parameters, the old ones come back for one pass of the
        centred kernel: `n_iter` has then not moved.
        """
        after, candidate = self._resolved(found, step), found.before
        if found.is_extrapolated and len(after.events) > len(candidate.events):
            # Components are to be lost by EM itself, or not at all.
            return _rejected(candidate), None
        if not self.problem.guard.allows_moments(found.kernel, after.parameters):
            return _to_centred(found), None
        return self._in_cycle(found, self.terminate(found, after))

    def terminate(self, found: EStepResult, after: FitCandidate) -> FitCandidate:
        """The state with its outcome where there is one; a float32 stage hands on to float64."""
        converged = after.is_comparable and found.has_converged(self.problem)
        if converged and found.kernel.dtype == np.float32:
            return replace(after, stage="double", is_comparable=False)
        if not converged and after.n_iter < self.problem.max_iter:
            return after
        outcome, entropy = self._outcome(after, converged=converged), found.entropy(self.problem)
        return replace(after, outcome=outcome, entropy=entropy)

    def _outcome(self, candidate: FitCandidate, *, converged: bool) -> Outcome:
        if candidate.is_variance_floored:
            return Outcome.COMPONENT_COLLAPSED
        if not converged:
            return Outcome.MAX_ITER_REACHED
        degenerate = is_degenerate(candidate, self.problem.tol)
        return Outcome.DEGENERATE_START if degenerate else Outcome.CONVERGED

    def without_m_step(self, found: EStepResult) -> FitCandidate | None:
        """What an E-step leads to that allows no M-step; None where it does."""
        if found.is_rejected(self.problem):
            return _rejected(found.before)
        if not found.is_finite:
            return replace(found.candidate, outcome=Outcome.NON_FINITE)
        if found.has_fallen(self.problem):
            return _rolled_back(found.candidate)
        return None

    def _resolved(self, found: EStepResult, step: MStep) -> FitCandidate:
        """The M-step with the policy for lost components."""
        before, (estimate, parameters) = found.candidate, step
        resolved = self.problem.collapse.resolve(
            *(estimate, before.reseeds, before.used_rows, before.n_iter + 1, before.restart),
            parameters,
        )
        return _with_components(found, resolved, estimate)

    def _in_cycle(
        self, found: EStepResult, after: FitCandidate
    ) -> tuple[FitCandidate, PlainStep | None]:
        """The candidate where its cycle stands now, and the plain step that the cycle goes on with.

        None before the last pass: if that rejected the next step, nothing would be gained.
        """
        if self.problem.acceleration == "none" or after.outcome is not None:
            return after, None
        gain = after.history[-1] - after.history[-2] if len(after.history) > 1 else np.inf
        if found.is_extrapolated:
            return replace(after, cycle=found.before.cycle.accepted(gain)), None
        if not after.is_comparable or after.estimate is None:
            return replace(after, cycle=after.cycle.interrupted()), None
        if after.n_iter + 1 >= self.problem.max_iter:
            return after, None
        at, admits = found.before.parameters, partial(self._admits, found)
        return after, PlainStep(after.cycle, at, after.parameters, gain, admits)

    def _admits(self, found: EStepResult, parameters: Parameters) -> bool:
        """Whether they lose no component, and change no kernel."""
        kernel, statistics, problem = found.kernel, found.statistics, self.problem
        n_rows = statistics.weight if problem.counts_are_rows else statistics.n_rows
        allowed = problem.guard.allows_moments(kernel, parameters)
        if kernel.dtype == np.float32:
            allowed = problem.guard.allows(parameters, np.float32)
        return allowed and not problem.collapse.lost(parameters, n_rows * parameters.weights).any()


def advance(
    solvers: Sequence[EMSolver],
    candidates: Sequence[FitCandidate],
    kernels: Sequence[PassKernel],
    statistics: Sequence[Statistics],
) -> list[FitCandidate]:
    """One iteration of each candidate, whose bits are those that it has alone.

    The E-step is accepted, the M-step taken, the next step extrapolated.

    Parameters
    ----------
    solvers, candidates
        Each candidate, and the solver of its fit.
    kernels, statistics
        What was applied to the rows, and what the pass found.
    """
    seen = zip(solvers, candidates, kernels, statistics, strict=True)
    found = [solver.e_step(c, kernel, own) for solver, c, kernel, own in seen]
    ended = [s.without_m_step(f) for s, f in zip(solvers, found, strict=True)]
    after = [f.candidate if e is None else e for f, e in zip(found, ended, strict=True)]
    moving = [i for i, one in enumerate(ended) if one is None]
    steps = m_steps([found[i] for i in moving], [solvers[i].problem for i in moving])
    plain: dict[int, PlainStep] = {}
    for i, step in zip(moving, steps, strict=True):
        after[i], further = solvers[i].moved(found[i], step)
        if further is not None:
            plain[i] = further
    for i, (cycle, point) in zip(plain, next_points(list(plain.values())), strict=True):
        is_comparable = not cycle.is_extrapolated
        after[i] = replace(after[i], parameters=point, cycle=cycle, is_comparable=is_comparable)
    return after


def _with_components(
    found: EStepResult, resolved: CollapseResult, estimate: Estimate
) -> FitCandidate:
    """One iteration later: the objective found, the parameters that the collapse policy gave."""
    before, floored = found.candidate, resolved.is_variance_floored
    moved = bool(resolved.events) and not floored
    events = () if floored and before.is_variance_floored else resolved.events
    return replace(
        before,
        n_iter=before.n_iter + 1,
        history=(*before.history, found.objective),
        last_log_likelihood=found.mean_log_likelihood,
        previous=before.parameters,
        parameters=resolved.parameters,
        estimate=None if resolved.events else estimate,
        reseeds=resolved.reseeds,
        used_rows=resolved.used_rows,
        events=(*before.events, *events),
        is_variance_floored=floored,
        is_comparable=not moved,
    )


def _rejected(candidate: FitCandidate) -> FitCandidate:
    """Back to where plain steps had led, one pass later."""
    return replace(
        candidate,
        parameters=candidate.cycle.fallback or candidate.parameters,
        cycle=candidate.cycle.rejected(),
        is_comparable=True,
        n_iter=candidate.n_iter + 1,
    )


def _rolled_back(candidate: FitCandidate) -> FitCandidate:
    """The parameters before the objective fell."""
    before = candidate.previous or candidate.parameters
    return replace(candidate, parameters=before, outcome=Outcome.LOG_LIKELIHOOD_DECREASED)


def _to_centred(found: EStepResult) -> FitCandidate:
    """The same parameters for one pass of the centred kernel.

    A component has tightened beyond what products can hold: its covariance is rounding.
    """
    cycle = found.before.cycle.interrupted()
    return replace(found.candidate, stage="centred", is_comparable=False, cycle=cycle)
