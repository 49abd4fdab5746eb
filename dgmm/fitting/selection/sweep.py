"""Several models of one data set in the same passes: one read of a block feeds every model.

A model ends when its EM does; the others go on. Its bits are those of its fit alone from the same
starts: nothing of a model depends on which others there are, nor on how they are grouped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dgmm.data.dataset import Dataset
from dgmm.errors import ComponentError
from dgmm.events import Listener
from dgmm.execution.threads import in_this_process
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.saved_progress import NO_SAVED_PROGRESS, PartProgress, SavedProgress
from dgmm.fitting.em.state import EMProblem, FitCandidate
from dgmm.fitting.fit import Fit, concluded, fitted_model
from dgmm.fitting.iterate import Iterations, ModelKey, model_of
from dgmm.fitting.model_start import ModelStart, Starter
from dgmm.fitting.preparation import prepare_models
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.selection.chain import Chain, Refit, falls, refits
from dgmm.fitting.selection.choice import Choice, Scored, choose
from dgmm.fitting.selection.groups import grouped, key_of
from dgmm.fitting.settings import FitSettings
from dgmm.fitting.weighing import weighed
from dgmm.mixture.criteria import Criteria, criteria
from dgmm.model.mixture_model import MixtureModel
from dgmm.outcome import Outcome
from dgmm.reduction.executor import Executor


@dataclass(frozen=True, slots=True, eq=False)
class SweptModel:
    """One model of a sweep.

    Attributes
    ----------
    settings
        What was asked for.
    chosen
        Its best candidate.
    model
        The mixture, after the last M-step.
    log_likelihood, entropy
        Of the last E-step, over all rows: of the parameters before the last M-step, so that no read
        is spent on them. The entropy is None where it is not known (rows that lack values).
    criteria
        Of these; ICL is NaN without entropy.
    is_sound
        See `Scored`.
    """

    settings: FitSettings
    chosen: FitCandidate
    model: MixtureModel
    log_likelihood: float
    entropy: float | None
    criteria: Criteria
    is_sound: bool

    @property
    def scored(self) -> Scored:
        """What the choice compares of it."""
        k, family = self.settings.n_components, self.settings.covariance_type
        n_free = self.model.n_parameters
        return Scored(k, family, n_free, self.criteria, is_sound=self.is_sound)


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """What a sweep leaves.

    Attributes
    ----------
    fit
        That of the chosen model.
    models
        All that could be fitted.
    begun, candidates
        Starts of all models, and where EM led from them.
    failed
        Why the others could not, by name.
    choice
        Which was chosen, and why.
    n_rows
        Rows that criteria count.
    n_passes
        Passes of EM over all rows.
    n_groups
        Groups of models that shared passes.
    """

    fit: Fit
    models: tuple[SweptModel, ...]
    begun: tuple[ModelStart, ...]
    candidates: tuple[FitCandidate, ...]
    failed: dict[str, str]
    choice: Choice
    n_rows: float
    n_passes: int
    n_groups: int

    @property
    def chosen(self) -> SweptModel:
        """The chosen model."""
        return next(m for m in self.models if m.scored == self.choice.chosen)

    @property
    def refitted(self) -> list[Refit]:
        """Models that were fitted again from a split of a smaller one."""
        return refits(self.begun, self.candidates)

    @property
    def fallen(self) -> list[FitSettings]:
        """Sound models that are still less likely than a smaller one of their family."""
        found = falls(self.begun, self.candidates)
        return [fall.model.settings for fall in found if fall.reason == "less likely"]

    @property
    def n_passes_alone(self) -> int:
        """Passes of EM that the models would take one by one."""
        own: dict[ModelKey, int] = {}
        for c in self.candidates:
            own[model_of(c.id)] = max(own.get(model_of(c.id), 0), c.n_iter)
        return sum(own.values())


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
    return _concluded(dataset, begun, failed, going, listener, tolerance, len(groups), sizes)


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
        raise ComponentError(f"no model has a start: {_reasons(failed)}")
    return begun, failed


def _concluded(
    dataset: Dataset,
    begun: Sequence[ModelStart],
    failed: dict[str, str],
    going: Iterations,
    listener: Listener,
    tolerance: float,
    n_groups: int,
    sizes: set[int],
) -> Sweep:
    """Criteria of all models, and the fit of the chosen one."""
    n_rows = _n_rows(begun[0].prepared)
    swept, failed = list[SweptModel](), dict(failed)
    for one in begun:
        own = _of_model(going.candidates, one.settings)
        best = em.best(own, one.prepared.n_rows_ranked)
        if best.outcome is not None and not best.outcome.is_usable:
            failed[one.settings.name] = f"{best.outcome.name}: {best.outcome.value}"
            listener.warning(f"{one.settings.name} cannot be fitted: {best.outcome.value}")
            continue
        swept.append(_swept(dataset, one, best, n_rows))
    if not swept:
        raise ComponentError(f"no model could be fitted: {_reasons(failed)}")
    choice = choose([model.scored for model in swept], n_rows, tolerance, sizes)
    start = next(b for b in begun if _is_of(b.settings, choice.chosen))
    listener.note(f"selection: {choice.describe()}")
    if choice.edge_warning:
        listener.warning(choice.edge_warning)
    fit = concluded(dataset, start, _of_model(going.candidates, start.settings), listener)
    return Sweep(
        *(fit, tuple(swept), tuple(begun), going.candidates, failed, choice),
        n_rows=n_rows,
        n_passes=going.n_passes,
        n_groups=n_groups,
    )


def _reasons(failed: dict[str, str]) -> str:
    """Why models failed, each reason once with the models that it is of."""
    found: dict[str, list[str]] = {}
    for name, reason in failed.items():
        found.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in found.items())


def _is_of(settings: FitSettings, chosen: Scored) -> bool:
    return key_of(settings) == (chosen.n_components, chosen.covariance_type)


def _of_model(
    candidates: Sequence[FitCandidate], settings: FitSettings
) -> tuple[FitCandidate, ...]:
    return tuple(c for c in candidates if model_of(c.id) == key_of(settings))


def _n_rows(prepared: PreparedFit) -> float:
    """Rows that criteria count: effective ones where weights are importances."""
    n, weights = prepared.summary.weight, prepared.weights
    return n if weights is None else weights.rows_of(n)


def _swept(dataset: Dataset, one: ModelStart, best: FitCandidate, n_rows: float) -> SweptModel:
    prepared, outcome = one.prepared, best.outcome or Outcome.MAX_ITER_REACHED
    model = fitted_model(dataset, prepared, best)
    total = best.mean_log_likelihood * n_rows
    share = n_rows / prepared.summary.weight
    entropy = None if best.entropy is None else best.entropy * share
    known = float("nan") if entropy is None else entropy
    has_rows = best.parameters.supports_covariances(prepared.n_rows_ranked)
    return SweptModel(
        *(one.settings, best, model, total, entropy),
        criteria=criteria(total, known, model.n_parameters, n_rows),
        is_sound=has_rows and em.is_sound(outcome),
    )
