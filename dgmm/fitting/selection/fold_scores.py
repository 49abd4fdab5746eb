"""Held-out log-likelihoods of the models of a sweep, once those without each fold are fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dgmm.data.missing_rows import MissingPolicy
from dgmm.errors import ComponentError
from dgmm.fitting.em.state import FitCandidate
from dgmm.fitting.fit import fitted_model
from dgmm.fitting.iterate import ModelKey
from dgmm.fitting.model_start import ModelStart, Starter
from dgmm.fitting.selection.folds import Folds
from dgmm.fitting.selection.groups import key_of
from dgmm.fitting.selection.held_out import FoldModel, HeldOut, held_out
from dgmm.fitting.selection.part import Part


def scored_folds(
    maker: Starter, parts: Sequence[Part], candidates: Sequence[FitCandidate], folds: Folds
) -> HeldOut:
    """Every row scored by the models that have not seen its fold, from one read.

    Models that could not be fitted without one of the folds are left out, with a warning.

    Raises
    ------
    ComponentError
        If that is so of all.
    """
    whole, *others = parts
    models: dict[ModelKey, list[FoldModel]] = {}
    failed: dict[str, str] = {}
    for model in whole.begun:
        found = [_fold_model(maker, part, model, candidates) for part in others]
        known = [one for one in found if isinstance(one, FoldModel)]
        if len(known) == len(found):
            models[key_of(model.settings)] = known
            continue
        fold, reason = next((i, one) for i, one in enumerate(found) if isinstance(one, str))
        failed[model.settings.name] = f"without fold {fold}: {reason}"
        maker.listener.warning(
            f"{model.settings.name} could not be fitted without fold {fold}: its "
            "held-out log-likelihood is not known, and it is not compared"
        )
    if not models:
        raise ComponentError(
            "no model could be fitted without each fold: lower selection.folds, or set "
            "selection.criterion to bic"
        )
    prepared = whole.begun[0].prepared
    summary = prepared.summary
    maker.listener.stage("held out", f"{len(models)} models on the rows of {folds.n_folds} folds")
    scored = held_out(
        *(maker.dataset, maker.executor, models, folds),
        missing=MissingPolicy.after_summary(summary.n_dropped, summary.n_partial),
        n_dropped=summary.n_dropped,
        counts_are_rows=prepared.problem.counts_are_rows,
        of_pass=maker.progress.of_pass,
    )
    return replace(scored, failed=failed)


def _fold_model(
    maker: Starter, part: Part, model: ModelStart, candidates: Sequence[FitCandidate]
) -> FoldModel | str:
    """A model without one fold, or why it could not be fitted."""
    own = next((b for b in part.begun if b.settings.name == model.settings.name), None)
    if own is None:
        return part.failed[model.settings.name]
    best = part.best(own, candidates)
    if best.outcome is not None and not best.outcome.is_usable:
        return f"{best.outcome.name}: {best.outcome.value}"
    fitted = fitted_model(maker.dataset, own.prepared, best)
    return FoldModel(fitted, own.prepared.backend)
