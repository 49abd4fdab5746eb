"""What one pass found of one candidate: the E-step that an iteration begins with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self

import numpy as np

from dgmm.errors import DataError
from dgmm.fitting.em.convergence import has_converged, has_fallen, is_accepted
from dgmm.fitting.em.state import EMProblem, FitCandidate
from dgmm.mixture.kernels import PassKernel
from dgmm.mixture.posterior_entropy import posterior_entropy
from dgmm.mixture.sufficient_statistics import Statistics

#: Kernels whose log densities have one error bound: EM goes on from one to the other.
_SAME_BOUND = {"product-float64", "split-float64"}


@dataclass(frozen=True, slots=True, eq=False)
class EStepResult:
    """A candidate before and after its E-step.

    Attributes
    ----------
    before
        The candidate that the pass was made for.
    candidate
        The same with the kernel's name, the stage, and the total scatter once known.
    kernel, statistics
        What was applied to the rows, and their sums.
    mean_log_likelihood
        Of the parameters, nats per row in user units.
    objective
        What EM maximises, per row (`dgmm.fitting.inference`).
    """

    before: FitCandidate
    candidate: FitCandidate
    kernel: PassKernel
    statistics: Statistics
    mean_log_likelihood: float
    objective: float

    @classmethod
    def of(
        cls, before: FitCandidate, kernel: PassKernel, statistics: Statistics, problem: EMProblem
    ) -> Self:
        """The result of a pass of a kernel over all rows."""
        candidate = _with_kernel(before, kernel, statistics)
        mean = _mean_log_likelihood(candidate, kernel, statistics) - problem.log_volume
        objective = problem.inference.objective(mean, before.parameters)
        return cls(before, candidate, kernel, statistics, mean, objective)

    @property
    def is_extrapolated(self) -> bool:
        """Whether the parameters are an accelerated step, which this pass accepts or rejects."""
        return self.before.cycle.is_extrapolated

    @property
    def is_finite(self) -> bool:
        """Whether the objective is."""
        return bool(np.isfinite(self.objective))

    def is_rejected(self, problem: EMProblem) -> bool:
        """Whether an accelerated step led to a lower objective than it set out from."""
        found, kernel = self.objective, self.kernel
        return self.is_extrapolated and not is_accepted(self.before, found, kernel, problem)

    def has_fallen(self, problem: EMProblem) -> bool:
        """Whether the objective fell by more than regularisation and rounding explain."""
        return has_fallen(self.candidate, self.objective, self.kernel, problem)

    def has_converged(self, problem: EMProblem) -> bool:
        """Whether no more is to be gained than `tol`."""
        return has_converged(self.candidate, self.objective, self.kernel, problem)

    def entropy(self, problem: EMProblem) -> float | None:
        """Σ −w r log r of the rows; None where rows lack values."""
        if problem.marginalises:
            return None
        scored = problem.inference.scored(self.before.parameters)
        return posterior_entropy(scored, self.statistics, is_complete=self.kernel.is_complete)


@cache
def _label(name: str, dtype: np.dtype[Any]) -> str:
    return f"{name}-{dtype}"


def _with_kernel(
    candidate: FitCandidate, kernel: PassKernel, statistics: Statistics
) -> FitCandidate:
    """Note the kernel (a change starts the comparison anew) and, once known, the total scatter.

    With noise the scatter is the Gaussians', another one in every pass.
    """
    label = _label(kernel.name, kernel.dtype)
    stage = "double" if kernel.dtype == np.float64 else candidate.stage
    scatter = candidate.scatter
    if kernel.reference is None and statistics.noise is None and statistics.scatter is not None:
        scatter = statistics.scatter
    same = label == candidate.kernel or {label, candidate.kernel} == _SAME_BOUND
    if label == candidate.kernel and stage == candidate.stage and scatter is candidate.scatter:
        return candidate
    return replace(
        candidate,
        kernel=label,
        stage=stage,
        scatter=scatter,
        is_comparable=candidate.is_comparable and same,
        cycle=candidate.cycle if same else candidate.cycle.interrupted(),
    )


def _mean_log_likelihood(
    candidate: FitCandidate, kernel: PassKernel, statistics: Statistics
) -> float:
    """Nats per row, standardised, with the term −½ tr(ΛT) that the kernel may leave out.

    Raises
    ------
    DataError
        If the candidate sees no row.
    """
    if statistics.weight == 0:
        raise DataError(
            f"no row is left for {candidate.id}: its row filter leaves out every row that counts. "
            "Give each candidate rows of its own"
        )
    total = statistics.log_likelihood
    if not kernel.is_complete:
        if candidate.scatter is None:
            raise RuntimeError("the scatter is not known")
        p = candidate.parameters
        total += p.family.pooled_log_prob(p.precisions_cholesky, candidate.scatter, p.n_features)
    return total / statistics.weight
