"""One fit from start to end, the same for the job and the estimator: summary, start, EM, model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dgmm import em
from dgmm.candidate import Candidate, Iteration
from dgmm.collapse import ComponentEvent
from dgmm.data.dataset import Dataset
from dgmm.data.repeated_values import RepeatedValue
from dgmm.data.summary import Summary
from dgmm.errors import ComponentError
from dgmm.execution.executor import Executor
from dgmm.execution.threads import in_this_process
from dgmm.expectation import PassOverRows
from dgmm.fit_warnings import fit_warnings, spike_warnings
from dgmm.initialisation import METHODS_OVER_ALL_ROWS
from dgmm.listener import Listener
from dgmm.model import MixtureModel
from dgmm.parameters import Parameters
from dgmm.regularisation import held_by_regularisation
from dgmm.rehearsal import Rehearsal
from dgmm.resumption import NOTHING_KEPT, EmState, Resumption
from dgmm.starts import Adjust, Given, Starts, starts_on_sample, starts_over_all_rows
from dgmm.survey import FitSettings, Survey, survey

__all__ = ["Adjust", "Fit", "Given", "fit"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What a fit leaves: the model, how it came about, and the sample it started from.

    `sample` is (m, d) in the data's own units and dtype; `arithmetic` names what computed the
    passes, `numpy` or `numba`.
    """

    model: MixtureModel
    chosen: Candidate
    candidates: tuple[Candidate, ...]
    failed_starts: dict[int, str]
    summary: Summary
    sample: NDArray[np.generic]
    events: tuple[ComponentEvent, ...]
    warnings: tuple[str, ...]
    arithmetic: str
    repeated_values: tuple[RepeatedValue, ...]


def fit(
    dataset: Dataset,
    executor: Executor,
    settings: FitSettings,
    listener: Listener,
    given: Given | None = None,
    adjust: Adjust | None = None,
    kept: Resumption = NOTHING_KEPT,
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
        Applied to every start that a method draws; such starts are not rehearsed.
    kept
        Keeps what is done, and knows what an earlier attempt at this very fit has done.

    Raises
    ------
    DataError
        If the data cannot be fitted (missing values, fewer rows than components).
    ComponentError
        If every start fails.
    """
    listener.stage("summary", f"{dataset.n_samples:,} rows of {dataset.n_features} features")
    known = survey(dataset, executor, settings, kept)
    for text in known.warnings:
        listener.warning(text)

    with in_this_process(executor) as here:
        rehearsal = None if adjust is not None else Rehearsal.of(known, settings)

        def draw() -> Starts:
            if settings.method in METHODS_OVER_ALL_ROWS:
                listener.stage("initialisation", f"{settings.method} on all rows")
                return starts_over_all_rows(dataset, executor, known, settings, adjust, kept)
            return _drawn(known, settings, rehearsal, here, listener, given, adjust)

        # Without iterations one start is drawn and none rehearsed: it is not those of a longer run.
        drawn = kept.once("starts" if settings.max_iter else "starts-alone", draw)
        for restart, reason in drawn.failed.items():
            listener.warning(f"start {restart} failed: {reason}")
        starts = {restart: own[0] for restart, own in drawn.drawn.items()}
        if rehearsal is not None:
            rehearse = partial(_rehearsed, rehearsal, drawn, here, listener)
            starts = kept.once("rehearsed-starts", rehearse)

    listener.stage("em", f"{settings.n_components} components, {known.family.name} covariances")
    candidates = _iterated(dataset, executor, known, starts, listener, kept)
    result = _concluded(dataset, known, candidates, drawn.failed, listener)
    for text in result.warnings[len(known.warnings) :]:
        listener.warning(text)
    return result


def _iterated(
    dataset: Dataset,
    executor: Executor,
    known: Survey,
    starts: dict[int, Parameters],
    listener: Listener,
    kept: Resumption,
) -> tuple[Candidate, ...]:
    """All restarts to their ends, from where an earlier attempt was."""
    at_start = tuple(Candidate.at(i, p, known.conditions) for i, p in starts.items())
    state = kept.em_state() or EmState(at_start, 0)
    if state.n_passes:
        listener.note(f"EM goes on after {state.n_passes} passes of an earlier attempt")
    expectation = PassOverRows(
        dataset,
        executor,
        known.standardisation,
        known.arithmetic,
        n_dropped=known.summary.n_dropped,
        of_pass=kept.of_pass,
        n_passes=state.n_passes,
    )

    def keep(candidates: tuple[Candidate, ...]) -> None:
        kept.keep_em_state(EmState(candidates, expectation.n_passes))

    return em.run(state.candidates, expectation, known.conditions, _listen(listener, state), keep)


def _concluded(
    dataset: Dataset,
    known: Survey,
    candidates: tuple[Candidate, ...],
    failed: dict[int, str],
    listener: Listener,
) -> Fit:
    """The best candidate as a model."""
    chosen = em.best(candidates)
    _check_outcome(chosen)
    noted = held_by_regularisation(chosen, known.regularisation)
    for event in noted:
        listener.component(asdict(event))
    model = MixtureModel(chosen.parameters, known.standardisation, dataset.feature_names)
    return Fit(
        model=model,
        chosen=chosen,
        candidates=candidates,
        failed_starts=failed,
        summary=known.summary,
        sample=known.summary.sample,
        events=(*(e for c in candidates for e in c.events), *noted),
        warnings=(
            *known.warnings,
            *fit_warnings(model, known.summary.n_kept, chosen.events),
            *spike_warnings(model, known.summary.sample, known.repeated_values),
        ),
        arithmetic=known.arithmetic,
        repeated_values=known.repeated_values,
    )


def _check_outcome(chosen: Candidate) -> None:
    if chosen.outcome is not None and not chosen.outcome.is_usable:
        raise ComponentError(f"{chosen.outcome.name}: {chosen.outcome.value}")


def _drawn(
    known: Survey,
    settings: FitSettings,
    rehearsal: Rehearsal | None,
    here: Executor,
    listener: Listener,
    given: Given | None,
    adjust: Adjust | None,
) -> Starts:
    """The method's starts of every restart, on the sample."""
    rows, n = (known.sample, 0) if rehearsal is None else (rehearsal.few, rehearsal.n_starts)
    times = f"{n} times " if n > 1 else ""
    listener.stage("initialisation", f"{settings.method} {times}on {len(rows):,} sampled rows")
    return starts_on_sample(known, settings, rows, n, here, given, adjust)


def _rehearsed(
    rehearsal: Rehearsal, drawn: Starts, here: Executor, listener: Listener
) -> dict[int, Parameters]:
    """Where each restart begins on all rows, once EM has gone over the sample."""
    n_starts = sum(len(own) for own in drawn.drawn.values())
    listener.stage("sample", f"EM from {n_starts} starts on {len(rehearsal.sample):,} sampled rows")
    refined = rehearsal.refine(drawn.drawn, here)
    for restart, found in refined.items():
        listener.note(f"restart {restart}: {found.describe()}")
    return {restart: found.parameters for restart, found in refined.items()}


def _listen(listener: Listener, state: EmState) -> em.Listen:
    """Hand iterations on, and component events as they happen."""
    told = {candidate.restart: len(candidate.events) for candidate in state.candidates}

    def listen(candidate: Candidate, iteration: Iteration) -> None:
        listener.iteration(asdict(iteration))
        for event in candidate.events[told.get(candidate.restart, 0) :]:
            listener.component(asdict(event))
        told[candidate.restart] = len(candidate.events)

    return listen
