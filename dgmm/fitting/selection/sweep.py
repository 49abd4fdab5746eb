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
from dgmm.fitting.em.saved_progress import NO_SAVED_PROGRESS, SavedProgress
from dgmm.fitting.em.state import EMProblem
from dgmm.fitting.iterate import Iterations, model_of
from dgmm.fitting.model_start import Starter
from dgmm.fitting.preparation import prepare_models
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.selection.fold_scores import scored_folds
from dgmm.fitting.selection.folds import Folds
from dgmm.fitting.selection.groups import grouped, key_of
from dgmm.fitting.selection.part import Part, fold_parts
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
    folds: Folds | None = None,
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
    folds
        Parts of the rows; every model is fitted without each of them too, in the same passes, and
        the choice is by the log-likelihood of held-out rows. None chooses by BIC.
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
    with in_this_process(executor) as here:
        maker = Starter(dataset, executor, here, listener, progress)
        whole = Part.of_models(maker, models, prepared, split_starts=split_starts)
        if not whole.begun:
            raise ComponentError(f"no model has a start: {reasons(whole.failed)}")
        listener.trials([t.record() | _fields(b.settings) for b in whole.begun for t in b.trials])
        parts = [whole]
        if folds is not None:
            parts += fold_parts(maker, whole, folds, split_starts=split_starts)
        going, n_groups = _fitted(parts, maker, n_groups, split_starts=split_starts)
        found = None if folds is None else scored_folds(maker, parts, going.candidates, folds)
    sizes = {settings.n_components for settings in models}
    return conclude(maker, whole, going, tolerance, found, n_groups, sizes)


def _fitted(
    parts: Sequence[Part], maker: Starter, n_groups: int, *, split_starts: bool
) -> tuple[Iterations, int]:
    """EM of all models of all parts to its end, and in how many groups it ran."""
    settings, listener = [b.settings for b in parts[0].begun], maker.listener
    groups = grouped(settings, maker.dataset.n_features, n_groups)
    several = "s" * (len(groups) != 1)
    beside = f", and without each of {len(parts) - 1} folds" if len(parts) > 1 else ""
    listener.stage("em", f"{len(settings)} models in {len(groups)} group{several}{beside}")
    going = Iterations(
        *(maker.dataset, maker.executor, parts[0].begun[0].prepared, listener, maker.progress),
        tuple(c for part in parts for b in part.begun for c in b.candidates),
    )
    for group in groups:
        going.run(_problems(parts, going), group)
    while split_starts and (more := [c for p in parts for c in p.due(going.candidates)]):
        going.add(more)
        going.run(_problems(parts, going))
    return going, len(groups)


def _problems(parts: Sequence[Part], going: Iterations) -> dict[CandidateId, EMProblem]:
    """The problem of each candidate, those that an earlier attempt has added included."""
    own = {(p.fold, key_of(b.settings)): b.prepared.problem for p in parts for b in p.begun}
    return {c.id: own[c.id.fold, model_of(c.id)] for c in going.candidates}


def _fields(settings: FitSettings) -> dict[str, Any]:
    return {"n_components": settings.n_components, "covariance_type": settings.covariance_type}


def _warn(prepared: Sequence[PreparedFit], listener: Listener) -> None:
    """What the data, and each family, give reason to look at, once."""
    for text in dict.fromkeys(text for one in prepared for text in one.warnings):
        listener.warning(text)
    costs = [one.missing_cost for one in prepared if one.missing_cost is not None]
    if costs:
        worst = max(costs, key=lambda cost: cost.factor)
        (listener.warning if worst.is_high else listener.note)(worst.describe())
