"""What run.json holds of a classifier: its classes, how often it is right; the groups' table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dgmm.classification_record import (
    Classification,
    ClassRecord,
    EvaluationRecord,
    GroupsRecord,
    ShrinkageRecord,
)
from dgmm.config import Job
from dgmm.exit_codes import ExitCode
from dgmm.fitting.classes.fit_classes import FittedClasses
from dgmm.job.class_labels import JobLabels
from dgmm.job.directory import RunDirectory
from dgmm.job.metrics_and_events import RecordingListener, rows_record
from dgmm.job.result import exit_code_of
from dgmm.model.classifier import Classifier
from dgmm.scoring.class_posteriors import class_posteriors
from dgmm.scoring.class_statistics import ClassStatistics, Evaluation, GroupSums
from dgmm.storage.atomic_files import write_text
from dgmm.storage.csv_text import csv_text
from dgmm.terminal_text import listed, quoted

Array = NDArray[np.float64]
#: Predictions of groups in a run directory.
GROUPS = "groups.csv"


def class_records(found: FittedClasses) -> list[ClassRecord]:
    """How the mixture of each class came about."""
    classifier = found.classifier
    return [
        {
            "name": name,
            "rows": one.n_rows,
            "prior": float(prior),
            "n_components": mixture.n_components,
            "n_parameters": mixture.n_parameters,
            "outcome": one.outcome.name,
            "n_iter": one.chosen.n_iter,
            "start": one.chosen.start,
            "mean_log_likelihood": one.chosen.mean_log_likelihood,
        }
        for name, prior, mixture, one in zip(
            *(classifier.names, classifier.priors, classifier.mixtures, found.classes), strict=True
        )
    ]


def note_fitted(directory: RunDirectory, found: FittedClasses, n_folds: int) -> None:
    """How EM went for each class, and on which rows."""
    prepared = found.prepared
    directory.record |= {
        "outcome": found.outcome.name,
        "n_iter": max(one.chosen.n_iter for one in found.classes),
        "backend": prepared.labelled.backend,
        "rows": rows_record(prepared.whole),
        "component_log": [
            {"message": event.message, "kind": event.kind, "iteration": event.iteration}
            | {"component": event.component, "class": c.id.label, "fold": c.id.fold}
            for c in found.candidates
            for event in c.events
        ],
    }
    directory.record["classification"] = {
        "classes": class_records(found),
        "rows_without_class": prepared.n_unknown,
        "folds": n_folds,
        "passes": found.n_passes,
    }
    if (chosen := found.shrinkage) is not None:
        shrinkage = cast("ShrinkageRecord", chosen.record())
        directory.record["classification"]["shrinkage"] = shrinkage
    directory.write()


def record_evaluation(
    directory: RunDirectory,
    classifier: Classifier,
    labels: JobLabels,
    total: ClassStatistics,
    listener: RecordingListener,
) -> None:
    """Likelihood and evaluation of the classifier that is saved; the groups' table is written."""
    scoring, names = total.scoring, classifier.names
    record = directory.record
    record |= {
        "log_likelihood": scoring.log_likelihood,
        "mean_log_likelihood": scoring.log_likelihood / scoring.weight if scoring.weight else None,
        "label_counts": scoring.label_counts.tolist(),
        "rows_underflowed": scoring.n_underflowed,
    }
    if scoring.n_underflowed:
        listener.warning(
            f"{scoring.n_underflowed:,} rows lie so far out that their density underflows under "
            "every class: log_density is -inf there, and their posteriors are the priors"
        )
    own: Classification = record.setdefault("classification", {})
    own["rows_without_class"] = total.n_unknown
    if total.fitted.n_rows:
        own["all_rows"] = _record(total.fitted, names)
    if total.held_out is not None:
        own["held_out"] = _record(total.held_out, names)
    if total.groups is not None:
        own["groups"] = _groups(directory, classifier, labels, total, listener)
    directory.write()


