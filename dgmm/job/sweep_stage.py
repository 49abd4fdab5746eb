"""A job of several models: fitted in the same passes, recorded and saved, one of them chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dgmm.config import Job
from dgmm.data.dataset import Dataset
from dgmm.fitting.fit import Fit
from dgmm.fitting.iterate import model_fields
from dgmm.fitting.selection.choice import Scored
from dgmm.fitting.selection.folds import Folds
from dgmm.fitting.selection.held_out import HeldOut
from dgmm.fitting.selection.sweep import sweep
from dgmm.fitting.selection.sweep_result import Sweep, SweptModel
from dgmm.fitting.settings import FitSettings
from dgmm.job.directory import RunDirectory
from dgmm.job.fit_record import about_rows, restart_record
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.products import MODELS
from dgmm.job.run_resources import RunResources
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import save_model
from dgmm.selection_record import (
    HeldOutModel,
    HeldOutRecord,
    ModelName,
    Selection,
    SweptModelRecord,
)


def fit_several(
    job: Job,
    rows: Dataset,
    settings: Sequence[FitSettings],
    directory: RunDirectory,
    recording: RecordingListener,
    work: RunResources,
    complete: Callable[[MixtureModel], MixtureModel],
) -> tuple[Fit, Sweep]:
    """Fit all models, and save each below `models/`; the fit of the chosen one, and all of them.

    `complete` gives a model the steps that rows go through first, and the units that these have.
    """
    found = sweep(
        *(rows, work.executor, settings, recording),
        tolerance=job.selection.tolerance,
        n_groups=work.plan.n_groups,
        split_starts=job.selection.split_starts,
        folds=folds_of(job),
        progress=work.state,
    )
    with directory.folder.folder_made(MODELS) as folder:
        for one in found.models:
            save_model(
                complete(one.model),
                folder / one.settings.name,
                outcome=None if one.chosen.outcome is None else one.chosen.outcome.name,
                mean_log_likelihood=one.chosen.mean_log_likelihood,
                **about_rows(found.fit),
            )
    return found.fit, found


def folds_of(job: Job) -> Folds | None:
    """The parts of the rows that are held out in turn; None where none is."""
    asked = job.selection
    if asked.criterion != "held_out":
        return None
    return Folds(asked.folds, asked.fold_rows, job.seed)


def note_sweep(directory: RunDirectory, found: Sweep) -> None:
    """What became of every model, in run.json: selection, restarts, starts, component log."""
    chosen = found.fit.chosen
    directory.record["selection"] = selection_record(found)
    directory.record["restarts"] = [
        restart_record(c, selected=c.id == chosen.id) | model_fields(c.id) for c in found.candidates
    ]
    directory.record["starts"] = [
        asdict(trial) | _name(begun.settings) for begun in found.begun for trial in begun.trials
    ]
    directory.record["component_log"] = [
        asdict(event) | model_fields(c.id) for c in found.candidates for event in c.events
    ]
    directory.write()


def selection_record(found: Sweep) -> Selection:
    """The models, their criteria, and which was chosen by which rule."""
    choice = found.choice
    runner_up = choice.runner_up
    record: Selection = {
        "rule": choice.rule,
        "tolerance": choice.tolerance,
        "rows": found.n_rows,
        "chosen": _name(choice.chosen),
        "runner_up": None if runner_up is None else _name(runner_up),
        "lowest_bic": _name(choice.best_bic),
        "given_up": choice.given_up,
        "chosen_at_edge": choice.is_largest(choice.chosen),
        "lowest_bic_at_edge": choice.is_largest(choice.best_bic),
        "chosen_is_smallest": choice.is_smallest(choice.chosen),
        "lowest_bic_is_smallest": choice.is_smallest(choice.best_bic),
        "hidden": choice.hidden,
        "passes": found.n_passes,
        "passes_alone": found.n_passes_alone,
        "groups": found.n_groups,
        "models": [_record(one) for one in found.models],
        "failed": found.failed,
        "refitted": [{**_name(one.settings), "reason": one.reason} for one in found.refitted],
        "fallen": [_name(one) for one in found.fallen],
    }
    if found.held_out is not None:
        record["held_out"] = _held_out(found, found.held_out)
    return record


def _held_out(found: Sweep, held_out: HeldOut) -> HeldOutRecord:
    """Log-likelihoods of held-out rows, and what they differ by from that of the best model."""
    best, names = found.choice.best, {one.scored.key: one.settings for one in found.models}
    models: list[HeldOutModel] = []
    for key in held_out.models:
        if key not in names:
            continue
        below = held_out.below(key, best.key)
        models.append(
            {
                **_name(names[key]),
                "mean_log_likelihood": held_out.mean(key),
                "by_fold": list(held_out.by_fold(key)),
                "below_best": below.mean,
                "standard_error": below.standard_error,
            }
        )
    return {
        "rows": held_out.sums.n_rows.tolist(),
        "best": _name(best),
        "best_at_edge": found.choice.is_largest(best),
        "models": models,
    }


def _name(one: FitSettings | Scored) -> ModelName:
    return {"n_components": one.n_components, "covariance_type": one.covariance_type}


def _record(one: SweptModel) -> SweptModelRecord:
    values = one.criteria
    return {
        **_name(one.settings),
        "path": f"{MODELS}/{one.settings.name}",
        "fitted_components": one.model.n_components,
        "n_parameters": one.model.n_parameters,
        "outcome": None if one.chosen.outcome is None else one.chosen.outcome.name,
        "n_iter": one.chosen.n_iter,
        "start": one.chosen.start,
        "is_sound": one.is_sound,
        "mean_log_likelihood": one.chosen.mean_log_likelihood,
        "log_likelihood": one.log_likelihood,
        "entropy": one.entropy,
        "bic": values.bic,
        "aic": values.aic,
        "icl": None if one.entropy is None else values.icl,
    }


def chosen_type(record: Mapping[str, Any]) -> str | None:
    """The covariance type of a run's model: that of its job, or the one that was chosen."""
    chosen = (record.get("selection") or {}).get("chosen") or record["job"]["model"]
    found = chosen.get("covariance_type")
    return found if isinstance(found, str) else None
