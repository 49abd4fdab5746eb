"""EM of one candidate as a solver: a state goes in, a state comes out, and the solver is frozen.

`init` makes the state, `request` says what it asks of the next pass, `step` takes what the
pass found, and `terminate` gives the state its outcome. (The division is that of optimistix.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dgmm.fitting.em.acceleration import next_point
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.collapse import CollapseResult
from dgmm.fitting.em.convergence import is_degenerate
from dgmm.fitting.em.e_step import EStepResult
from dgmm.fitting.em.e_step_request import EStepRequest
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
        """One iteration: the E-step is accepted, the M-step taken, the next step extrapolated.

        Where the guard refuses the new parameters, the old ones come back for one pass of the
        centred kernel: `n_iter` has then not moved.
        """
        found = EStepResult.of(candidate, kernel, statistics, self.problem)
        if (without_step := self._without_m_step(found)) is not None:
            return without_step
        after = self._m_step(found)
        if found.is_extrapolated and len(after.events) > len(candidate.events):
            return _rejected(candidate)  # components are to be lost by EM itself, or not at all
        if not self.problem.guard.allows_moments(kernel, after.parameters):
            return _to_centred(found)
        return self._extrapolated(found, self.terminate(found, after))

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

    def _without_m_step(self, found: EStepResult) -> FitCandidate | None:
        """What an E-step leads to that allows no M-step; None where it does."""
        if found.is_rejected(self.problem):
            return _rejected(found.before)
        if not found.is_finite:
            return replace(found.candidate, outcome=Outcome.NON_FINITE)
        if found.has_fallen(self.problem):
            return _rolled_back(found.candidate)
        return None

    def _m_step(self, found: EStepResult) -> FitCandidate:
        """M-step, regularisation, and the policy for lost components."""
        before = found.candidate
        at, inference, policy = before.parameters, self.problem.inference, self.problem.collapse
        estimate = inference.maximise(
            *(at.family, found.statistics, before.scatter, at),
            by_weight=self.problem.counts_are_rows,
        )
        resolved = policy.resolve(
            *(estimate, before.reseeds, before.used_rows, before.n_iter + 1, before.restart),
            inference.parameters(estimate, policy.regularisation),
        )
        return _with_components(found, resolved, estimate)

    def _extrapolated(self, found: EStepResult, after: FitCandidate) -> FitCandidate:
        """Let the next pass go further than the plain step, where the cycle allows it.

        Never the last pass: if it rejected the step, nothing would be gained.
        """
        if self.problem.acceleration == "none" or after.outcome is not None:
            return after
        gain = after.history[-1] - after.history[-2] if len(after.history) > 1 else np.inf
        if found.is_extrapolated:
            return replace(after, cycle=found.before.cycle.accepted(gain))
        if not after.is_comparable or after.estimate is None:
            return replace(after, cycle=after.cycle.interrupted())
        if after.n_iter + 1 >= self.problem.max_iter:
            return after
        return self._next_point(found, after, gain)

    def _next_point(self, found: EStepResult, after: FitCandidate, gain: float) -> FitCandidate:
        """Where the next pass goes: the plain step, or beyond it."""

        def admits(parameters: Parameters) -> bool:
            """No component lost, and no change of kernel."""
            kernel, statistics = found.kernel, found.statistics
            by_weight = self.problem.counts_are_rows
            n_rows = statistics.weight if by_weight else statistics.n_rows
            counts = n_rows * parameters.weights
            allowed = self.problem.guard.allows_moments(kernel, parameters)
            if kernel.dtype == np.float32:
                allowed = self.problem.guard.allows(parameters, np.float32)
            return allowed and not self.problem.collapse.lost(parameters, counts).any()

        at, to = found.before.parameters, after.parameters
        cycle, point = next_point(after.cycle, at, to, gain, admits)
        is_comparable = not cycle.is_extrapolated
        return replace(after, parameters=point, cycle=cycle, is_comparable=is_comparable)


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