def _groups(
    directory: RunDirectory,
    classifier: Classifier,
    labels: JobLabels,
    total: ClassStatistics,
    listener: RecordingListener,
) -> GroupsRecord:
    """Evaluation of groups; their table is written."""
    sums = total.groups
    if sums is None:
        return {}
    found: GroupsRecord = {"n_groups": len(sums.groups), "mixed": sums.n_mixed, "path": GROUPS}
    if sums.n_mixed:
        mixed = (quoted((labels.groups or ())[code]) for code in sums.groups[sums.is_mixed])
        listener.warning(
            f"{sums.n_mixed:,} of {len(sums.groups):,} groups have rows of several classes "
            f"({listed(mixed, 6)}): they are predicted, and left out of the evaluation of groups"
        )
    if (own := _evaluated(sums, classifier)).n_rows:
        found["all_rows"] = _record(own, classifier.names)
    held_out = total.held_out_groups
    if held_out is not None and (own := _evaluated(held_out, classifier)).n_rows:
        found["held_out"] = _record(own, classifier.names)
    write_groups(directory, classifier, labels, sums, held_out)
    return found


def write_groups(
    directory: RunDirectory,
    classifier: Classifier,
    labels: JobLabels,
    sums: GroupSums,
    held_out: GroupSums | None = None,
) -> None:
    """Write the table of groups, by classifiers that have not seen them, if there are any."""
    table = _table(_unseen(sums, held_out), sums, classifier, labels.groups or ())
    write_text(directory.folder / GROUPS, table)


def _unseen(sums: GroupSums, held_out: GroupSums | None) -> Array:
    """Log densities of groups (g, C) under classifiers that have not seen them, if there are any.

    The saved classifier has seen no group whose rows have no class.
    """
    if held_out is None:
        return sums.log_densities
    return np.where((sums.highest < 0)[:, None], sums.log_densities, held_out.log_densities)


def _record(evaluation: Evaluation, names: Sequence[Any]) -> EvaluationRecord:
    return cast("EvaluationRecord", evaluation.record(names))


def _evaluated(sums: GroupSums, classifier: Classifier) -> Evaluation:
    posteriors = class_posteriors(sums.log_densities, classifier.log_priors)
    return Evaluation.of(posteriors, sums.truth)


def _table(
    log_densities: Array, sums: GroupSums, classifier: Classifier, names: Sequence[Any]
) -> str:
    """A line for each group: its rows, class, prediction, and the posterior of each class."""
    found = class_posteriors(log_densities, classifier.log_priors)
    classes = [str(name) for name in classifier.names]
    lines = [["group", "rows", "class", "predicted", *(f"posterior_{c}" for c in classes)]]
    rows = zip(sums.groups, sums.n_rows, sums.truth, found.classes, found.posteriors, strict=True)
    for code, n_rows, truth, predicted, posteriors in rows:
        known = classes[truth] if truth >= 0 else ""
        values = [repr(float(value)) for value in np.asarray(posteriors)]
        lines.append([names[code], n_rows, known, classes[predicted], *values])
    return csv_text(lines)


def class_conclusion(
    job: Job, directory: RunDirectory, found: FittedClasses, listener: RecordingListener
) -> tuple[str, str, ExitCode]:
    """Outcome, message and exit code."""
    outcome, n = found.outcome, len(found.classes)
    ended = sum(one.outcome.has_converged for one in found.classes)
    how = evaluated_words(directory.record.get("classification") or {})
    text = f"{ended} of {n} classes converged: {how}"
    if job.on_not_converged == "warn":
        for warning in found.ends:
            listener.warning(warning)
    return outcome.name, text, exit_code_of({"outcome": outcome.name}, job)


def evaluated_words(own: Any) -> str:
    """How often predictions are right, in words: of rows that were held out where there are any."""
    for key, words in (("held_out", "held-out rows"), ("all_rows", "all rows")):
        if (found := own.get(key)) and found["accuracy"] is not None:
            loss = found["log_loss"]
            more = "" if loss is None else f", log loss {loss:.4g}"
            return f"accuracy {found['accuracy']:.4f} of {words}{more}"
    return "no row has a known class to compare with"
