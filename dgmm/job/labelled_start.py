"""A start at the classes that rows are known to have: `initialisation.method: labels`."""

from __future__ import annotations

from dgmm.config import Job
from dgmm.data.dataset import Dataset
from dgmm.data.standardisation import Standardisation
from dgmm.data.stored_dataset import StoredDataset
from dgmm.errors import DataError
from dgmm.fitting.em.regularisation import regularisation_of_start
from dgmm.fitting.fit import Fit
from dgmm.fitting.initialisation.assigned_rows import ByClass, parameters_of_assigned_rows
from dgmm.fitting.restarts import UserStart
from dgmm.fitting.settings import FitSettings
from dgmm.job.class_labels import labels_of
from dgmm.job.directory import RunDirectory
from dgmm.mixture.covariance import family_named
from dgmm.mixture.parameters import Parameters
from dgmm.reduction.executor import Executor
from dgmm.terminal_text import listed


def require_one_model(job: Job) -> None:
    """Refuse several models of one start; a job file is refused when it is read.

    Raises
    ------
    DataError
        If there are several.
    """
    if job.initialisation.method == "labels" and len(job.models) > 1:
        raise DataError(
            f"initialisation.method is labels, a start of one model, and there are "
            f"{len(job.models)}: give one value of model.n_components and model.covariance_type"
        )


def note_start_classes(directory: RunDirectory, result: Fit) -> None:
    """Put the record's classes in the order of the model's components; lost ones are left out."""
    begun = directory.record["start_classes"]
    directory.record["start_classes"] = [begun[j] for j in result.origins]


def labelled_start(
    job: Job,
    dataset: StoredDataset,
    rows: Dataset,
    settings: FitSettings,
    directory: RunDirectory,
    executor: Executor,
) -> UserStart:
    """A component for each class, in the order of the classes' names; recorded.

    Raises
    ------
    DataError
        If there are more or fewer classes than components.
    """
    labels = labels_of(job, dataset, directory)
    k = settings.n_components
    if len(labels.classes) != k:
        found = listed([str(name) for name in labels.classes], 6)
        raise DataError(
            f"data.classes {job.data.classes} has {len(labels.classes)} classes ({found}), and "
            f"model.n_components is {k}: make them equal, or name in classes.unknown what stands "
            "where no class is known"
        )
    directory.record["start_classes"] = [str(name) for name in labels.classes]
    beside, family = labels.beside(rows, job), family_named(settings.covariance_type)

    def start(standardisation: Standardisation) -> Parameters:
        added = regularisation_of_start(
            standardisation, settings.reg_covar, settings.reg_covar_relative
        )
        return parameters_of_assigned_rows(
            *(beside, executor, standardisation, family, ByClass(k), labels.classes), added
        )

    return start
