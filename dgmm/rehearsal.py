"""Short EM runs on a subsample decide where EM over all rows begins.

Every start takes some iterations on a few rows of the sample, and the likeliest goes on (emEM:
Biernacki, Celeux & Govaert, *Choosing starting values for the EM algorithm*, Comput. Stat. Data
Anal. 41, 2003). Likelihood does not depend on units, so that it may judge starts that were drawn in
different metrics. Where the few rows are not all rows, starts are compared on rows that they were
not fitted to: with many parameters, the likelihood of a start's own rows says little.

Where all rows are many times the sample, the likeliest start is followed over the whole sample,
until it is nearer to that sample's optimum than the sample is to all rows: the optimum of m rows
lies about p/(2m) nats per row below that of all rows for p free parameters (half the expectation of
a χ² of p degrees of freedom). That saves passes over all rows, but the optimum of a sample is not
always a good start for all rows: the same start as it was before goes to all rows too, and the
likelier of the two goes on after a few passes (`dgmm.screening`).

Lost components and likelihoods of these runs do not appear among those of the fit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dgmm import em
from dgmm.candidate import Candidate, Conditions
from dgmm.collapse import CollapsePolicy
from dgmm.covariance import Family
from dgmm.criteria import n_parameters
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.standardisation import Standardisation
from dgmm.execution.executor import Executor, map_reduce
from dgmm.expectation import ExpectationPass, PassStatistics
from dgmm.initialisation import METHODS_OVER_ALL_ROWS, METRICS
from dgmm.kernels import Guard, Kernel
from dgmm.kernels.scoring import Scorer
from dgmm.outcome import Outcome
from dgmm.random_streams import Stage, stream
from dgmm.starts import AUTO_STARTS, FEW_STARTS, Start, Starts, n_starts
from dgmm.survey import FitSettings, Survey

Array = NDArray[np.float64]

#: The likeliest start is followed over the sample where all rows are this many samples, and the
#: sample has this many rows for each free parameter.
LEAST_SAMPLES, ROWS_PER_PARAMETER = 4, 5
#: The few rows that all starts are tried on: so many, and so many for each free parameter.
FEW_ROWS, FEW_ROWS_PER_PARAMETER = 10_000, 2
#: Iterations of each start on the few rows, more of each metric's likeliest there, and of the
#: likeliest of all on the sample. After 15, likelihoods of one metric's starts are in the order in
#: which they end; those of different metrics often are not.
TRIED_ITERATIONS, FURTHER_ITERATIONS, MAX_ITERATIONS = 15, 45, 100
#: Iterations where all rows are fewer than free parameters.
FEW_ITERATIONS = 5
#: Multiplications and additions of these runs for one restart, half a minute of two threads: fewer
#: starts are tried where more would take longer.
MOST_FLOPS = 2e12
#: On m rows EM ends where an iteration gains less than this share of p/(2m), or than this.
SETTLED_SHARE, LARGEST_TOL = 0.005, 1e-4

_UNSOUND = {Outcome.DEGENERATE_START, Outcome.COMPONENT_COLLAPSED}


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one start on the few rows.

    Attributes
    ----------
    restart, number, metric
        Those of the start.
    mean_log_likelihood
        After the short EM run, per row, user units; None where it lost components.
    n_iter, n_rows
        Iterations of that run, and rows that the likelihood is of.
    held_out
        Whether these are other rows than those the run was fitted to.
    selected
        Whether it is the one of its restart that goes on.
    """

    restart: int
    number: int
    metric: str
    mean_log_likelihood: float | None
    n_iter: int
    n_rows: int
    held_out: bool
    selected: bool = False

    def describe(self) -> str:
        """In words."""
        name = f"start {self.number} ({self.metric})"
        if self.mean_log_likelihood is None:
            return f"every start lost components on the sample; EM begins where {name} was drawn"
        return (
            f"{name} is the likeliest: a mean log-likelihood of {self.mean_log_likelihood:.6g} on "
            f"{self.n_rows:,} sampled rows after {self.n_iter} iterations"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Where each restart begins on all rows, one start or several, and how they were chosen."""

    begun: tuple[Start, ...]
    trials: tuple[Trial, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsal:
    """Rows of the sample, standardised, and what is done with them.

    Attributes
    ----------
    n_starts : int
        Starts of each restart; 0 where EM begins on all rows.
    few, held_out, sample : (·, d)
        The rows that starts are drawn from and tried on, those they are compared on (none where
        the few are all rows), and the whole sample.
    n_iterations : int
        Of each start on the few rows.
    is_followed : bool
        Whether the likeliest is followed over the whole sample.
    conditions
        Those of the fit.
    n_parameters : int
        Free numbers of the mixture.
    arithmetic : str
        That of the fit.
    """

    n_starts: int
    few: Array
    held_out: Array
    sample: Array
    n_iterations: int
    is_followed: bool
    conditions: Conditions
    n_parameters: int
    arithmetic: str

    @classmethod
    def of(cls, known: Survey, settings: FitSettings, *, is_adjusted: bool = False) -> Rehearsal:
        """The runs that the settings ask for.

        A function of the data's size and the job alone, never of the cluster: bits follow it.
        A start that the user has a part in (`is_adjusted`) is compared as it is.
        """
        m, d = known.sample.shape
        p, n_rows = n_parameters(known.family, settings.n_components, d), known.summary.n_kept
        few, held_out = _parted(known.sample, n_rows, p, settings)
        effort = Effort.of(settings, known.family, n_rows, m, d)
        n_iterations = 0 if is_adjusted else effort.n_iterations
        return cls(
            n_starts=effort.n_starts,
            few=few,
            held_out=held_out,
            sample=known.sample,
            n_iterations=n_iterations,
            is_followed=n_iterations > 0 and is_worth_following(n_rows, m, p),
            conditions=known.conditions,
            n_parameters=p,
            arithmetic=known.arithmetic,
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
        best = _likeliest_of_each(tried, lambda t: (t.start.restart, t.start.metric))
        if self.is_ranked_later:
            further = self._moved(self.few, FURTHER_ITERATIONS, tuple(t.start for t in best), here)
            best = [b.later(f) for b, f in zip(best, further, strict=True)]
        chosen = _likeliest_of_each(best, lambda t: t.start.restart)
        latest = {t.key: t for t in (*tried, *best)}
        trials = tuple(
            latest[t.key].trial(self, selected=t.key in {c.key for c in chosen}) for t in tried
        )
        return Selection(tuple(self._begun(starts, chosen, tried, here)), trials)

    def _begun(
        self, starts: Starts, chosen: list[_Tried], tried: list[_Tried], here: Executor
    ) -> Iterator[Start]:
        """What goes to all rows: the likeliest where EM on the sample led it, and as it was."""
        before = {t.key: t.start for t in tried}
        followed = [replace(t.start, metric=f"{t.start.metric} followed") for t in chosen]
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

    def _moved(
        self, rows: Array, max_iter: int, starts: tuple[Start, ...], here: Executor
    ) -> list[_Tried]:
        """Where EM over some rows leads from each start, and how likely that is."""
        ended = self._run(rows, max_iter, starts, here)
        return [self._tried(s, c) for s, c in zip(starts, ended, strict=True)]

    def _tried(self, start: Start, ended: Candidate) -> _Tried:
        if not _is_sound(ended, start.parameters.n_components):
            return _Tried(start, ended.n_iter, None)
        rows = np.ascontiguousarray(self.compared.T)
        log_density = Scorer(ended.parameters).log_density(rows)
        mean = float(log_density.mean()) - self.conditions.log_volume
        return _Tried(replace(start, parameters=ended.parameters), ended.n_iter, mean)

    @property
    def compared(self) -> Array:
        """The rows that starts are compared on."""
        return self.held_out if len(self.held_out) else self.few

    @property
    def is_ranked_later(self) -> bool:
        """Whether each metric's likeliest start is followed further before all are compared."""
        return self.n_iterations == TRIED_ITERATIONS

    def _run(
        self, rows: Array, max_iter: int, starts: tuple[Start, ...], here: Executor
    ) -> tuple[Candidate, ...]:
        """All starts to their ends, each pass shared."""
        dataset, conditions = ArrayDataset(rows), self._conditions(rows, max_iter)
        identity = Standardisation.identity(dataset.n_features)

        def expectation(kernels: tuple[Kernel, ...]) -> PassStatistics:
            leaves = ExpectationPass(dataset, identity, kernels, self.arithmetic, drop=False)
            return map_reduce(here, leaves, dataset.grid.n_blocks)

        begun = tuple(Candidate.at(s.restart, s.parameters, conditions) for s in starts)
        return em.run(begun, expectation, conditions)

    def _conditions(self, rows: Array, max_iter: int) -> Conditions:
        """Those of a fit to these rows; lost components are re-seeded: none may be missing."""
        settled = SETTLED_SHARE * self.n_parameters / (2 * len(rows))
        policy = CollapsePolicy("reseed", rows, self.conditions.collapse.regularisation)
        return replace(
            self.conditions,
            tol=min(settled, LARGEST_TOL),
            max_iter=max_iter,
            collapse=policy,
            guard=Guard.of_range(rows.min(axis=0), rows.max(axis=0)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Tried:
    """Where EM has led from a start, after how many iterations, and how likely that is.

    The likelihood is None where components were lost, and the start's parameters stand.
    """

    start: Start
    n_iter: int
    mean_log_likelihood: float | None

    @property
    def key(self) -> tuple[int, int]:
        return self.start.restart, self.start.number

    def later(self, other: _Tried) -> _Tried:
        """The same start some iterations later; as it was where it lost components since."""
        if other.mean_log_likelihood is None:
            return self
        return replace(other, n_iter=self.n_iter + other.n_iter)

    def trial(self, of: Rehearsal, *, selected: bool) -> Trial:
        return Trial(
            restart=self.start.restart,
            number=self.start.number,
            metric=self.start.metric,
            mean_log_likelihood=self.mean_log_likelihood,
            n_iter=self.n_iter,
            n_rows=len(of.compared),
            held_out=len(of.held_out) > 0,
            selected=selected,
        )


def _likeliest_of_each(tried: list[_Tried], group: Callable[[_Tried], Hashable]) -> list[_Tried]:
    """The likeliest of each group, the earlier where equal; none where all lost components."""
    best: dict[Hashable, _Tried] = {}
    for one in tried:
        if one.mean_log_likelihood is None:
            continue
        before = best.setdefault(group(one), one)
        if one.mean_log_likelihood > (before.mean_log_likelihood or -np.inf):
            best[group(one)] = one
    return list(best.values())


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is tried on the sample: a function of sizes and the job alone.

    Attributes
    ----------
    n_starts
        Starts of each restart that are tried; 0 where EM begins on all rows.
    n_iterations
        Of each of them; 0 compares starts as they were drawn.
    n_begun
        Starts of each restart that EM over all rows begins with.
    """

    n_starts: int
    n_iterations: int
    n_begun: int

    @classmethod
    def of(
        cls, settings: FitSettings, family: Family, n_rows: int, n_sampled: int, n_features: int
    ) -> Self:
        """What the settings ask for, or what the sizes call for where they leave it open.

        Parameters
        ----------
        settings, family
            What is asked for.
        n_rows, n_sampled, n_features
            Rows to fit, rows of the sample, features.
        """
        if settings.method == "given" or settings.method in METHODS_OVER_ALL_ROWS:
            # What the user, or a look at all rows, has settled is not for a sample to change.
            return cls(0, 0, n_starts(settings, 0))
        p = n_parameters(family, settings.n_components, n_features)
        wanted, iterations = AUTO_STARTS, TRIED_ITERATIONS
        if n_sampled < p:
            wanted, iterations = FEW_STARTS, FEW_ITERATIONS
        flops = 4.0 * _few_rows(n_sampled, p) * settings.n_components * family.width(n_features)
        affordable = int(MOST_FLOPS / flops)
        metrics = len(METRICS)
        wanted = min(wanted, max(affordable // iterations // metrics, 1) * metrics)
        if settings.sample_starts is None:
            iterations = min(iterations, affordable // wanted)
        else:
            wanted = settings.sample_starts
        iterations = min(iterations, settings.max_iter) if wanted else 0
        n_begun = 1 if wanted else n_starts(settings, 0)
        if iterations == TRIED_ITERATIONS and not _is_whole(n_sampled, n_rows, p):
            n_begun += 1  # where EM on the sample led it, and as it was before
        return cls(wanted, iterations, n_begun)


def is_worth_following(n_rows: int, n_sampled: int, n_free: int) -> bool:
    """Whether EM over the sample saves passes over all rows.

    Parameters
    ----------
    n_rows, n_sampled, n_free
        Rows to fit, rows of the sample, free numbers of the mixture.
    """
    saves = n_rows >= LEAST_SAMPLES * n_sampled
    return saves and n_sampled >= ROWS_PER_PARAMETER * n_free


def _parted(sample: Array, n_rows: int, n_free: int, settings: FitSettings) -> tuple[Array, Array]:
    """Rows to try starts on and rows to compare them on: uniform shares, in the sample's order.

    Where there are few rows altogether, starts are tried on all of them and compared on them too:
    that likelihood is the one that the fit maximises.
    """
    m = len(sample)
    if _is_whole(m, n_rows, n_free):
        return sample, sample[:0]
    wanted = _few_rows(m, n_free)
    rng = stream(Stage.REHEARSAL, settings.seed, settings.n_components)
    order = rng.choice(m, 2 * wanted, replace=False)
    return sample[np.sort(order[:wanted])], sample[np.sort(order[wanted:])]


def _few_rows(n_sampled: int, n_free: int) -> int:
    """Rows that starts are tried on where not all are: at most half of the sample."""
    return max(min(max(FEW_ROWS, FEW_ROWS_PER_PARAMETER * n_free), n_sampled // 2), 1)


def _is_whole(n_sampled: int, n_rows: int, n_free: int) -> bool:
    """Whether starts are tried on all rows of the data."""
    few = max(FEW_ROWS, FEW_ROWS_PER_PARAMETER * n_free)
    return n_rows == n_sampled <= 2 * FEW_ROWS and 2 * few > n_sampled


def _is_sound(candidate: Candidate, n_components: int) -> bool:
    outcome = candidate.outcome
    usable = outcome is not None and outcome.is_usable and outcome not in _UNSOUND
    return usable and candidate.parameters.n_components == n_components
