"""M-steps of several candidates: those of small mixtures in one go, each with its own bits."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from dgmm.fitting.em.e_step import EStepResult
from dgmm.fitting.em.small_groups import small_groups
from dgmm.fitting.em.state import EMProblem
from dgmm.fitting.inference import MAXIMUM_LIKELIHOOD
from dgmm.mixture.parameters import Estimate, Parameters, m_step

MStep = tuple[Estimate, Parameters]


def m_steps(found: Sequence[EStepResult], problems: Sequence[EMProblem]) -> list[MStep]:
    """What each E-step leads to: the estimate, and its parameters with regularisation.

    Parameters
    ----------
    found, problems
        What a pass found of each candidate, and what its fit asks for.
    """
    keys = [_alike(one, problem) for one, problem in zip(found, problems, strict=True)]
    taken: dict[int, MStep] = {}
    for places in small_groups(keys, [one.statistics.sums.size for one in found]):
        first, problem = found[places[0]], problems[places[0]]
        if len(places) == 1:
            taken[places[0]] = _alone(first, problem)
        else:
            together = _together([found[i] for i in places], problem)
            taken.update(zip(places, together, strict=True))
    return [taken[i] for i in range(len(found))]


def _alone(found: EStepResult, problem: EMProblem) -> MStep:
    before, inference = found.candidate, problem.inference
    at = before.parameters
    estimate = inference.maximise(
        *(at.family, found.statistics, before.scatter, at),
        by_weight=problem.counts_are_rows,
    )
    return estimate, inference.parameters(estimate, problem.collapse.regularisation)


def _alike(found: EStepResult, problem: EMProblem) -> Hashable:
    """What candidates agree in whose M-steps are taken in one go; None where it is taken alone."""
    s, family = found.statistics, found.candidate.parameters.family
    has_more = any(part is not None for part in (s.scatter, s.reference, s.observed, s.noise))
    is_plain = problem.inference == MAXIMUM_LIKELIHOOD and not (has_more or family.is_shared)
    if not is_plain:
        return None
    counts, added = problem.counts_are_rows, problem.collapse.regularisation
    return family.name, s.sums.shape, s.n_rows, s.sum_of_weights, counts, added.tobytes()


def _together(found: Sequence[EStepResult], problem: EMProblem) -> list[MStep]:
    """As if all components were one mixture's, but for the weights, which sum to 1 in each."""
    first, n = found[0], len(found)
    family = first.candidate.parameters.family
    sums = np.concatenate([one.statistics.sums for one in found])
    whole = m_step(family, replace(first.statistics, sums=sums), by_weight=problem.counts_are_rows)
    covariances = family.regularised(whole.covariances, problem.collapse.regularisation)
    counts = whole.counts.reshape(n, -1)
    weights = (counts / counts.sum(axis=1, keepdims=True)).ravel()
    mixtures = Parameters.of(family, weights, whole.means, covariances).parted(n)
    k, estimates = counts.shape[1], []
    for own in (slice(i * k, (i + 1) * k) for i in range(n)):
        arrays = whole.counts[own].copy(), whole.means[own].copy(), whole.covariances[own].copy()
        estimates.append(Estimate(family, *arrays))
    return list(zip(estimates, mixtures, strict=True))
