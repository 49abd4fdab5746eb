"""EM rehearsed on the sample, so that few passes over all rows are left to do.

Each restart has several starts. All of them take some iterations on a few rows of the sample; the
likeliest goes on over the whole sample until it is nearer to that sample's optimum than the sample
is to all rows, and is where EM over all rows begins. The optimum of m rows lies about p/(2m) nats a
row below that of all rows for p free parameters (half the expectation of a χ² of p degrees of
freedom), which is how the numbers here are chosen.

A rehearsal decides where EM begins and nothing else: its likelihoods and lost components do not
appear among those of the fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dgmm import em
from dgmm.candidate import Candidate, Conditions
from dgmm.collapse import CollapsePolicy
from dgmm.criteria import n_parameters
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.standardisation import Standardisation
from dgmm.execution.executor import Executor, map_reduce
from dgmm.expectation import ExpectationPass, PassStatistics
from dgmm.initialisation import METHODS_OVER_ALL_ROWS
from dgmm.kernels import Guard, Kernel
from dgmm.outcome import Outcome
from dgmm.parameters import Parameters
from dgmm.random_streams import Stage, stream
from dgmm.survey import FitSettings, Survey

Array = NDArray[np.float64]

#: Starts of each restart where the setting is `auto`.
AUTO_STARTS = 4
#: `auto` rehearses where all rows are this many samples, and the sample has this many rows for each
#: free parameter: below, its optimum is too far from that of all rows to save much.
LEAST_SAMPLES, ROWS_PER_PARAMETER = 4, 5
#: The few rows that all starts are tried on: so many, and so many for each free parameter.
FEW_ROWS, FEW_ROWS_PER_PARAMETER = 10_000, 2
#: Iterations of each start on the few rows, and of the likeliest on the sample.
TRIED_ITERATIONS, MAX_ITERATIONS = 15, 100
#: On m rows EM ends where an iteration gains less than this share of p/(2m).
SETTLED_SHARE = 0.005

_UNSOUND = {Outcome.DEGENERATE_START, Outcome.COMPONENT_COLLAPSED}


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsal:
    """What is rehearsed on: rows of the sample, standardised.

    Attributes
    ----------
    n_starts : int
        Starts of each restart, at least 1.
    few, sample : (·, d)
        The rows that starts are drawn from and tried on, and the whole sample.
    conditions
        Those of the fit.
    n_parameters : int
        Free numbers of the mixture.
    arithmetic : str
        That of the fit.
    """

    n_starts: int
    few: Array
    sample: Array
    conditions: Conditions
    n_parameters: int
    arithmetic: str

    @classmethod
    def of(cls, known: Survey, settings: FitSettings) -> Rehearsal | None:
        """The rehearsal that the settings ask for; None where EM begins on all rows at once.

        A function of the data's size and the job alone, never of the cluster: bits follow it.
        """
        m, d = known.sample.shape
        p = n_parameters(known.family, settings.n_components, d)
        n_starts = n_sample_starts(settings, known.summary.n_kept, m, p)
        if n_starts == 0:
            return None
        few = _few(known.sample, p, settings)
        return cls(n_starts, few, known.sample, known.conditions, p, known.arithmetic)

    def refine(
        self, starts: Mapping[int, tuple[Parameters, ...]], here: Executor
    ) -> dict[int, Refined]:
        """Where each restart begins on all rows; its bits do not depend on the other restarts.

        Parameters
        ----------
        starts
            Those of every restart.
        here
            Runs tasks in this process, where the sample is.
        """
        tried = self._run(self.few, TRIED_ITERATIONS, starts, here)
        likeliest = {i: _likeliest(c, starts[i][0].n_components) for i, c in tried.items()}
        chosen = {i: (c.parameters,) for i, c in likeliest.items() if c is not None}
        settled = self._run(self.sample, MAX_ITERATIONS, chosen, here)
        return {i: _refined(own, settled.get(i, ())) for i, own in starts.items()}

    def _run(
        self,
        rows: Array,
        max_iter: int,
        starts: Mapping[int, tuple[Parameters, ...]],
        here: Executor,
    ) -> dict[int, tuple[Candidate, ...]]:
        """All starts of all restarts to their ends, each pass shared."""
        dataset, conditions = ArrayDataset(rows), self._conditions(rows, max_iter)
        identity = Standardisation.identity(dataset.n_features)

        def expectation(kernels: tuple[Kernel, ...]) -> PassStatistics:
            leaves = ExpectationPass(dataset, identity, kernels, self.arithmetic, drop=False)
            return map_reduce(here, leaves, dataset.grid.n_blocks)

        owners = [restart for restart, own in starts.items() for _ in own]
        drawn = [parameters for own in starts.values() for parameters in own]
        begun = tuple(Candidate.at(i, p, conditions) for i, p in enumerate(drawn))
        ended = em.run(begun, expectation, conditions)
        return {
            restart: tuple(c for c, owner in zip(ended, owners, strict=True) if owner == restart)
            for restart in starts
        }

    def _conditions(self, rows: Array, max_iter: int) -> Conditions:
        """Those of a fit to these rows; lost components are re-seeded: none may be missing."""
        settled = SETTLED_SHARE * self.n_parameters / (2 * len(rows))
        policy = CollapsePolicy("reseed", rows, self.conditions.collapse.regularisation)
        return replace(
            self.conditions,
            tol=max(self.conditions.tol, settled),
            max_iter=max_iter,
            collapse=policy,
            guard=Guard.of_range(rows.min(axis=0), rows.max(axis=0)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """Where one restart begins on all rows.

    `mean_log_likelihood` is the sample's, user units, after `n_iter` iterations over all of it;
    None where every start lost components, and the first of them is taken as it was drawn.
    """

    parameters: Parameters
    n_iter: int = 0
    mean_log_likelihood: float | None = None

    def describe(self) -> str:
        """In words."""
        if self.mean_log_likelihood is None:
            return "every start lost components on the sample; EM begins where the first was drawn"
        plural = "s" * (self.n_iter != 1)
        return (
            f"the likeliest start has a mean log-likelihood of {self.mean_log_likelihood:.6g} on "
            f"the sample after {self.n_iter} iteration{plural} over it"
        )


def n_sample_starts(settings: FitSettings, n_rows: int, n_sampled: int, n_free: int) -> int:
    """Starts of each restart that are rehearsed; 0 where EM begins on all rows at once.

    Parameters
    ----------
    settings
        What is asked for.
    n_rows, n_sampled, n_free
        Rows to fit, rows of the sample, free numbers of the mixture.
    """
    if settings.max_iter == 0:
        return 0  # the start itself is asked for
    if settings.method == "given" or settings.method in METHODS_OVER_ALL_ROWS:
        return 0  # what the user, or a look at all rows, has settled is not for a sample to change
    if settings.sample_starts is not None:
        return settings.sample_starts
    worthwhile = n_rows >= LEAST_SAMPLES * n_sampled
    enough = n_sampled >= ROWS_PER_PARAMETER * n_free
    return AUTO_STARTS if worthwhile and enough else 0


def _few(sample: Array, n_free: int, settings: FitSettings) -> Array:
    """A uniform share of the sample, in its order; all of it where the share would be most."""
    wanted = max(FEW_ROWS, FEW_ROWS_PER_PARAMETER * n_free)
    if 2 * wanted > len(sample):
        return sample
    rng = stream(Stage.REHEARSAL, settings.seed, settings.n_components)
    rows: Array = sample[np.sort(rng.choice(len(sample), wanted, replace=False))]
    return rows


def _likeliest(candidates: tuple[Candidate, ...], n_components: int) -> Candidate | None:
    """The likeliest that kept all its components; None where none did."""
    sound = tuple(c for c in candidates if _is_sound(c, n_components))
    return em.best(sound) if sound else None


def _is_sound(candidate: Candidate, n_components: int) -> bool:
    outcome = candidate.outcome
    usable = outcome is not None and outcome.is_usable and outcome not in _UNSOUND
    return usable and candidate.parameters.n_components == n_components


def _refined(drawn: tuple[Parameters, ...], settled: tuple[Candidate, ...]) -> Refined:
    likeliest = _likeliest(settled, drawn[0].n_components)
    if likeliest is None:
        return Refined(drawn[0])
    return Refined(likeliest.parameters, likeliest.n_iter, likeliest.mean_log_likelihood)
