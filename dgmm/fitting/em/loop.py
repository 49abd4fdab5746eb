"""Expectation-maximisation: one loop over a tuple of candidates, each a value until its outcome.

One pass over the data feeds all candidates; their results are those of each candidate's run alone.
Progress, logs and checkpoints listen to the loop; it knows none of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dgmm.fitting.em.acceleration import Step, next_point
from dgmm.fitting.em.collapse import lost_components
from dgmm.fitting.em.convergence import has_converged, has_fallen, is_accepted, is_degenerate
from dgmm.fitting.em.data_pass import PassStatistics
from dgmm.fitting.em.state import EMProblem, FitCandidate, Iteration
from dgmm.mixture.kernels import Guard, Kernel, choose
from dgmm.mixture.parameters import Parameters, m_step
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.outcome import Outcome

Expectation = Callable[[tuple[Kernel, ...]], PassStatistics]
Listen = Callable[[FitCandidate, Iteration], None]


def run(
    candidates: tuple[FitCandidate, ...],
    expectation: Expectation,
    problem: EMProblem,
    listen: Listen = lambda _candidate, _iteration: None,
    keep: Callable[[tuple[FitCandidate, ...]], None] = lambda _candidates: None,
    screen: Callable[[tuple[FitCandidate, ...]], tuple[FitCandidate, ...]] = lambda candidates: (
        candidates
    ),
) -> tuple[FitCandidate, ...]:
    """Advance all candidates to their outcomes.

    Parameters
    ----------
    candidates
        Starts; their places do not matter, their restarts and names do.
    expectation
        One pass over all rows: kernels to their statistics.
    problem
        Tolerance, limits, policy.
    listen
        Called after each iteration of each candidate.
    keep
        Given all candidates after each pass: what a run that was killed can go on from.
    screen
        Which candidates go on after a pass: a function of the candidates alone.
    """
    while any(c.outcome is None for c in candidates):
        active = tuple(c for c in candidates if c.outcome is None)
        kernels = tuple(_kernel(c, problem) for c in active)
        begun = time.perf_counter()
        total = expectation(kernels)
        seconds = time.perf_counter() - begun
        used = " and ".join(sorted(total.backend))
        advanced = []
        for c, kernel, statistics in zip(active, kernels, total.candidates, strict=True):
            new = advance(c, kernel, statistics, problem)
            advanced.append(new)
            if new.n_iter > c.n_iter or new.outcome is not None:
                record = _record(c, new, kernel, statistics.n_rows)
                listen(new, replace(record, seconds=seconds, backend=used))
        moved = iter(advanced)
        candidates = screen(tuple(next(moved) if c.outcome is None else c for c in candidates))
        keep(candidates)
    return candidates


def best(candidates: tuple[FitCandidate, ...], n_rows: float = np.inf) -> FitCandidate:
    """The usable candidate of highest mean log-likelihood; the earlier restart where equal.

    Candidates that ran into trouble (degenerate, collapsed) stand behind all others, and before
    them those with a component of fewer rows, of `n_rows`, than its covariance needs.
    """

    def rank(c: FitCandidate) -> tuple[bool, bool, bool, float, int]:
        outcome = c.outcome or Outcome.MAX_ITER_REACHED
        sound = outcome not in {Outcome.DEGENERATE_START, Outcome.COMPONENT_COLLAPSED}
        has_rows = c.parameters.supports_covariances(n_rows)
        return (outcome.is_usable, sound, has_rows, c.mean_log_likelihood, -c.restart)

    return max(candidates, key=rank)


def _kernel(candidate: FitCandidate, problem: EMProblem) -> Kernel:
    """The fastest kernel that guard and stage allow; the last iteration is never single."""
    if candidate.stage == "centred":
        return choose(candidate.parameters, Guard(float("inf")))
    single = candidate.stage == "single" and candidate.n_iter + 1 < problem.max_iter
    single = single and problem.guard.allows(candidate.parameters, np.float32)
    # Of float32 rows it is good enough for float32 passes, and taken anew for float64.
    was_single = candidate.kernel.endswith("float32")
    is_stale = candidate.scatter is None or (was_single and not single)
    return choose(candidate.parameters, problem.guard, single=single, with_scatter=is_stale)


def advance(
    candidate: FitCandidate, kernel: Kernel, statistics: Statistics, problem: EMProblem
) -> FitCandidate:
    """One iteration: judge the E-step, then take the M-step.

    Where the guard refuses the new parameters, the old ones come back for a pass of the centred
    kernel: `n_iter` has then not moved.
    """
    origin, candidate = candidate, _with_kernel(candidate, kernel, statistics)
    mean = _mean_log_likelihood(candidate, kernel, statistics) - problem.log_volume
    extrapolated = origin.cycle.is_extrapolated
    if extrapolated and not is_accepted(origin, mean, kernel, problem):
        return _rejected(origin)
    if not np.isfinite(mean):
        return replace(candidate, outcome=Outcome.NON_FINITE)
    if has_fallen(candidate, mean, kernel, problem):
        return _rolled_back(candidate)
    converged = has_converged(candidate, mean, kernel, problem)
    before = candidate
    history = (*candidate.history, mean)
    candidate = replace(candidate, history=history, is_comparable=True)
    candidate = _m_step(candidate, statistics, problem)
    if extrapolated and len(candidate.events) > len(before.events):
        return _rejected(origin)  # components are to be lost by EM itself, or not at all
    if not kernel.is_exact and not problem.guard.allows(candidate.parameters):
        # A component has tightened beyond what products can hold: its covariance is rounding.
        cycle = origin.cycle.interrupted()
        return replace(before, stage="centred", is_comparable=False, cycle=cycle)
    candidate = _with_outcome(candidate, converged and candidate.is_comparable, kernel, problem)
    return _accelerated(origin, candidate, kernel, statistics.weight, problem)


def _with_kernel(candidate: FitCandidate, kernel: Kernel, statistics: Statistics) -> FitCandidate:
    """Note the kernel (a change starts the comparison anew) and, once known, the total scatter."""
    label = f"{kernel.name}-{kernel.dtype}"
    stage = candidate.stage
    if kernel.is_exact:
        stage = "centred"
    elif kernel.dtype == np.float64:
        stage = "double"
    scatter = candidate.scatter
    if kernel.reference is None and statistics.scatter is not None:
        scatter = statistics.scatter
    same = label == candidate.kernel
    return replace(
        candidate,
        kernel=label,
        stage=stage,
        scatter=scatter,
        is_comparable=candidate.is_comparable and same,
        cycle=candidate.cycle if same else candidate.cycle.interrupted(),
    )


def _mean_log_likelihood(candidate: FitCandidate, kernel: Kernel, statistics: Statistics) -> float:
    """Nats per row, standardised, with the term −½ tr(ΛT) that the kernel may leave out."""
    total = statistics.log_likelihood
    if not kernel.is_complete:
        if candidate.scatter is None:
            raise RuntimeError("the scatter is not known")
        p = candidate.parameters
        total += p.family.pooled_log_prob(p.precisions_cholesky, candidate.scatter, p.n_features)
    return total / statistics.weight


def _rejected(candidate: FitCandidate) -> FitCandidate:
    """Back to where plain steps had led, one pass poorer."""
    return replace(
        candidate,
        parameters=candidate.cycle.fallback or candidate.parameters,
        cycle=candidate.cycle.rejected(),
        is_comparable=True,
        n_iter=candidate.n_iter + 1,
    )


def _accelerated(
    before: FitCandidate, after: FitCandidate, kernel: Kernel, n_rows: float, problem: EMProblem
) -> FitCandidate:
    """Let the next pass go further than the plain step, where the cycle allows it.

    Never the last pass: if it rejected the step, nothing would be gained.
    """
    if problem.acceleration == "none" or after.outcome is not None:
        return after
    gain = after.history[-1] - after.history[-2] if len(after.history) > 1 else np.inf
    if before.cycle.is_extrapolated:
        return replace(after, cycle=before.cycle.accepted(gain))
    if not after.is_comparable or after.estimate is None:
        return replace(after, cycle=after.cycle.interrupted())
    if after.n_iter + 1 >= problem.max_iter:
        return after

    def admits(parameters: Parameters) -> bool:
        """No component lost, and no change of kernel."""
        allowed = kernel.is_exact or problem.guard.allows(parameters, kernel.dtype)
        return allowed and not lost_components(parameters, n_rows * parameters.weights).any()

    cycle, point = next_point(after.cycle, before.parameters, after.parameters, gain, admits)
    comparable = not cycle.is_extrapolated
    return replace(after, parameters=point, cycle=cycle, is_comparable=comparable)


def _rolled_back(candidate: FitCandidate) -> FitCandidate:
    """The parameters before the fall."""
    kept = candidate.previous or candidate.parameters
    return replace(candidate, parameters=kept, outcome=Outcome.LOG_LIKELIHOOD_DECREASED)


def _m_step(candidate: FitCandidate, statistics: Statistics, problem: EMProblem) -> FitCandidate:
    """M-step, regularisation, and the policy for lost components."""
    policy = problem.collapse
    estimate = m_step(candidate.parameters.family, statistics, candidate.scatter)
    n_iter = candidate.n_iter + 1
    resolved = policy.resolve(
        estimate, candidate.reseeds, candidate.used_rows, n_iter, candidate.restart
    )
    moved = bool(resolved.events) and not resolved.is_variance_floored
    events = (
        () if resolved.is_variance_floored and candidate.is_variance_floored else resolved.events
    )
    return replace(
        candidate,
        n_iter=n_iter,
        previous=candidate.parameters,
        parameters=resolved.parameters,
        reseeds=resolved.reseeds,
        used_rows=resolved.used_rows,
        events=(*candidate.events, *events),
        is_variance_floored=resolved.is_variance_floored,
        estimate=None if resolved.events else estimate,
        is_comparable=candidate.is_comparable and not moved,
    )


def _with_outcome(
    candidate: FitCandidate, converged: bool, kernel: Kernel, problem: EMProblem
) -> FitCandidate:
    """Set the outcome where there is one; a float32 stage only hands on to float64."""
    if converged and kernel.dtype == np.float32:
        return replace(candidate, stage="double", is_comparable=False)
    if not converged and candidate.n_iter < problem.max_iter:
        return candidate
    if candidate.is_variance_floored:
        return replace(candidate, outcome=Outcome.COMPONENT_COLLAPSED)
    if not converged:
        return replace(candidate, outcome=Outcome.MAX_ITER_REACHED)
    degenerate = is_degenerate(candidate, problem.tol)
    outcome = Outcome.DEGENERATE_START if degenerate else Outcome.CONVERGED
    return replace(candidate, outcome=outcome)


def _record(before: FitCandidate, after: FitCandidate, kernel: Kernel, rows: int) -> Iteration:
    change = after.mean_log_likelihood - before.mean_log_likelihood
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
