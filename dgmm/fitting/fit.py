"""One fit from start to end, the same for the job and the estimator: summary, start, EM, model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.summary.repeated_values import RepeatedValue
from dgmm.data.summary.summarise import Summary
from dgmm.errors import ComponentError
from dgmm.events import Listener
from dgmm.execution.threads import in_this_process
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.collapse import ComponentEvent
from dgmm.fitting.em.data_pass import EStepRunner
from dgmm.fitting.em.regularisation import held_by_regularisation
from dgmm.fitting.em.saved_progress import NOTHING_KEPT, EmState, SavedProgress
from dgmm.fitting.em.state import FitCandidate, Iteration
from dgmm.fitting.fit_warnings import fit_warnings, spike_warnings
from dgmm.fitting.initialisation import METHODS_OVER_ALL_ROWS
from dgmm.fitting.preparation import FitSettings, PreparedFit, survey
from dgmm.fitting.regularised_components import FittedSample, held_warnings
from dgmm.fitting.restarts import (
    Starts,
    StartTransform,
    UserStart,
    n_starts,
    starts_on_sample,
    starts_over_all_rows,
)
from dgmm.fitting.sample_em import SampleEM
from dgmm.fitting.sample_trials import Selection, Trial
from dgmm.fitting.screening import likelier
from dgmm.fitting.warm_start import LastFit
from dgmm.model.mixture_model import MixtureModel
from dgmm.reduction.executor import Executor

__all__ = ["StartTransform", "Fit", "UserStart", "fit"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What a fit leaves: the model, how it came about, and the sample it started from.

    `sample` is (m, d) in the data's own units and dtype; `backend` names what computed the
    passes, `numpy` or `numba`.
    """

    model: MixtureModel
    chosen: FitCandidate
    candidates: tuple[FitCandidate, ...]
    failed_starts: dict[int, str]
    trials: tuple[Trial, ...]
    summary: Summary
    sample: NDArray[np.generic]
    events: tuple[ComponentEvent, ...]
    warnings: tuple[str, ...]
    backend: str
    repeated_values: tuple[RepeatedValue, ...]


