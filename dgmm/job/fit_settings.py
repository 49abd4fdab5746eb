"""What a job asks of a fit, in the fit's own words."""

from __future__ import annotations

from dataclasses import replace

from dgmm.config import Job
from dgmm.config.earlier_model import LAST
from dgmm.errors import JobFileError
from dgmm.fitting.prior_settings import PRIOR_KEYS, TYPE_KEY, PriorSettings
from dgmm.fitting.settings import FitSettings

#: How the first of scheduled runs begins, which has no run to start from.
FIRST_METHOD = "kmeans"


def fit_settings(job: Job, *, has_start: bool = True) -> tuple[FitSettings, ...]:
    """The settings of the fit of each model that the job asks for.

    Parameters
    ----------
    job
        The job.
    has_start
        Whether there is a model where it starts from one: there may be no last run yet.

    Raises
    ------
    JobFileError
        If it does not say how many components it wants.
    """
    m, start = job.model, job.initialisation
    if not job.models:
        raise JobFileError("model.n_components is missing")
    first, *_ = job.models
    is_number = not isinstance(m.reg_covar_relative, str)
    is_open = m.reg_covar_relative == "held_out" or (
        m.reg_covar_relative == "auto" and job.task == "classify" and not m.reg_covar
    )
    method = start.method if has_start or start.model != LAST else FIRST_METHOD
    settings = FitSettings(
        n_components=first[0],
        covariance_type=first[1],
        tol=m.tol,
        max_iter=m.max_iter,
        n_init=m.n_init,
        reg_covar=m.reg_covar,
        reg_covar_relative=float(m.reg_covar_relative) if is_number else job.usual_share,
        shrinkage="auto" if is_open else "none",
        acceleration=m.acceleration,
        on_collapse=m.on_collapse,
        method="given" if method == "labels" else method,
        sample_rows=None if start.sample_rows == "auto" else int(start.sample_rows),
        n_sample_starts=None if start.n_sample_starts == "auto" else int(start.n_sample_starts),
        missing=job.data.missing,
        backend=job.compute.backend,
        seed=job.seed,
        noise=m.noise,
        inference=m.inference,
        component_order=m.component_order,
        freeze=m.freeze,
        prior=PriorSettings(**{key: getattr(m, key) for key in (*PRIOR_KEYS, TYPE_KEY)}),
    )
    return tuple(replace(settings, n_components=k, covariance_type=t) for k, t in job.models)
