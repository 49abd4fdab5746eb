"""`--rebuild-outputs` of a classifier's run: outputs, written again from what it has saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dgmm.config import Job
from dgmm.data.dataset import Dataset
from dgmm.data.stored_dataset import StoredDataset
from dgmm.errors import DataError, InputNotFoundError
from dgmm.execution.open_cluster import open_executor
from dgmm.job.class_labels import labels_of
from dgmm.job.class_outputs import ClassOutputs
from dgmm.job.class_record import write_groups
from dgmm.job.deliveries import deliver
from dgmm.job.directory import RunDirectory
from dgmm.job.metrics_and_events import RecordingListener
from dgmm.job.plan_table import require_memory
from dgmm.job.planning import plan_for
from dgmm.job.prepare_stage import with_rows
from dgmm.job.products import MODEL, REBUILD_STATE, of_folds, outputs_set_aside
from dgmm.job.rebuilding import backend_of, differing, not_written_again
from dgmm.job.result import RunResult
from dgmm.job.resume_check import run_state
from dgmm.job.run_resources import fitted_to
from dgmm.job.stages import cluster_settings, output_format, rows_for_model
from dgmm.model.classifier import Classifier
from dgmm.model.classifier_files import classifier_digest, load_classifier


@dataclass(frozen=True, slots=True, eq=False)
class ClassRescoring:
    """What is scored again.

    Attributes
    ----------
    stored
        The data.
    classifier
        Whose outputs are written.
    fingerprint
        What tells the run's inputs from others.
    """

    stored: StoredDataset
    classifier: Classifier
    fingerprint: dict[str, Any]


def rebuild_class_outputs(
    job: Job, again: ClassRescoring, directory: RunDirectory, recording: RecordingListener
) -> RunResult:
    """Score all rows with the classifier that is there, and write and publish all output arrays.

    What is left of earlier outputs gets another name and stays. The table of groups is written
    again without folds: classifiers of folds, whose predictions it has then, are not kept.
    """
    stored, classifier = again.stored, again.classifier
    first, fits = classifier.mixtures[0], job.command == "run"
    recording.stage("labels", f"{classifier.n_classes} classes of the classifier")
    labels = labels_of(job, stored, directory, None if fits else classifier.names)
    recording.end_stage()
    plan = plan_for(job, stored, None if fits else first, labels.planned())
    require_memory(plan, plan.memory_limit)
    before = directory.record["outputs"]
    for text in outputs_set_aside(directory.folder):
        recording.warning(text)
    with (
        run_state(job, directory, again.fingerprint, recording, REBUILD_STATE) as state,
        open_executor(cluster_settings(job, plan)) as executor,
    ):
        fitted_to(executor, plan)
        readable = with_rows(job, stored, directory, executor, recording)
        # The rows of a run are prepared with its steps behind them.
        rows: Dataset = readable if fits else rows_for_model(job, readable, first)[0]
        recording.stage("scoring", f"{stored.n_samples:,} rows, with the classifier of the run")
        outputs = ClassOutputs(
            *(job, directory, labels.beside(rows, job), executor, classifier, (), state),
            zarr_format=output_format(job, stored),
            backend=backend_of(before),
            warn=recording.warning,
        )
        total = outputs.write()
        recording.end_stage()
        deliver(job, readable, classifier.n_classes, directory, executor, recording)
    if total.groups is not None and not of_folds(directory.record):
        write_groups(directory, classifier, labels, total.groups)
    return directory.rebuilt(differing(before, directory.record["outputs"]))


def saved_classifier(directory: RunDirectory) -> Classifier:
    """The run's classifier.

    Raises
    ------
    OutputExistsError
        If it is absent or damaged, or not the one that the run has saved.
    """
    try:
        found = load_classifier(directory.path / MODEL)
    except (DataError, InputNotFoundError) as error:
        raise not_written_again(directory, error) from error
    own, saved = classifier_digest(found), directory.record.get("model_sha256")
    if own != saved:
        text = (
            f"{MODEL}/ is not the classifier that this run has saved: its sha256 is {own}, that of "
            f"the run {saved}"
        )
        raise not_written_again(directory, text)
    return found
