"""Convergence: what the objective that a pass found shows of the step before it."""

from __future__ import annotations

import numpy as np

from dgmm.fitting.em.state import EMProblem, FitCandidate
from dgmm.mixture.kernels import PassKernel
from dgmm.mixture.parameters import Parameters

#: Passes that a pair of plain steps, its extrapolation and the step after it take.
_LEAST_ITERATIONS = 4
#: Before the last so many iterations EM does what it does with any larger max_iter: the last pass
#: is one of float64, and the step before it is not extrapolated.
_LAST_ITERATIONS = 2
#: Components are alike whose means are this close (in sd), and whose variances in any direction.
_DEGENERATE_SPREAD, _DEGENERATE_RATIO = 0.05, 0.1


def is_independent_of_max_iter(n_iter: int, max_iter: int) -> bool:
    """Whether candidates after so many iterations are those of any run with a larger max_iter."""
    return max_iter > _LEAST_ITERATIONS and n_iter <= max_iter - _LAST_ITERATIONS


def has_converged(
    candidate: FitCandidate, found: float, kernel: PassKernel, problem: EMProblem
) -> bool:
    """Whether a plain step changes the objective by less than tol, and no more is expected to come.

    One small step alone is no convergence: on a plateau EM takes many. Float32 tiles converge to
    their error. Where max_iter is too small for a pair of steps and what follows it, the
    change alone decides.
    """
    limit = problem.tol
    if kernel.dtype == np.float32:
        limit = max(limit, problem.guard.log_prob_error(candidate.parameters, np.float32))
    if candidate.is_comparable:
        before: float | None = candidate.history[-1]
    else:
        before = candidate.warm_objective if candidate.n_iter == 0 else None
    if before is None or not abs(found - before) < limit:
        return False
    looks_ahead = problem.acceleration != "none" and problem.max_iter > _LEAST_ITERATIONS
    if not looks_ahead:
        return True
    return candidate.cycle.expects_less_than(limit, twice=problem.needs_confirmation)


def has_fallen(
    candidate: FitCandidate, found: float, kernel: PassKernel, problem: EMProblem
) -> bool:
    """Whether the objective fell by more than regularisation, guard and rounding explain."""
    if not candidate.is_comparable or candidate.stage == "single":
        return False
    fall = candidate.history[-1] - found - _rounding(candidate, found, kernel, problem)
    if fall <= 0.0:
        return False
    if candidate.estimate is None:
        return not candidate.is_variance_floored
    estimate, regularisation = candidate.estimate, problem.collapse.regularisation
    return fall > problem.inference.explained_fall(estimate, candidate.parameters, regularisation)


def is_accepted(
    candidate: FitCandidate, found: float, kernel: PassKernel, problem: EMProblem
) -> bool:
    """Whether an extrapolation holds good: it is no worse than where it set out from.

    Where regularisation makes plain steps fall, it may fall by as much as −α of them would.
    """
    if not np.isfinite(found):
        return False
    before, last = candidate.history[-2:]
    allowed = candidate.cycle.length * max(0.0, before - last)
    if kernel.dtype == np.float64:  # the guard's bound for float32 is above many a gain
        allowed += _rounding(candidate, found, kernel, problem)
    return last - found <= allowed


def is_degenerate(candidate: FitCandidate, tol: float) -> bool:
    """Whether EM gained nothing from a drawn start whose components are all alike.

    Components with a common mean and covariances of their own are a mixture like any other.
    """
    p = candidate.parameters
    if candidate.is_given or p.n_components == 1:
        return False
    if candidate.history[-1] - candidate.history[0] >= tol:
        return False
    within = p.family.variances(p.covariances, p.n_components, p.n_features)
    shares = p.weights if p.noise is None else p.weights / p.weights.sum()
    centre = shares @ p.means
    sd = np.sqrt(shares @ (within + (p.means - centre) ** 2))
    if (np.ptp(p.means, axis=0) > _DEGENERATE_SPREAD * sd).any():
        return False
    return all(_is_alike(p, k) for k in range(1, p.n_components))


def _is_alike(p: Parameters, k: int) -> bool:
    """Whether a component's covariance is the first one's, within a tenth in every direction."""
    found = p.family.difference_from_first(p.precisions_cholesky, p.covariances, k, p.n_features)
    return found <= _DEGENERATE_RATIO


def _rounding(
    candidate: FitCandidate, found: float, kernel: PassKernel, problem: EMProblem
) -> float:
    """What rounding may take from an objective.

    A log density's rounding grows with the condition of the covariances, whatever the kernel.
    """
    eps = float(np.finfo(np.float64).eps)
    rounding = 1e-12 * max(1.0, abs(found)) + 4.0 * eps * candidate.parameters.condition_bound
    if not kernel.is_exact:
        guard = problem.guard.of_kernel(kernel)
        rounding += 2.0 * guard.log_prob_error(candidate.parameters, kernel.dtype)
    return rounding
