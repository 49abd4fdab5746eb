"""The saved model that a job starts from (`initialisation.model`)."""

from __future__ import annotations

from dgmm.config import Job
from dgmm.errors import JobFileError
from dgmm.fitting.fit import UserStart
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import load_model
from dgmm.storage.atomic_files import plain


def given_model(job: Job, path: str | None) -> MixtureModel | None:
    """The saved model that the job starts from, if there is one.

    Parameters
    ----------
    job
        The job.
    path
        What `initialisation.model` names; None for nothing.

    Raises
    ------
    JobFileError
        If the job asks for another mixture than that.
    """
    if path is None:
        return None
    start, wanted = load_model(path), (job.model.n_components, job.model.covariance_type)
    if (start.n_components, start.covariance_type) != wanted:
        raise JobFileError(
            f"initialisation.model {path} has {start.n_components} {start.covariance_type} "
            f"components, model.n_components and model.covariance_type ask for {wanted[0]} "
            f"{wanted[1]}: make them agree"
        )
    asked = None if job.preprocess is None else [step.asked().record() for step in job.preprocess]
    own = None if start.preprocess is None else list(start.preprocess.asked)
    if plain(asked) != plain(own):
        raise JobFileError(
            f"initialisation.model {path} was fitted to rows behind the steps {own}, the job's "
            f"preprocess is {asked}: make them agree"
        )
    return start


def given_parameters(start: MixtureModel | None) -> UserStart | None:
    """The start that a saved model is."""
    return None if start is None else start.standardised_parameters
