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
from dgmm.job.previous_attempts import max_iter_of, stopped_at_max_iter
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

        `before` is the record of an earlier attempt. A finished one does not need earlier models,
        which may have been removed since, nor `last` as it was.
        """
        dataset = open_data(job)
        last = last_run(job, dataset.feature_names, before)
        is_finished = _is_finished(job, before)
        checked = None if is_finished else last
        start = monitored = adapted = None
        try:
            path = _path(job.initialisation.model, last)
            start = given_model(job, path)
            if job.adapt.relevance is not None and path is not None:
                adapted = EarlierModel.of(path)
                rows_of_earlier(job, dataset, adapted, "initialisation.model")
            monitored = _monitored(job, dataset, last)
        except InputNotFoundError:
            if not is_finished:
                raise
        if start is not None and checked is not None and job.initialisation.model == LAST:
            require_same(checked, start)
        if monitored is not None and checked is not None and job.monitor.against == LAST:
            require_same(checked, monitored.model)
        own = label_fingerprint(job, dataset)
        if start is None and is_finished:
            own |= _recorded_start(before)
        if start is not None:
            own = {"start": model_digest(start)}
        if job.initialisation.model == LAST and last is not None and last.digest is not None:
            own = {"start": last.digest}
        return cls(dataset, start, dataset.fingerprint() | own, last, monitored, adapted)


def _is_finished(job: Job, before: Mapping[str, Any]) -> bool:
    """Whether an attempt has done all that the job asks for.

    A larger max_iter asks for more where it is what ended a candidate.
    """
    is_raised = max_iter_of(before) < job.model.max_iter
    return before.get("status") == "done" and not (is_raised and stopped_at_max_iter(before))


def _recorded_start(before: Mapping[str, Any]) -> dict[str, Any]:
    """The digest of the model that a finished run began from, by its record, if it had one."""
    seen = (before.get("data") or {}).get("fingerprint") or {}
    return {"start": seen["start"]} if "start" in seen else {}


def _path(named: str | None, last: LastRun | None) -> str | None:
    """Where a model lies that a key names."""
    return last.path if named == LAST and last is not None else named


def _monitored(job: Job, dataset: StoredDataset, last: LastRun | None) -> EarlierModel | None:
    """The model to compare with, whose features the rows have."""
    path = _path(job.monitor.against, last)
    if path is None:
        return None
    found = EarlierModel.of(path)
    rows_of_earlier(job, dataset, found, "monitor.against")
    return found
