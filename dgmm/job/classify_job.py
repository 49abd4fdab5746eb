"""`dgmm run` of a job that classifies: labels, summary, starts, EM of all classes, scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self, cast

from dgmm.config import Job
from dgmm.data.stored_dataset import StoredDataset
from dgmm.events import Listener
from dgmm.fitting.classes.class_settings import ClassSettings, Priors
from dgmm.fitting.classes.fit_classes import FittedClasses, fit_classes
from dgmm.job.class_folds import fold_fingerprint, with_folds
from dgmm.job.class_labels import JobLabels, label_fingerprint, labels_of
from dgmm.job.class_outputs import ClassOutputs
from dgmm.job.class_rebuilding import (
    ClassRescoring,
    rebuild_class_outputs,
    saved_classifier,
)
from dgmm.job.class_record import class_conclusion, note_fitted, record_evaluation
from dgmm.job.deliveries import deliver
from dgmm.job.directory import RunDirectory
from dgmm.job.fit_settings import fit_settings
from dgmm.job.foreign_files import foreign_set_aside
from dgmm.job.lifecycle import run_recorded
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.planning import plan_for
from dgmm.job.prepare_stage import note_steps, steps_of, with_repairs, with_rows, with_steps
from dgmm.job.products import MODEL
from dgmm.job.result import RunResult
from dgmm.job.run_resources import RunResources, run_resources
from dgmm.job.stages import describe_data, open_data, output_format
from dgmm.model.classifier import Classifier
from dgmm.model.classifier_files import classifier_digest, save_classifier


def classify_job(
    job: Job,
    listener: Listener,
    *,
    accept_versions: bool = False,
    accept_cost: bool = False,
    rebuild: bool = False,
) -> RunResult:
    """Fit a mixture to the rows of each class and leave everything in the run directory.

    Parameters
    ----------
    job, listener
        What to do, and who hears of it.
    accept_versions, accept_cost, rebuild
        As of `run_job`.

    Raises
    ------
    DgmmError
        With the exit code of the command line; run.json records it too.
    """
    work = partial(_run, accept_versions=accept_versions, accept_cost=accept_cost)
    again = _rebuild if rebuild else None
    keys = {"accept_versions": accept_versions}
    return run_recorded(job, listener, ClassifyInputs.of, work, rebuild=again, **keys)


@dataclass(frozen=True, slots=True, eq=False)
class ClassifyInputs:
    """The data with their labels, and what tells them apart."""

    dataset: StoredDataset
    fingerprint: dict[str, Any]

    @classmethod
    def of(cls, job: Job, before: Mapping[str, Any]) -> Self:
        """Opened; of the data nothing but metadata is read."""
        del before
        dataset = open_data(job)
        own = label_fingerprint(job, dataset) | fold_fingerprint(job)
        return cls(dataset, dataset.fingerprint() | own)


def _run(
    job: Job,
    inputs: ClassifyInputs,
    directory: RunDirectory,
    recording: RecordingListener,
    *,
    accept_versions: bool,
    accept_cost: bool,
) -> RunResult:
    """Everything but the report."""
    dataset = inputs.dataset
    directory.record["data"] = describe_data(job, dataset) | {"fingerprint": inputs.fingerprint}
    directory.record["rows"]["total"] = dataset.n_samples
    for text in dataset.warnings:
        recording.warning(text)
    directory.write()
    keys = {"accept_versions": accept_versions, "accept_cost": accept_cost}
    work = partial(_fitted_and_scored, job, inputs, directory, recording, **keys)
    return with_repairs(work, directory, recording)


def _fitted_and_scored(
    job: Job,
    inputs: ClassifyInputs,
    directory: RunDirectory,
    recording: RecordingListener,
    *,
    accept_versions: bool,
    accept_cost: bool,
) -> RunResult:
    """The same, from rows that are intact."""
    dataset = inputs.dataset
    recording.stage("labels", f"data.classes {job.data.classes}")
    labels = with_folds(job, labels_of(job, dataset, directory), directory)
    recording.end_stage()
    plan = plan_for(job, dataset, classes=labels.planned())
    with run_resources(
        job, directory, recording, plan, inputs.fingerprint, accept_versions=accept_versions
    ) as work:
        readable = with_rows(job, dataset, directory, work.executor, recording)
        found = _fitted(job, readable, labels, directory, recording, work, accept_cost=accept_cost)
        total = _scored(job, readable, labels, found, directory, recording, work)
        deliver(job, readable, len(labels.classes), directory, work.executor, recording)
    record_evaluation(directory, found.classifier, labels, total, recording)
    save_run_classifier(directory, found.classifier, recording, outcome=found.outcome.name)
    ended = directory.finish(*class_conclusion(job, directory, found, recording))
    if not work.state.may_go_on:
        directory.forget_state()  # else a larger max_iter resumes from it
    return ended


def _fitted(
    job: Job,
    dataset: StoredDataset,
    labels: JobLabels,
    directory: RunDirectory,
    recording: RecordingListener,
    work: RunResources,
    *,
    accept_cost: bool,
) -> FittedClasses:
    """The fit of prepared rows, recorded, with its classifier saved."""
    note_steps(steps_of(dataset), directory, recording)
    rows = labels.beside(dataset.with_cache(work.plan.cache_budget), job)
    state = work.state.em_state()
    recording.rewind({} if state is None else {c.id: c.n_iter for c in state.candidates})
    (settings,) = fit_settings(job)
    found = fit_classes(
        *(rows, work.executor, replace(settings, accept_cost=accept_cost)),
        ClassSettings(cast("Priors", job.classes.priors), job.classes.folds),
        labels.classes,
        recording,
        work.state,
    )
    mixtures = tuple(with_steps(mixture, dataset) for mixture in found.classifier.mixtures)
    found = replace(found, classifier=replace(found.classifier, mixtures=mixtures))
    note_fitted(directory, found, job.classes.folds)
    save_run_classifier(directory, found.classifier, recording, outcome=found.outcome.name)
    return found


def _scored(
    job: Job,
    dataset: StoredDataset,
    labels: JobLabels,
    found: FittedClasses,
    directory: RunDirectory,
    recording: RecordingListener,
    work: RunResources,
) -> Any:
    """The scoring pass, which writes the row outputs."""
    recording.stage("scoring", "classes, posteriors and log densities of every row")
    rows = labels.beside(dataset.with_cache(work.plan.cache_budget), job)
    outputs = ClassOutputs(
        *(job, directory, rows, work.executor, found.classifier, found.folds, work.state),
        zarr_format=output_format(job, dataset),
        backend=found.prepared.labelled.backend,
        warn=recording.warning,
    )
    total = outputs.write()
    recording.end_stage()
    return total


def _rebuild(
    job: Job, inputs: ClassifyInputs, directory: RunDirectory, recording: RecordingListener
) -> RunResult:
    classifier = saved_classifier(directory)
    again = ClassRescoring(inputs.dataset, classifier, inputs.fingerprint)
    return rebuild_class_outputs(job, again, directory, recording)


def save_run_classifier(
    directory: RunDirectory, classifier: Classifier, recording: RecordingListener, **about: Any
) -> None:
    """Save a run's classifier, and record its checksum; `about` is for people."""
    for text in foreign_set_aside(directory.folder, MODEL):
        recording.warning(text)
    directory.record["model_sha256"] = classifier_digest(classifier)
    save_classifier(classifier, directory.folder / MODEL, **about)
