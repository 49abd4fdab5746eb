"""A sample's missing values filled in for the start: expected values under one Gaussian.

Distances need whole rows. One Gaussian is fitted to rows of the sample by the EM of every fit, and
what a row lacks is expected given what it has. That serves to find labels alone: the M-step that
follows, and EM itself, impute nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.collapse import CollapsePolicy
from dgmm.fitting.em.data_pass import EStepTask, PassStatistics
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.fitting.em.solver import EMSolver
from dgmm.fitting.em.state import EMProblem
from dgmm.fitting.initialisation.first_parameters import parameters_from_labels
from dgmm.mixture.covariance import Family, family_named
from dgmm.mixture.marginal import MarginalScorer
from dgmm.mixture.parameters import Parameters
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import map_reduce

Array = NDArray[np.float64]

#: Rows that the Gaussian is fitted to, at most, and iterations: it finds labels, no more.
ROWS: Final = 5000
ITERATIONS: Final = 25
_TOL = 1e-3
#: With more features the family asked for is fitted: a full covariance would be large.
_MOST_FEATURES = 128
#: Rows that are filled in at a time.
_TILE_ROWS = 8192


@dataclass(frozen=True, slots=True, eq=False)
class ConditionalFill:
    """Fills in what rows lack; picklable.

    Attributes
    ----------
    gaussian
        One component, in standardised units.
    """

    gaussian: Parameters

    def rows(self, rows: Array) -> Array:
        """Standardised rows (m, d), NaN where a value is missing, with expected values there."""
        filled, scorer = rows.copy(), MarginalScorer(self.gaussian)
        for start in range(0, len(rows), _TILE_ROWS):
            own = slice(start, start + _TILE_ROWS)
            if np.isnan(rows[own]).any():
                filled[own] = scorer.impute(np.ascontiguousarray(rows[own].T))[0].T
        return filled

    def columns(self, columns: Array) -> Array:
        """The same of columns (d, m)."""
        if not np.isnan(columns).any():
            return columns
        return np.ascontiguousarray(self.rows(np.ascontiguousarray(columns.T)).T)


def fitted_fill(
    observed: Array,
    whole: Array,
    weights: Array | None,
    family: Family,
    problem: EMProblem,
    backend: str,
    here: Executor,
) -> ConditionalFill:
    """One Gaussian fitted to a sample that lacks values.

    Parameters
    ----------
    observed : (m, d)
        Standardised rows, NaN where a value is missing.
    whole : (m, d)
        The same rows with stand-ins there.
    weights : (m,) or None
        What each row stands for.
    family
        Of the mixture; its covariance where there are many features, else a full one.
    problem, backend
        Those of the fit.
    here
        Runs tasks in this process, where the sample is.
    """
    family = family_named("full") if whole.shape[1] <= _MOST_FEATURES else family
    few = np.linspace(0, len(observed) - 1, min(len(observed), ROWS)).astype(np.intp)
    rows, regularisation = observed[few], problem.collapse.regularisation
    weights = None if weights is None else weights[few]
    labels = np.zeros(len(few), np.intp)
    start = parameters_from_labels(family, whole[few], labels, 1, regularisation, weights)
    dataset = ArrayDataset(rows, weights=weights)
    own = replace(
        problem,
        tol=_TOL,
        max_iter=ITERATIONS,
        collapse=CollapsePolicy(
            "reseed", whole[few], regularisation, weights=weights, observed=rows
        ),
        standardisation=problem.standardisation.identity(rows.shape[1]),
    )

    def data_pass(requests: tuple[EStepRequest, ...]) -> PassStatistics:
        leaves = EStepTask(dataset, requests, backend, MissingPolicy.MARGINALISE)
        return map_reduce(here, leaves, dataset.grid.n_blocks)

    begun = EMSolver(own).init(CandidateId(0, "one Gaussian"), start)
    (ended,) = em.run((begun,), data_pass, own)
    is_sound = ended.outcome is not None and ended.outcome.is_usable
    return ConditionalFill(ended.parameters if is_sound else start)