def fit(
    dataset: Dataset,
    executor: Executor,
    settings: FitSettings,
    listener: Listener,
    given: UserStart | None = None,
    adjust: StartTransform | None = None,
    kept: SavedProgress = NOTHING_KEPT,
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
        The start, for `method="given"`. Of a `LastFit` the likelihood is compared as well.
    adjust
        Applied to every start that a method draws; EM on the sample does not change such starts,
        which are compared as they are.
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

    rehearsal = SampleEM.of(known, settings, is_adjusted=adjust is not None)
    with in_this_process(executor) as here:

        def draw() -> Starts:
            if settings.method in METHODS_OVER_ALL_ROWS:
                listener.stage("initialisation", f"{settings.method} on all rows")
                n_wanted = rehearsal.n_starts
                return starts_over_all_rows(
                    *(dataset, executor, known, settings, n_wanted, adjust, kept)
                )
            return _drawn(rehearsal, known, settings, here, listener, given, adjust)

        drawn = kept.once("starts", draw)
        for restart, reason in drawn.failed.items():
            listener.warning(f"start {restart} failed: {reason}")
        selection = Selection(drawn.drawn, ())
        if rehearsal.n_starts or (settings.max_iter == 0 and given is None):
            # How far starts are followed depends on max_iter where that is small.
            name = f"selected-starts-{rehearsal.n_iterations}"
            selection = kept.once(name, partial(_selected, rehearsal, drawn, here, listener))

    if selection.trials:
        listener.trials([trial.record() for trial in selection.trials])
    few_rows = rehearsal.is_over_all_rows(known.summary.n_kept)
    known = replace(known, conditions=replace(known.conditions, needs_two_estimates=few_rows))
    listener.stage("em", f"{settings.n_components} components, {known.family.name} covariances")
    at_start = _at_start(selection, known, settings, given)
    candidates = _iterated(dataset, executor, known, at_start, listener, kept)
    result = _concluded(dataset, known, candidates, drawn.failed, selection.trials, listener)
    for text in result.warnings[len(known.warnings) :]:
        listener.warning(text)
    return result


def _at_start(
    selection: Selection, known: PreparedFit, settings: FitSettings, given: UserStart | None
) -> tuple[FitCandidate, ...]:
    """A candidate for each start that goes to all rows."""
    before = None
    if isinstance(given, LastFit):
        before = given.log_likelihood_before(known.summary, settings)
    return tuple(
        FitCandidate.at(
            begun.restart,
            begun.parameters,
            known.conditions,
            start=begun.name,
            is_given=settings.method == "given",
            warm_log_likelihood=before,
        )
        for begun in selection.begun
    )


def _iterated(
    dataset: Dataset,
    executor: Executor,
    known: PreparedFit,
    at_start: tuple[FitCandidate, ...],
    listener: Listener,
    kept: SavedProgress,
) -> tuple[FitCandidate, ...]:
    """All restarts to their ends, from where an earlier attempt was."""
    state = kept.em_state() or EmState(at_start, 0)
    if state.n_passes:
        listener.note(f"EM goes on after {state.n_passes} passes of an earlier attempt")
    expectation = EStepRunner(
        dataset,
        executor,
        known.standardisation,
        known.backend,
        n_dropped=known.summary.n_dropped,
        of_pass=kept.of_pass,
        n_passes=state.n_passes,
    )

    def keep(candidates: tuple[FitCandidate, ...]) -> None:
        kept.save_em_state(EmState(candidates, expectation.n_passes))

    listen = _listen(listener, state)
    return em.run(state.candidates, expectation, known.conditions, listen, keep, likelier)


def _concluded(
    dataset: Dataset,
    known: PreparedFit,
    candidates: tuple[FitCandidate, ...],
    failed: dict[int, str],
    trials: tuple[Trial, ...],
    listener: Listener,
) -> Fit:
    """The best candidate as a model."""
    chosen = em.best(candidates, known.summary.n_kept)
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
        trials=trials,
        summary=known.summary,
        sample=known.summary.sample,
        events=(*(e for c in candidates for e in c.events), *noted),
        warnings=(
            *known.warnings,
            *fit_warnings(model, known.summary.n_kept, chosen.events),
            *spike_warnings(model, known.summary.sample, known.repeated_values),
            *held_warnings(
                model,
                FittedSample(
                    known.summary.sample,
                    known.sample,
                    known.regularisation,
                    known.summary.n_kept,
                    known.repeated_values,
                ),
            ),
        ),
        backend=known.backend,
        repeated_values=known.repeated_values,
    )


def _check_outcome(chosen: FitCandidate) -> None:
    if chosen.outcome is not None and not chosen.outcome.is_usable:
        raise ComponentError(f"{chosen.outcome.name}: {chosen.outcome.value}")


def _drawn(
    rehearsal: SampleEM,
    known: PreparedFit,
    settings: FitSettings,
    here: Executor,
    listener: Listener,
    given: UserStart | None,
    adjust: StartTransform | None,
) -> Starts:
    """The method's starts of every restart, on the sample."""
    n_wanted = rehearsal.n_starts
    rows = rehearsal.few if n_wanted else known.sample
    n = n_starts(settings, n_wanted)
    times = f"{n} times " if n > 1 else ""
    listener.stage("initialisation", f"{settings.method} {times}on {len(rows):,} sampled rows")
    return starts_on_sample(known, settings, rows, n_wanted, here, given, adjust)


def _selected(rehearsal: SampleEM, drawn: Starts, here: Executor, listener: Listener) -> Selection:
    """Where each restart begins on all rows, once EM has run on the sample."""
    n, rows = len(drawn.drawn), len(rehearsal.sample if rehearsal.is_followed else rehearsal.few)
    listener.stage("sample", f"EM from {n} starts on up to {rows:,} sampled rows")
    selection = rehearsal.refine(drawn, here)
    for trial in selection.trials:
        if trial.selected:
            listener.note(f"restart {trial.restart}: {trial.describe()}")
    return selection


def _listen(listener: Listener, state: EmState) -> em.Listen:
    """Hand iterations on, and component events as they happen."""
    told = {(c.restart, c.start): len(c.events) for c in state.candidates}

    def listen(candidate: FitCandidate, iteration: Iteration) -> None:
        listener.iteration(asdict(iteration))
        key = candidate.restart, candidate.start
        for event in candidate.events[told.get(key, 0) :]:
            listener.component(asdict(event))
        told[key] = len(candidate.events)

    return listen
