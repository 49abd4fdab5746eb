"""The saved model that a job applies, checked against what the job asks of it before any work."""

from __future__ import annotations

from pathlib import Path

from dgmm.config import Job
from dgmm.data.missing_rows import MissingPolicy
from dgmm.errors import DataError, JobFileError
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import load_model
from dgmm.scoring.partial_rows import require_marginals
from dgmm.terminal_text import printable


def applied_model(job: Job) -> MixtureModel:
    """The model of `model.path`.

    Raises
    ------
    JobFileError
        If the job names none, or asks for clusters of a model that has none.
    DataError
        If it is no model, or cannot score rows that lack values where the job asks for that.
    """
    if job.model.path is None:
        raise JobFileError("model.path is missing")
    model = load_model(Path(job.model.path))
    if job.output.clusters and model.clusters is None:
        raise JobFileError(
            f"output.clusters is true, and the components of {job.model.path} are not merged: fit "
            "with output.clusters: true, or remove this key"
        )
    try:
        require_marginals(model.parameters, MissingPolicy(job.data.missing))
    except DataError as error:
        path = printable(str(job.model.path))
        raise DataError(f"data.missing is marginalise, model.path {path}: {error}") from None
    return model
