"""One fit from start to end, the same for the job and the estimator: summary, start, EM, model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.summary.counted_weights import CountedWeights
from dgmm.data.summary.repeated_values import RepeatedValue
from dgmm.data.summary.summarise import Summary
from dgmm.errors import ComponentError
from dgmm.events import Listener
from dgmm.execution.threads import in_this_process
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.collapse import ComponentEvent
from dgmm.fitting.em.data_pass import EStepRunner
from dgmm.fitting.em.regularisation import regularisation_events
from dgmm.fitting.em.saved_progress import NO_SAVED_PROGRESS, EmState, SavedProgress
from dgmm.fitting.em.solver import EMSolver
from dgmm.fitting.em.state import FitCandidate, Iteration
from dgmm.fitting.fit_warnings import fit_warnings, spike_warnings
from dgmm.fitting.initialisation import reads_all_rows
from dgmm.fitting.missing_cost import MissingCost
from dgmm.fitting.preparation import prepare
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.regularised_components import FittedSample, regularised_warnings
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
from dgmm.fitting.settings import FitSettings
from dgmm.fitting.warm_start import LastFit
from dgmm.fitting.weighing import weighed
from dgmm.model.mixture_model import MixtureModel
from dgmm.reduction.executor import Executor

__all__ = ["StartTransform", "Fit", "UserStart", "fit"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What a fit leaves: the model, how it came about, and the sample it started from.

    `sample` is (m, d) in the data's own units and dtype; `backend` names what computed the
    passes, `numpy` or `numba`. `dataset` yields the rows with the weights that EM used, and
    `weights` tells what those of the rows that count were like; None where there are none.
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
    dataset: Dataset
    weights: CountedWeights | None = None
    missing_cost: MissingCost | None = None


def fit(
    dataset: Dataset,
    executor: Executor,
    settings: FitSettings,
    listener: Listener,
    given: UserStart | None = None,
    adjust: StartTransform | None = None,
    progress: SavedProgress = NO_SAVED_PROGRESS,
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
    progress
        Keeps what is done, and knows what an earlier attempt at this very fit has done.

    Raises
    ------
    DataError
        If the data cannot be fitted (missing values, fewer rows than components).
    ComponentError
        If every start fails.
    """
    dataset, weights = weighed(dataset, executor, settings, listener, progress)
    listener.stage("summary", f"{dataset.n_samples:,} rows of {dataset.n_features} features")
    prepared = prepare(dataset, executor, settings, progress, weights)
    for text in prepared.warnings:
        listener.warning(text)
    if (cost := prepared.missing_cost) is not None:
        (listener.warning if cost.is_warned_of else listener.note)(cost.describe())

    sample_em = SampleEM.of(prepared, settings, is_adjusted=adjust is not None)
    with in_this_process(executor) as here:

        def draw() -> Starts:
            if reads_all_rows(settings.method):
                listener.stage("initialisation", f"{settings.method} on all rows")
                n_wanted = sample_em.n_starts
                return starts_over_all_rows(
                    *(dataset, executor, prepared, settings, n_wanted, adjust, progress)
                )
            return _drawn(sample_em, prepared, settings, here, listener, given, adjust)

        drawn = progress.once("starts", draw)
        for restart, reason in drawn.failed.items():
            listener.warning(f"start {restart} failed: {reason}")
        selection = Selection(drawn.drawn, ())
        if sample_em.n_starts or (settings.max_iter == 0 and given is None):
            # How far starts are followed depends on max_iter where that is small.
            name = f"selected-starts-{sample_em.n_iterations}"
            selection = progress.once(name, partial(_selected, sample_em, drawn, here, listener))

    if selection.trials:
        listener.trials([trial.record() for trial in selection.trials])
    few_rows = sample_em.is_over_all_rows(prepared.summary.n_kept)
    prepared = replace(prepared, problem=replace(prepared.problem, needs_confirmation=few_rows))
    listener.stage("em", f"{settings.n_components} components, {prepared.family.name} covariances")
    at_start = _at_start(selection, prepared, settings, given)
    candidates = _iterated(dataset, executor, prepared, at_start, listener, progress)
    result = _concluded(dataset, prepared, candidates, drawn.failed, selection.trials, listener)
    for text in result.warnings[len(prepared.warnings) :]:
        listener.warning(text)
    return result


def _at_start(
    selection: Selection, prepared: PreparedFit, settings: FitSettings, given: UserStart | None
) -> tuple[FitCandidate, ...]:
    """A candidate for each start that goes to all rows."""
    before = None
    if isinstance(given, LastFit):
        before = given.log_likelihood_before(prepared.summary, settings)
    solver = EMSolver(prepared.problem)
    return tuple(
        solver.init(
            CandidateId(begun.restart, begun.name),
            begun.parameters,
            is_given=settings.method == "given",
            warm_log_likelihood=before,
        )
        for begun in selection.begun
    )


