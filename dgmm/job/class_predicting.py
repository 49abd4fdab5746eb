"""`dgmm predict` with a classifier: classes of other rows, compared where known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from dgmm.config import Job
from dgmm.data.stored_dataset import StoredDataset
from dgmm.events import Listener
from dgmm.exit_codes import ExitCode
from dgmm.job.class_labels import JobLabels, label_fingerprint, labels_of
from dgmm.job.class_outputs import ClassOutputs
from dgmm.job.class_rebuilding import ClassRescoring, rebuild_class_outputs
from dgmm.job.class_record import evaluated_words, record_evaluation
from dgmm.job.classify_job import save_run_classifier
from dgmm.job.deliveries import deliver
from dgmm.job.directory import RunDirectory
from dgmm.job.lifecycle import run_recorded
from dgmm.job.metrics_and_events import RecordingListener, rows_record
from dgmm.job.planning import plan_for
from dgmm.job.prepare_stage import with_repairs, with_rows
from dgmm.job.products import MODEL, missing_model, missing_products
from dgmm.job.rebuilding import completed_again
from dgmm.job.result import RunResult
from dgmm.job.run_resources import run_resources
from dgmm.job.stages import describe_data, open_data, output_format, rows_for_model
from dgmm.mixture.backends import uncached_warnings
from dgmm.model.classifier import Classifier
from dgmm.model.classifier_files import classifier_digest, load_classifier
from dgmm.scoring.row_scores import select_scoring_backend
from dgmm.terminal_text import listed, quoted


def predict_classes_job(
    job: Job, listener: Listener, *, accept_versions: bool = False, rebuild: bool = False
) -> RunResult:
    """Apply a saved classifier to the job's rows; parameters as of `predict_job`.

    Raises
    ------
    DgmmError
        With the exit code of the command line; run.json records it too.
    """
    work = partial(_predict, accept_versions=accept_versions)
    again = _rebuild if rebuild else None
    keys = {"accept_versions": accept_versions}
    return run_recorded(job, listener, _Inputs.of, work, rebuild=again, **keys)


@dataclass(frozen=True, slots=True, eq=False)
class _Inputs:
    """The data, the classifier, and what tells them apart."""

    dataset: StoredDataset
    classifier: Classifier
    fingerprint: dict[str, Any]

    @classmethod
    def of(cls, job: Job, before: Mapping[str, Any]) -> Self:
        """Opened; of the data nothing but metadata is read."""
        del before
        classifier = load_classifier(str(job.model.path))
        dataset = open_data(job, classifier.mixtures[0])
        own = label_fingerprint(job, dataset) | {"model": classifier_digest(classifier)}
        return cls(dataset, classifier, dataset.fingerprint() | own)


def _predict(
    job: Job,
    inputs: _Inputs,
    directory: RunDirectory,
    recording: RecordingListener,
    *,
    accept_versions: bool,
) -> RunResult:
    """Everything but the report."""
    stored, fingerprint = inputs.dataset, inputs.fingerprint
    _, note = rows_for_model(job, stored, inputs.classifier.mixtures[0])
    directory.record["data"] = describe_data(job, stored) | {"fingerprint": fingerprint}
    directory.record["rows"]["total"] = stored.n_samples
    for text in (*stored.warnings, *([note] if note else [])):
        recording.warning(text)
    work = partial(_scored, job, inputs, directory, recording, accept_versions=accept_versions)
    return with_repairs(work, directory, recording)


def _scored(
    job: Job,
    inputs: _Inputs,
    directory: RunDirectory,
    recording: RecordingListener,
    *,
    accept_versions: bool,
) -> RunResult:
    """The same, from rows that are intact."""
    classifier, stored = inputs.classifier, inputs.dataset
    model = classifier.mixtures[0]
    recording.stage("labels", f"{len(classifier.names)} classes of the classifier")
    labels = labels_of(job, stored, directory, classifier.names)
    recording.end_stage()
    plan = plan_for(job, stored, model, labels.planned())
    with run_resources(
        job, directory, recording, plan, inputs.fingerprint, accept_versions=accept_versions
    ) as work:
        state, executor, _ = work
        readable = with_rows(job, stored, directory, executor, recording)
        dataset, _ = rows_for_model(job, readable, model)
        recording.stage("scoring", f"{dataset.n_samples:,} rows")
        backend = state.once(
            "backend",
            lambda: select_scoring_backend(job.compute.backend, model, dataset, executor),
        )
        directory.record["backend"] = backend
        for text in uncached_warnings(backend):
            recording.warning(text)
        rows = labels.beside(dataset, job)
        outputs = ClassOutputs(
            *(job, directory, rows, executor, classifier, (), state),
            zarr_format=output_format(job, stored),
            backend=backend,
            warn=recording.warning,
        )
        total = outputs.write()
        recording.end_stage()
        deliver(job, readable, classifier.n_classes, directory, executor, recording)
    save_run_classifier(directory, classifier, recording)
    record_evaluation(directory, classifier, labels, total, recording)
    directory.record["rows"] = rows_record(total.scoring)
    _warn_of_other_classes(job, labels, total.fitted.n_rows, recording)
    n_rows = total.n_read - total.scoring.n_dropped
    how = evaluated_words(directory.record["classification"])
    ended = directory.finish("PREDICTED", f"predicted {n_rows:,} rows: {how}", ExitCode.DONE)
    directory.forget_state()
    return ended


def _rebuild(
    job: Job, inputs: _Inputs, directory: RunDirectory, recording: RecordingListener
) -> RunResult:
    if missing_model(directory.folder, of_classes=True):
        save_run_classifier(directory, inputs.classifier, recording)
        if not missing_products(directory.folder, directory.record):
            return completed_again(job, directory, f"{MODEL} was saved again")
    again = ClassRescoring(inputs.dataset, inputs.classifier, inputs.fingerprint)
    return rebuild_class_outputs(job, again, directory, recording)


def _warn_of_other_classes(
    job: Job, labels: JobLabels, n_compared: int, recording: RecordingListener
) -> None:
    """Warn where classes are given that are none of the classifier's."""
    what, others = f"data.classes {job.data.classes}", listed(map(quoted, labels.others), 6)
    if job.data.classes is not None and not n_compared:
        shown = listed(map(quoted, labels.classes), 6)
        recording.warning(
            f"no row of {what} has a class of the classifier ({shown})"
            f"{f', but {others}' if others else ''}: nothing is compared"
        )
    elif others:
        recording.warning(
            f"{what} has classes that the classifier does not have ({others}): rows of these are "
            "predicted, and not compared"
        )
