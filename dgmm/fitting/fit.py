"""One fit from start to end, the same for the job and the estimator: summary, start, EM, model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.feature_units import units_of
from dgmm.data.summary.counted_weights import CountedWeights
from dgmm.data.summary.repeated_values import RepeatedValue
from dgmm.data.summary.summarise import Summary
from dgmm.errors import ComponentError
from dgmm.events import Listener
from dgmm.execution.threads import in_this_process
from dgmm.fitting.component_numbers import in_numbers_of, n_lost, origins
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.collapse import ComponentEvent
from dgmm.fitting.em.regularisation import regularisation_events
from dgmm.fitting.em.saved_progress import NO_SAVED_PROGRESS, SavedProgress
from dgmm.fitting.em.state import FitCandidate
from dgmm.fitting.fit_warnings import fit_warnings, spike_warnings
from dgmm.fitting.frozen_components import (
    frozen_first,
    n_frozen_parameters,
    order_within_em,
    with_frozen,
)
from dgmm.fitting.inference import MAXIMUM_LIKELIHOOD, Inference
from dgmm.fitting.iterate import Iterations
from dgmm.fitting.missing_cost import MissingCost
from dgmm.fitting.model_start import ModelStart, Starter
from dgmm.fitting.preparation import prepare
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.regularised_components import FittedSample, regularised_warnings
from dgmm.fitting.restarts import (
    StartTransform,
    UserStart,
)
from dgmm.fitting.sample_trials import Trial
from dgmm.fitting.settings import FitSettings
from dgmm.fitting.shrinkage import (
    Shrinkage,
    added_by,
    can_be_chosen,
    is_due,
    shrinkage_of,
    with_added,
)
from dgmm.fitting.weighing import weighed
from dgmm.model.component_order import order_by_weight
from dgmm.model.mixture_model import MixtureModel
from dgmm.reduction.executor import Executor

__all__ = ["StartTransform", "Fit", "UserStart", "fit"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What a fit leaves: the model, how it came about, and the sample it started from.

    `sample` is (m, d) in the data's own units and dtype; `backend` names what computed the
    passes, `numpy` or `numba`. `dataset` yields the rows with the weights that EM used, and
    `weights` tells what those of the rows that count were like; None where there are none. Of the
    model's free parameters `n_frozen_parameters` were not estimated. `origins` has the number that
    each component of the model had at the start, and `frozen` what the components that
    `settings.freeze` names are called in the model. `shrinkage` is what
    is added to variances because rows are few; None where that was not chosen.
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
    inference: Inference = MAXIMUM_LIKELIHOOD
    n_frozen_parameters: int = 0
    origins: tuple[int, ...] = ()
    frozen: tuple[int, ...] = ()
    shrinkage: Shrinkage | None = None


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
        (listener.warning if cost.is_high else listener.note)(cost.describe())

    shrinkage = None
    if is_due(prepared, settings):
        prepared, shrinkage = _shrunk(prepared, settings, executor, listener, progress)
    if settings.freeze and given is not None:
        given = frozen_first(given, settings)
    with in_this_process(executor) as here:
        starter = Starter(dataset, executor, here, listener, progress, given, adjust)
        begun = starter.start(prepared, settings, CandidateId())
    if begun.trials:
        listener.trials([trial.record() for trial in begun.trials])
    if settings.freeze:
        frozen = with_frozen(begun.prepared, begun.candidates[0].parameters, settings)
        begun = replace(begun, prepared=frozen)
    prepared = begun.prepared
    listener.stage("em", f"{settings.n_components} components, {prepared.family.name} covariances")
    named = partial(_heard, settings)
    going = Iterations(dataset, executor, prepared, listener, progress, begun.candidates, named)
    going.run(prepared.problem)
    may_shrink = shrinkage is None and can_be_chosen(prepared, settings)
    found = concluded(dataset, begun, going.candidates, listener, may_shrink=may_shrink)
    return replace(found, shrinkage=shrinkage)


def _shrunk(
    prepared: PreparedFit,
    settings: FitSettings,
    executor: Executor,
    listener: Listener,
    progress: SavedProgress,
) -> tuple[PreparedFit, Shrinkage]:
    """The same with what held-out rows prefer added to variances, and warned of."""
    listener.stage("shrinkage", "what is added to variances, by held-out rows of the sample")
    with in_this_process(executor) as here:
        chosen = progress.once("shrinkage", lambda: shrinkage_of(prepared, settings, here))
    text = chosen.describe("components have")
    listener.warning(text)
    added = added_by(prepared, chosen.share, settings.reg_covar)
    found = with_added(prepared, added)
    return replace(found, warnings=(*prepared.warnings, text)), chosen


def concluded(
    dataset: Dataset,
    begun: ModelStart,
    candidates: tuple[FitCandidate, ...],
    listener: Listener,
    *,
    may_shrink: bool = False,
) -> Fit:
    """The best candidate of a model as its fit; what is noted and warned of is heard.

    `may_shrink` says whether regularisation could have been chosen by held-out rows, and was not.

    Raises
    ------
    ComponentError
        If none is usable.
    """
    prepared = begun.prepared
    inference = prepared.problem.inference
    chosen = em.best(candidates, prepared.n_rows_ranked)
    _check_outcome(chosen)
    model, own = _numbered(fitted_model(dataset, prepared, chosen), chosen, begun.settings)
    ordered = replace(chosen, parameters=model.parameters)  # numbers of components are the model's
    noted = regularisation_events(ordered, prepared.added)
    for event in noted:
        listener.component(asdict(event))
    heard = _heard(begun.settings, chosen.events)
    told = _warnings(model, prepared, heard, may_shrink=may_shrink)
    result = Fit(
        model=model,
        chosen=chosen,
        candidates=candidates,
        failed_starts=begun.failed,
        trials=begun.trials,
        summary=prepared.summary,
        sample=prepared.summary.sample,
        events=(*(e for c in candidates for e in _heard(begun.settings, c.events)), *noted),
        warnings=(*prepared.warnings, *told),
        backend=prepared.backend,
        repeated_values=prepared.repeated_values,
        dataset=dataset,
        weights=prepared.weights,
        missing_cost=prepared.missing_cost,
        inference=inference,
        n_frozen_parameters=n_frozen_parameters(begun.settings, dataset.n_features),
        origins=own,
        frozen=tuple(own.index(j) for j in begun.settings.freeze),
    )
    for text in told:
        listener.warning(text)
    return result


def _warnings(
    model: MixtureModel,
    prepared: PreparedFit,
    events: tuple[ComponentEvent, ...],
    *,
    may_shrink: bool,
) -> tuple[str, ...]:
    """What a user should know of a fitted model, beside what its data gave reason for."""
    n_rows, summary = round(prepared.n_rows), prepared.summary
    sample = FittedSample(
        summary.sample,
        prepared.sample,
        prepared.added,
        n_rows,
        prepared.repeated_values,
        summary.sample_weights,
    )
    return (
        *fit_warnings(model, n_rows, events, may_shrink=may_shrink),
        *spike_warnings(model, summary.sample, prepared.repeated_values),
        *regularised_warnings(model, sample),
    )


def fitted_model(dataset: Dataset, prepared: PreparedFit, candidate: FitCandidate) -> MixtureModel:
    """The mixture that a candidate has come to, with the names and units of the data's features."""
    parameters = prepared.problem.inference.model(candidate.parameters)
    return MixtureModel(
        *(parameters, prepared.standardisation, dataset.feature_names),
        feature_units=units_of(dataset),
    )


def _heard(settings: FitSettings, events: tuple[ComponentEvent, ...]) -> tuple[ComponentEvent, ...]:
    """Events in the user's numbers of components."""
    return in_numbers_of(events, order_within_em(settings)) if settings.freeze else events


def _numbered(
    model: MixtureModel, chosen: FitCandidate, settings: FitSettings
) -> tuple[MixtureModel, tuple[int, ...]]:
    """The model with its components in the order asked for, and what these were at the start."""
    n_begun = model.n_components + n_lost(chosen.events)
    order = order_within_em(settings) if settings.freeze else np.arange(n_begun)
    own = origins(chosen.events, order)
    places = np.argsort(own)
    if settings.freeze:
        model = replace(model, parameters=model.parameters.take(places))
    if settings.component_order == "weight":
        places = places[order_by_weight(model.parameters)]
        model = model.ordered_by_weight()
    return model, tuple(own[places].tolist())


def _check_outcome(chosen: FitCandidate) -> None:
    if chosen.outcome is not None and not chosen.outcome.is_usable:
        raise ComponentError(f"{chosen.outcome.name}: {chosen.outcome.value}")