def _iterated(
    dataset: Dataset,
    executor: Executor,
    prepared: PreparedFit,
    at_start: tuple[FitCandidate, ...],
    listener: Listener,
    progress: SavedProgress,
) -> tuple[FitCandidate, ...]:
    """All restarts to their ends, from where an earlier attempt was."""
    state = progress.em_state() or EmState(at_start, 0)
    if state.n_passes:
        listener.note(f"EM goes on after {state.n_passes} passes of an earlier attempt")
    data_pass = EStepRunner(
        dataset,
        executor,
        prepared.backend,
        n_dropped=prepared.summary.n_dropped,
        n_partial=prepared.summary.n_partial,
        of_pass=progress.of_pass,
        n_passes=state.n_passes,
    )

    def save(candidates: tuple[FitCandidate, ...]) -> None:
        progress.save_em_state(EmState(candidates, data_pass.n_passes))

    listen = _listen(listener, state)
    return em.run(state.candidates, data_pass, prepared.problem, listen, save, likelier)


def _concluded(
    dataset: Dataset,
    prepared: PreparedFit,
    candidates: tuple[FitCandidate, ...],
    failed: dict[int, str],
    trials: tuple[Trial, ...],
    listener: Listener,
) -> Fit:
    """The best candidate as a model."""
    chosen = em.best(candidates, prepared.n_rows)
    _check_outcome(chosen)
    noted = regularisation_events(chosen, prepared.regularisation)
    for event in noted:
        listener.component(asdict(event))
    model = MixtureModel(chosen.parameters, prepared.standardisation, dataset.feature_names)
    return Fit(
        model=model,
        chosen=chosen,
        candidates=candidates,
        failed_starts=failed,
        trials=trials,
        summary=prepared.summary,
        sample=prepared.summary.sample,
        events=(*(e for c in candidates for e in c.events), *noted),
        warnings=(
            *prepared.warnings,
            *fit_warnings(model, round(prepared.n_rows), chosen.events),
            *spike_warnings(model, prepared.summary.sample, prepared.repeated_values),
            *regularised_warnings(
                model,
                FittedSample(
                    prepared.summary.sample,
                    prepared.sample,
                    prepared.regularisation,
                    round(prepared.n_rows),
                    prepared.repeated_values,
                    prepared.summary.sample_weights,
                ),
            ),
        ),
        backend=prepared.backend,
        repeated_values=prepared.repeated_values,
        dataset=dataset,
        weights=prepared.weights,
        missing_cost=prepared.missing_cost,
    )


def _check_outcome(chosen: FitCandidate) -> None:
    if chosen.outcome is not None and not chosen.outcome.is_usable:
        raise ComponentError(f"{chosen.outcome.name}: {chosen.outcome.value}")


def _drawn(
    sample_em: SampleEM,
    prepared: PreparedFit,
    settings: FitSettings,
    here: Executor,
    listener: Listener,
    given: UserStart | None,
    adjust: StartTransform | None,
) -> Starts:
    """The method's starts of every restart, on the sample."""
    n_wanted = sample_em.n_starts
    rows = sample_em.few if n_wanted else sample_em.sample
    n = n_starts(settings, n_wanted)
    times = f"{n} times " if n > 1 else ""
    listener.stage("initialisation", f"{settings.method} {times}on {len(rows):,} sampled rows")
    values, weights = rows.values, rows.weights
    return starts_on_sample(prepared, settings, values, n_wanted, here, given, adjust, weights)


def _selected(sample_em: SampleEM, drawn: Starts, here: Executor, listener: Listener) -> Selection:
    """Where each restart begins on all rows, once EM has run on the sample."""
    n, rows = len(drawn.drawn), len(sample_em.sample if sample_em.is_followed else sample_em.few)
    listener.stage("sample", f"EM from {n} starts on up to {rows:,} sampled rows")
    selection = sample_em.refine(drawn, here)
    for trial in selection.trials:
        if trial.selected:
            n_starts = len(drawn.of(trial.restart))
            listener.note(f"restart {trial.restart}: {trial.describe(n_starts)}")
    return selection


def _listen(listener: Listener, state: EmState) -> em.Listen:
    """Hand iterations on, and component events as they happen."""
    n_reported = {c.id: len(c.events) for c in state.candidates}

    def listen(candidate: FitCandidate, iteration: Iteration) -> None:
        listener.iteration(asdict(iteration))
        for event in candidate.events[n_reported.get(candidate.id, 0) :]:
            listener.component(asdict(event))
        n_reported[candidate.id] = len(candidate.events)

    return listen
