"""What a fit reads: its data, and the models of earlier runs that it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from dgmm.config import Job
from dgmm.config.earlier_model import LAST
from dgmm.data.stored_dataset import StoredDataset
from dgmm.errors import InputNotFoundError
from dgmm.job.class_labels import label_fingerprint
from dgmm.job.earlier_run import EarlierModel, LastRun, last_run, require_same
from dgmm.job.given_start import given_model
from dgmm.job.monitoring import rows_of_earlier
from dgmm.job.stages import open_data
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import model_digest


@dataclass(frozen=True, slots=True, eq=False)
class FitInputs:
    """The data, the models of earlier runs that the job names, and what tells them apart.

    Attributes
    ----------
    dataset
        The rows.
    start
        The model that the job starts from; None where it names none, or there is no last run yet.
    fingerprint
        Of the data and of the start.
    last
        What `last` stands for in the job; None where it does not stand there.
    monitored
        The model that the rows are compared with, if there is one.
    adapted
        The start, where the job adapts it.
    """

    dataset: StoredDataset
    start: MixtureModel | None
    fingerprint: dict[str, Any]
    last: LastRun | None = None
    monitored: EarlierModel | None = None
    adapted: EarlierModel | None = None

    @classmethod
    def of(cls, job: Job, before: Mapping[str, Any]) -> Self:
        """Opened; of the data nothing but metadata is read.

        `before` is the record of an earlier attempt. A finished one does not need its earlier run.
        """
        dataset = open_data(job)
        last = last_run(job, dataset.feature_names, before)
        start = monitored = adapted = None
        try:
            path = _path(job.initialisation.model, last)
            start = given_model(job, path)
            if job.adapt.relevance is not None and path is not None:
                adapted = EarlierModel.of(path)
                rows_of_earlier(job, dataset, adapted, "initialisation.model")
            monitored = _monitored(job, dataset, last)
        except InputNotFoundError:
            if last is None or last.path is None or before.get("status") != "done":
                raise
        if start is not None and last is not None and job.initialisation.model == LAST:
            require_same(last, start)
        own = label_fingerprint(job, dataset)
        if start is not None:
            own = {"start": model_digest(start)}
        if job.initialisation.model == LAST and last is not None and last.digest is not None:
            own = {"start": last.digest}
        return cls(dataset, start, dataset.fingerprint() | own, last, monitored, adapted)


def _path(named: str | None, last: LastRun | None) -> str | None:
    """Where a model lies that a key names."""
    return last.path if named == LAST and last is not None else named


def _monitored(job: Job, dataset: StoredDataset, last: LastRun | None) -> EarlierModel | None:
    """The model to compare with, whose features the rows have."""
    path = _path(job.monitor.against, last)
    if path is None:
        return None
    found = EarlierModel.of(path)
    if job.monitor.against == LAST and last is not None:
        require_same(last, found.model)
    rows_of_earlier(job, dataset, found, "monitor.against")
    return found
