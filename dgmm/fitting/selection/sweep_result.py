"""What a sweep leaves: every model with its criteria, and the fit of the one that was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dgmm.data.dataset import Dataset
from dgmm.errors import ComponentError
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.candidate_id import CandidateId
from dgmm.fitting.em.state import FitCandidate
from dgmm.fitting.fit import Fit, concluded, fitted_model
from dgmm.fitting.iterate import Iterations, model_of
from dgmm.fitting.model_start import ModelStart, Starter
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.fitting.selection.chain import Refit, falls, refits
from dgmm.fitting.selection.choice import BicRule, Choice, HeldOutRule, Rule, Scored, choose
from dgmm.fitting.selection.groups import key_of
from dgmm.fitting.selection.held_out import HeldOut
from dgmm.fitting.selection.part import Part
from dgmm.fitting.settings import FitSettings
from dgmm.mixture.criteria import Criteria, criteria
from dgmm.model.mixture_model import MixtureModel
from dgmm.outcome import Outcome


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
        left = self.model.n_components
        return Scored(
            *(k, family, self.model.n_parameters, self.criteria),
            is_sound=self.is_sound,
            n_left=left if left < k else None,
        )


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
        Why the others could not, or not without one of the folds, by name.
    choice
        Which was chosen, and why.
    n_rows
        Rows that criteria count.
    n_passes
        Passes of EM over all rows.
    n_passes_alone
        Passes of EM that the models would take one by one.
    n_groups
        Groups of models that shared passes.
    held_out
        Log-likelihoods of held-out rows; None where the choice is by BIC.
    """

    fit: Fit
    models: tuple[SweptModel, ...]
    begun: tuple[ModelStart, ...]
    candidates: tuple[FitCandidate, ...]
    failed: dict[str, str]
    choice: Choice
    n_rows: float
    n_passes: int
    n_passes_alone: int
    n_groups: int
    held_out: HeldOut | None = None

    @property
    def chosen(self) -> SweptModel:
        """The chosen model."""
        return next(m for m in self.models if m.scored == self.choice.chosen)

    @property
    def runner_up(self) -> SweptModel | None:
        """What the rule would choose without the chosen model; None of one model."""
        return next((m for m in self.models if m.scored == self.choice.runner_up), None)

    @property
    def refitted(self) -> list[Refit]:
        """Models that were fitted again from a split of a smaller one."""
        return refits(self.begun, self.candidates)

    @property
    def fallen(self) -> list[FitSettings]:
        """Sound models that are still less likely than a smaller one of their family."""
        found = falls(self.begun, self.candidates)
        return [fall.model.settings for fall in found if fall.reason == "less likely"]


def conclude(
    maker: Starter,
    whole: Part,
    going: Iterations,
    tolerance: float,
    held_out: HeldOut | None,
    n_groups: int,
    sizes: set[int],
) -> Sweep:
    """Criteria of all models, and the fit of the chosen one."""
    dataset, listener, n_rows = maker.dataset, maker.listener, _n_rows(whole.begun[0].prepared)
    swept, failed = list[SweptModel](), dict(whole.failed)
    for one in whole.begun:
        best = whole.best(one, going.candidates)
        if best.outcome is not None and not best.outcome.is_usable:
            failed[one.settings.name] = f"{best.outcome.name}: {best.outcome.value}"
            listener.warning(f"{one.settings.name} cannot be fitted: {best.outcome.value}")
            continue
        swept.append(_swept(dataset, one, best, n_rows))
        if held_out is not None and (reason := held_out.failed.get(one.settings.name)):
            failed[one.settings.name] = reason
        if (n_left := swept[-1].scored.n_left) is not None:
            listener.warning(
                f"{one.settings.name} has lost components, {n_left} are left: it is compared as a "
                "model of so many, with their free parameters"
            )
    if not swept:
        raise ComponentError(f"no model could be fitted: {reasons(failed)}")
    rule: Rule = BicRule(n_rows, tolerance)
    if held_out is not None:
        rule = HeldOutRule(held_out, tolerance)
    choice = choose([model.scored for model in swept], rule, n_rows, sizes)
    start = next(b for b in whole.begun if key_of(b.settings) == choice.chosen.key)
    listener.note(f"selection: {choice.describe()}")
    if choice.edge_warning:
        listener.warning(choice.edge_warning)
    own = whole.own(going.candidates)
    fit = concluded(dataset, start, _of_model(own, start.settings), listener)
    return Sweep(
        *(fit, tuple(swept), whole.begun, own, failed, choice),
        n_rows=n_rows,
        n_passes=going.n_passes,
        n_passes_alone=_n_passes_alone(going.candidates),
        n_groups=n_groups,
        held_out=held_out,
    )


def _n_passes_alone(candidates: Sequence[FitCandidate]) -> int:
    """Passes of EM that models would take one by one, those without a fold included."""
    own: dict[CandidateId, int] = {}
    for c in candidates:
        model = replace(c.id, restart=0, start="")
        own[model] = max(own.get(model, 0), c.n_iter)
    return sum(own.values())


def reasons(failed: dict[str, str]) -> str:
    """Why models failed, each reason once with the models that it is of."""
    found: dict[str, list[str]] = {}
    for name, reason in failed.items():
        found.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in found.items())


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
    if one.settings.component_order == "weight":
        model = model.ordered_by_weight()
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
