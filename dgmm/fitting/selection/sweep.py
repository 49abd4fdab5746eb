"""Several models of one data set in the same passes: one read of a block feeds every model.

A model ends when its EM does; the others go on. Its bits are those of its fit alone from the same
starts: nothing of a model depends on which others there are, nor on how they are grouped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dgmm.data.dataset import Dataset
from dgmm.errors import ComponentError
from dgmm.events import Listener
from dgmm.execution.threads import in_this_process
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.saved_progress import NO_SAVED_PROGRESS, PartProgress, SavedProgress
from dgmm.fitting.em.state import EMProblem
from dgmm.fitting.iterate import Iterations, model_of
from dgmm.fitting.model_start import ModelStart, Starter
from dgmm.fitting.preparation import prepare_models
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.selection.chain import Chain
from dgmm.fitting.selection.groups import grouped, key_of
from dgmm.fitting.selection.sweep_result import Sweep, conclude, reasons
from dgmm.fitting.settings import FitSettings
from dgmm.fitting.weighing import weighed
from dgmm.reduction.executor import Executor


def sweep(
    dataset: Dataset,
    executor: Executor,
    models: Sequence[FitSettings],
    listener: Listener,
    *,
    tolerance: float,
    n_groups: int = 1,
    split_starts: bool = True,
    progress: SavedProgress = NO_SAVED_PROGRESS,
) -> Sweep:
    """Fit several models to a data set, and choose one.

    Parameters
    ----------
    dataset, executor
        The rows, and where passes over them run.
    models
        What is asked for; they differ in `n_components` and `covariance_type` alone.
    listener
        Hears stages, iterations and warnings.
    tolerance
        Of the choice, nats per row (`dgmm.fitting.selection.choice`).
    n_groups
        Groups of models whose passes are shared; more need less memory and more reads.
    split_starts
        Whether models begin at splits of smaller ones too, and are fitted again from one where the
        likelihood falls with k (`dgmm.fitting.selection.chain`).
    progress
        Saves what is done, and knows what an earlier attempt at this very sweep has done.

    Raises
    ------
    DataError
        If the data cannot be fitted.
    ComponentError
        If no model can.
    """
    dataset, weights = weighed(dataset, executor, models[0], listener, progress)
    listener.stage("summary", f"{dataset.n_samples:,} rows of {dataset.n_features} features")
    prepared = prepare_models(dataset, executor, models, progress, weights)
    _warn(prepared, listener)
    begun, failed = _begun(dataset, executor, models, prepared, listener, progress)
    with in_this_process(executor) as here:
        chain = Chain(here, listener, progress)
        if split_starts:
            begun = chain.extended(begun)
        listener.trials([t.record() | _fields(b.settings) for b in begun for t in b.trials])
        groups = grouped([b.settings for b in begun], dataset.n_features, n_groups)
        several = "s" * (len(groups) != 1)
        listener.stage("em", f"{len(begun)} models in {len(groups)} group{several}")
        starts = tuple(c for b in begun for c in b.candidates)
        going = Iterations(dataset, executor, prepared[0], listener, progress, starts)
        for group in groups:
            going.run(_problems(begun, going), group)
        while split_starts and (more := chain.due(begun, going.candidates)):
            going.add(more)
            going.run(_problems(begun, going))
    sizes = {settings.n_components for settings in models}
    return conclude(dataset, begun, failed, going, listener, tolerance, len(groups), sizes)


def _problems(begun: Sequence[ModelStart], going: Iterations) -> dict[CandidateId, EMProblem]:
    """The problem of each candidate, those that an earlier attempt has added included."""
    own = {key_of(one.settings): one.prepared.problem for one in begun}
    return {c.id: own[model_of(c.id)] for c in going.candidates}


def _fields(settings: FitSettings) -> dict[str, Any]:
    return {"n_components": settings.n_components, "covariance_type": settings.covariance_type}


def _warn(prepared: Sequence[PreparedFit], listener: Listener) -> None:
    """What the data, and each family, give reason to look at, once."""
    for text in dict.fromkeys(text for one in prepared for text in one.warnings):
        listener.warning(text)
    costs = [one.missing_cost for one in prepared if one.missing_cost is not None]
    if costs:
        worst = max(costs, key=lambda cost: cost.factor)
        (listener.warning if worst.is_warned_of else listener.note)(worst.describe())


def _begun(
    dataset: Dataset,
    executor: Executor,
    models: Sequence[FitSettings],
    prepared: Sequence[PreparedFit],
    listener: Listener,
    progress: SavedProgress,
) -> tuple[list[ModelStart], dict[str, str]]:
    """Starts of every model, and why models without any failed."""
    begun, failed = list[ModelStart](), dict[str, str]()
    with in_this_process(executor) as here:
        for settings, own in zip(models, prepared, strict=True):
            part = PartProgress(progress, settings.name)
            starter = Starter(dataset, executor, here, listener, part)
            identity = CandidateId(0, "", settings.n_components, settings.covariance_type)
            try:
                begun.append(starter.start(own, settings, identity))
            except ComponentError as error:
                failed[settings.name] = str(error)
                listener.warning(f"{settings.name} cannot be fitted: {error}")
    if not begun:
        raise ComponentError(f"no model has a start: {reasons(failed)}")
    return begun, failed
