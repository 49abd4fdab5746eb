"""One fit from start to end, the same for the job and the estimator: summary, start, EM, model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from dgmm import em
from dgmm.candidate import Candidate, Iteration
from dgmm.collapse import ComponentEvent
from dgmm.data.dataset import Dataset
from dgmm.data.standardisation import Standardisation
from dgmm.data.summary import Summary
from dgmm.errors import ComponentError, DataError, DgmmError
from dgmm.execution.executor import Executor, map_reduce
from dgmm.expectation import ExpectationPass, PassStatistics
from dgmm.initialisation import start
from dgmm.kernels import Kernel
from dgmm.listener import Listener
from dgmm.model import MixtureModel
from dgmm.parameters import Parameters
from dgmm.random_streams import Stage, stream
from dgmm.regularisation import held_by_regularisation
from dgmm.survey import FitSettings, Survey, survey

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What a fit leaves: the model, how it came about, and the sample it started from.

    `sample` is (m, d) in the data's own units and dtype.
    """

    model: MixtureModel
    chosen: Candidate
    candidates: tuple[Candidate, ...]
    failed_starts: dict[int, str]
    summary: Summary
    sample: NDArray[np.generic]
    events: tuple[ComponentEvent, ...]
    warnings: tuple[str, ...]
    timings: dict[str, float] = field(default_factory=dict)


#: Makes parameters under a standardisation: how a caller hands in a start of its own.
Given = Callable[[Standardisation], Parameters]
#: Changes a method's start: how a caller hands in a part of one.
Adjust = Callable[[Parameters, Standardisation], Parameters]


def fit(
    dataset: Dataset,
    executor: Executor,
    settings: FitSettings,
    listener: Listener,
    given: Given | None = None,
    adjust: Adjust | None = None,
) -> Fit:
    """Fit a mixture to a data set.

    Parameters
    ----------
    dataset, executor
        The rows, and where passes over them run.
    settings
        What is asked for.
    listener
        Hears stages, iterations and warnings.
    given
        The start, for `method="given"`.
    adjust
        Applied to every start that a method draws.

    Raises
    ------
    DataError
        If the data cannot be fitted (missing values, fewer rows than components).
    ComponentError
        If every start fails.
    """
    clock = _Clock()
    listener.stage("summary", f"{dataset.n_samples:,} rows of {dataset.n_features} features")
    known = survey(dataset, executor, settings)
    for text in known.warnings:
        listener.warning(text)
    clock.lap("summary")

    listener.stage("initialisation", f"{settings.method} on {len(known.sample):,} sampled rows")
    starts, failed = _starts(known, settings, given, adjust)
    for restart, reason in failed.items():
        listener.warning(f"start {restart} failed: {reason}")
    clock.lap("initialisation")

    listener.stage("em", f"{settings.n_components} components, {known.family.name} covariances")
    candidates = em.run(
        tuple(Candidate.at(i, p, known.conditions) for i, p in starts.items()),
        _expectation(dataset, executor, known.standardisation, known.summary.n_dropped),
        known.conditions,
        _listen(listener),
    )
    clock.lap("em")
    return _concluded(dataset, known, candidates, failed, listener, clock.laps)


def _concluded(
    dataset: Dataset,
    known: Survey,
    candidates: tuple[Candidate, ...],
    failed: dict[int, str],
    listener: Listener,
    timings: dict[str, float],
) -> Fit:
    """The best candidate as a model."""
    chosen = em.best(candidates)
    _check_outcome(chosen)
    noted = held_by_regularisation(chosen, known.regularisation)
    for event in noted:
        listener.component(asdict(event))
    return Fit(
        model=MixtureModel(chosen.parameters, known.standardisation, dataset.feature_names),
        chosen=chosen,
        candidates=candidates,
        failed_starts=failed,
        summary=known.summary,
        sample=known.summary.sample,
        events=(*(e for c in candidates for e in c.events), *noted),
        warnings=known.warnings,
        timings=timings,
    )


def _check_outcome(chosen: Candidate) -> None:
    if chosen.outcome is not None and not chosen.outcome.is_usable:
        raise ComponentError(f"{chosen.outcome.name}: {chosen.outcome.value}")


def _starts(
    known: Survey, settings: FitSettings, given: Given | None, adjust: Adjust | None
) -> tuple[dict[int, Parameters], dict[int, str]]:
    """One start a restart; a failing one is noted and the others go on."""
    starts: dict[int, Parameters] = {}
    failed: dict[int, str] = {}
    own = given(known.standardisation) if given is not None else None
    for restart in range(settings.n_init):
        rng = stream(Stage.INITIALISATION, settings.seed, settings.n_components, restart)
        try:
            drawn = start(
                settings.method,
                known.sample,
                known.family,
                settings.n_components,
                known.regularisation,
                rng,
                given=own,
            )
            starts[restart] = drawn if adjust is None else adjust(drawn, known.standardisation)
        except DgmmError as error:
            failed[restart] = str(error)
            if settings.n_init == 1:
                raise
    if not starts:
        raise ComponentError(f"every start failed; the first: {next(iter(failed.values()))}")
    return starts, failed


def _expectation(
    dataset: Dataset,
    executor: Executor,
    standardisation: Standardisation,
    n_dropped: int,
) -> em.Expectation:
    """One pass over all rows, every row accounted for, those left out by the summary as well."""

    def expectation(kernels: tuple[Kernel, ...]) -> PassStatistics:
        leaves = ExpectationPass(dataset, standardisation, kernels, n_dropped > 0)
        total = map_reduce(executor, leaves, dataset.grid.n_blocks)
        if (total.n_read, total.n_dropped) != (dataset.n_samples, n_dropped):
            raise DataError(
                f"a pass read {total.n_read:,} rows and left {total.n_dropped:,} out, expected "
                f"{dataset.n_samples:,} and {n_dropped:,}: the data changed during the run"
            )
        return total

    return expectation


def _listen(listener: Listener) -> em.Listen:
    """Hand iterations on, and component events as they happen."""
    told: dict[int, int] = {}

    def listen(candidate: Candidate, iteration: Iteration) -> None:
        listener.iteration(asdict(iteration))
        for event in candidate.events[told.get(candidate.restart, 0) :]:
            listener.component(asdict(event))
        told[candidate.restart] = len(candidate.events)

    return listen


class _Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now
