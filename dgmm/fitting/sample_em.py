"""Short EM runs on a subsample decide where EM over all rows begins.

Every start takes some iterations on a few rows of the sample, and the likeliest goes on. That is
emEM (Biernacki, Celeux & Govaert, *Choosing starting values for the EM algorithm*, Comput. Stat.
Data Anal. 41, 2003), with these differences: short runs see a subsample and not all rows, are
bounded by a number of iterations, and begin at starts of k-means (or of the method asked for) in
several metrics instead of at random. Likelihood does not depend on units, so that starts drawn in
different metrics can be compared by it. Where the few rows are not all rows, starts are compared on
rows that they were not fitted to: with many parameters, the likelihood of a start's own rows is no
measure.

Where all rows are many times the sample, the likeliest start is followed over the whole sample,
until it is nearer to that sample's optimum than the sample is to all rows: the optimum of m rows
lies about p/(2m) nats per row below that of all rows for p free parameters (half the expectation of
a χ² of p degrees of freedom). That saves passes over all rows, but the optimum of a sample is not
always a good start for all rows: the same start as it was before goes to all rows too, and the
likelier of the two goes on after a few passes (`dgmm.fitting.screening`).

Lost components and likelihoods of these runs do not appear among those of the fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.data.summary.missing_patterns import MissingPatterns
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.collapse import EMPTY_COUNT, CollapsePolicy
from dgmm.fitting.em.data_pass import EStepTask, PassStatistics
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.fitting.em.solver import EMSolver
from dgmm.fitting.em.state import EMProblem, FitCandidate
from dgmm.fitting.inference import Inference
from dgmm.fitting.missing_cost import MissingCost
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.restarts import Start, Starts
from dgmm.fitting.sample_effort import (
    FURTHER_ITERATIONS,
    MAX_ITERATIONS,
    TRIED_ITERATIONS,
    Effort,
    SampleRows,
    is_worth_following,
    parted,
)
from dgmm.fitting.sample_trials import Selection, Tried, likeliest_of_each
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.backends import get
from dgmm.mixture.criteria import n_parameters
from dgmm.mixture.kernels import Guard, Workspaces
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.marginal import MarginalScorer
from dgmm.outcome import Outcome
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import map_reduce

Array = NDArray[np.float64]

#: On m rows EM ends where an iteration gains less than this share of p/(2m), or than this.
TOLERANCE_SHARE, LARGEST_TOL = 0.005, 1e-4

_UNSOUND = {Outcome.DEGENERATE_START, Outcome.COMPONENT_COLLAPSED}


@dataclass(frozen=True, slots=True, eq=False)
class SampleEM:
    """Rows of the sample, standardised, and what is done with them.

    Attributes
    ----------
    n_starts : int
        Starts of each restart; 0 where EM begins on all rows.
    few, held_out, sample : SampleRows
        The rows that starts are drawn from and tried on, those they are compared on (none where
        the few are all rows), and the whole sample.
    n_iterations : int
        Of each start on the few rows.
    is_followed : bool
        Whether the likeliest is followed over the whole sample.
    problem
        Those of the fit.
    n_rows, n_parameters : int
        Rows of the fit, and free numbers of the mixture.
    backend : str
        That of the fit.
    n_fitted : float
        Rows that components are shares of: the sum of weights where they are counts.
    filled
        Rows with expected values where these lack some.
    """

    n_starts: int
    few: SampleRows
    held_out: SampleRows
    sample: SampleRows
    n_iterations: int
    is_followed: bool
    problem: EMProblem
    n_rows: int
    n_parameters: int
    backend: str
    n_fitted: float
    filled: Callable[[Array], Array] = lambda rows: rows

    @classmethod
    def of(
        cls, prepared: PreparedFit, settings: FitSettings, *, is_adjusted: bool = False
    ) -> SampleEM:
        """The runs that the settings ask for.

        A function of the data's size and the job alone, never of the cluster: bits follow it.
        A start that the user has a part in (`is_adjusted`) is compared as it is.
        """
        m, d = prepared.rows.shape
        p = n_parameters(prepared.family, settings.n_components, d, noise=settings.noise)
        n_rows = prepared.summary.n_kept
        sample = SampleRows(prepared.rows, prepared.summary.sample_weights)
        few, held_out = parted(sample, n_rows, p, settings)
        cost = _cost(few.values, prepared, settings) if prepared.missing_cost else 1.0
        effort = Effort.of(settings, prepared.family, n_rows, m, d, cost)
        n_iterations = 0 if is_adjusted else effort.n_iterations
        return cls(
            n_starts=effort.n_starts,
            few=few,
            held_out=held_out,
            sample=sample,
            n_iterations=n_iterations,
            is_followed=n_iterations > 0 and is_worth_following(n_rows, m, p),
            problem=prepared.problem,
            n_rows=n_rows,
            n_parameters=p,
            backend=prepared.backend,
            n_fitted=prepared.n_rows,
            filled=prepared.filled,
        )

    def refine(self, starts: Starts, here: Executor) -> Selection:
        """Where each restart begins on all rows; its bits do not depend on the other restarts.

        Parameters
        ----------
        starts
            Those of every restart.
        here
            Runs tasks in this process, where the sample is.
        """
        tried = self._moved(self.few, self.n_iterations, starts.drawn, here)
        best = likeliest_of_each(tried, lambda t: (t.start.restart, t.start.metric))
        if self.is_ranked_later:
            further = self._moved(self.few, FURTHER_ITERATIONS, tuple(t.start for t in best), here)
            best = [b.later(f) for b, f in zip(best, further, strict=True)]
        latest = {t.key: t for t in (*tried, *best)}
        chosen = likeliest_of_each(list(latest.values()), lambda t: t.start.restart)
        selected, n, held_out = {t.key for t in chosen}, len(self.compared), len(self.held_out) > 0
        trials = tuple(
            latest[t.key].trial(n, held_out=held_out, selected=t.key in selected) for t in tried
        )
        return Selection(tuple(self._begun(starts, chosen, tried, here)), trials)

    def _begun(
        self, starts: Starts, chosen: list[Tried], tried: list[Tried], here: Executor
    ) -> Iterator[Start]:
        """What goes to all rows: the likeliest where EM on the sample led it, and as it was."""
        before = {t.key: t.start for t in tried}
        followed = [replace(t.start, metric=f"{t.start.metric} refined") for t in chosen]
        if self.is_followed:
            ended = self._moved(self.sample, MAX_ITERATIONS, tuple(followed), here)
            followed = [t.start for t in ended if t.mean_log_likelihood is not None]
        own = {c.start.restart: c for c in chosen}
        for restart in starts.restarts:
            if restart not in own:
                yield starts.of(restart)[0]
                continue
            if self.is_ranked_later and len(self.held_out):
                yield from (start for start in followed if start.restart == restart)
                yield before[own[restart].key]
            else:
                yield own[restart].start

    @property
    def regularisation(self) -> Array:
        """What is added to the variances (d,)."""
        return self.problem.collapse.regularisation

    def led(self, max_iter: int, starts: tuple[Start, ...], here: Executor) -> list[Tried]:
        """Where EM on the few rows leads from starts, compared as those of a method are."""
        return self._moved(self.few, max_iter, starts, here)

    def followed(self, start: Start, here: Executor) -> Start:
        """The start where EM over the whole sample leads, if that saves passes over all rows."""
        if not self.is_followed:
            return start
        (ended,) = self._moved(self.sample, MAX_ITERATIONS, (start,), here)
        return start if ended.mean_log_likelihood is None else ended.start

    def _moved(
        self, rows: SampleRows, max_iter: int, starts: tuple[Start, ...], here: Executor
    ) -> list[Tried]:
        """Where EM over some rows leads from each start, and how likely that is."""
        ended = self._run(rows, max_iter, starts, here)
        return [self._tried(s, c) for s, c in zip(starts, ended, strict=True)]

    def _tried(self, start: Start, ended: FitCandidate) -> Tried:
        if not _is_sound(ended, start.parameters.n_components):
            return Tried(start, ended.n_iter, None)
        compared = self.compared
        rows = np.ascontiguousarray(compared.values.T)
        marginalises = self.problem.marginalises
        inference = self._inference(compared)
        scorer = (MarginalScorer if marginalises else Scorer)(inference.scored(ended.parameters))
        mean = compared.mean(scorer.log_density(rows)) - self.problem.log_volume
        if not len(self.held_out):
            mean = inference.objective(mean, ended.parameters)
        has_rows = ended.parameters.supports_covariances(self.n_fitted)
        has_spike = not (inference.is_bounded or has_rows)
        return Tried(replace(start, parameters=ended.parameters), ended.n_iter, mean, has_spike)

    def _inference(self, rows: SampleRows) -> Inference:
        """That of the fit, for some of its rows: all of them, or as many as there are."""
        is_whole = len(rows) == self.n_rows
        return self.problem.inference.with_rows(self.n_fitted if is_whole else float(len(rows)))

    @property
    def compared(self) -> SampleRows:
        """The rows that starts are compared on."""
        return self.held_out if len(self.held_out) else self.few

    def is_over_all_rows(self, n_rows: int) -> bool:
        """Whether starts are tried on all rows of the fit: few, so that a pass costs little."""
        return self.n_starts > 0 and len(self.few) == n_rows

    @property
    def is_ranked_later(self) -> bool:
        """Whether each metric's likeliest start is followed further before all are compared."""
        return self.n_iterations == TRIED_ITERATIONS

    def _run(
        self, rows: SampleRows, max_iter: int, starts: tuple[Start, ...], here: Executor
    ) -> tuple[FitCandidate, ...]:
        """All starts to their ends, each pass shared."""
        dataset = ArrayDataset(rows.values, weights=rows.weights)
        problem, marginalises = self._problem(rows, max_iter), self.problem.marginalises
        policy = MissingPolicy.MARGINALISE if marginalises else MissingPolicy.NONE_MISSING
        workspaces = Workspaces()

        def data_pass(requests: tuple[EStepRequest, ...]) -> PassStatistics:
            leaves = EStepTask(dataset, requests, self.backend, policy, None, workspaces)
            return map_reduce(here, leaves, dataset.grid.n_blocks)

        solver = EMSolver(problem)
        begun = tuple(solver.init(CandidateId(s.restart, s.name), s.parameters) for s in starts)
        return em.run(begun, data_pass, problem)

    def _problem(self, rows: SampleRows, max_iter: int) -> EMProblem:
        """Those of a fit to these rows; lost components are re-seeded: none may be missing."""
        tol = TOLERANCE_SHARE * self.n_parameters / (2 * len(rows))
        values, regularisation = rows.values, self.problem.collapse.regularisation
        whole = self.filled(values)
        observed = None if whole is values else values
        least = 0.0 if self.problem.inference.prunes else EMPTY_COUNT  # a sample prunes none
        policy = CollapsePolicy(
            "reseed",
            whole,
            regularisation,
            weights=rows.weights,
            observed=observed,
            least_rows=least,
        )
        return replace(
            self.problem,
            tol=min(tol, LARGEST_TOL),
            max_iter=max_iter,
            collapse=policy,
            guard=Guard.of_range(whole.min(axis=0), whole.max(axis=0)),
            standardisation=Standardisation.identity(values.shape[1]),
            counts_are_rows=self.problem.counts_are_rows and len(rows) == self.n_rows,
            inference=self._inference(rows),
        )


def _cost(rows: Array, prepared: PreparedFit, settings: FitSettings) -> float:
    """What missing values cost on a few rows, where each pattern has fewer than in all."""
    patterns, grid = MissingPatterns.of_rows(rows), ArrayDataset(rows).grid
    lacks = float(np.isnan(rows).sum()) / max(patterns.n_partial, 1)
    by_row = lacks if get(prepared.backend).takes_rows else None
    k = settings.n_components
    return MissingCost.of(prepared.family, k, patterns, grid, by_row=by_row).factor


def _is_sound(candidate: FitCandidate, n_components: int) -> bool:
    outcome = candidate.outcome
    usable = outcome is not None and outcome.is_usable and outcome not in _UNSOUND
    return usable and candidate.parameters.n_components == n_components
