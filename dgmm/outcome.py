"""How a fit ends: a value, with what to do about it in its text."""

from __future__ import annotations

from enum import Enum


class Outcome(Enum):
    """The end of one candidate; `value` says it in words, with the remedy."""

    CONVERGED = (
        "the mean log-likelihood changed by less than tol and, with acceleration, the gain that is "
        "still to come is estimated to be less than tol as well"
    )
    MAX_ITER_REACHED = (
        "max_iter was reached before the mean log-likelihood converged: raise model.max_iter or "
        "model.tol"
    )
    LOG_LIKELIHOOD_DECREASED = (
        "the log-likelihood fell by more than regularisation and rounding explain; the parameters "
        "before the fall are kept: lower model.reg_covar or model.reg_covar_relative"
    )
    COMPONENT_COLLAPSED = (
        "every component collapsed; a floor was added to all variances: lower model.n_components, "
        "raise model.reg_covar (under a prior: its covariance), or look for constant and "
        "duplicated features"
    )
    NON_FINITE = (
        "the log-likelihood is not finite: some row lies so far out that its squared distance "
        "overflows; correct or drop such rows. Where rows lack values, the covariance of the "
        "features that some of them have may be singular: raise model.reg_covar or, under "
        "a prior, its covariance"
    )
    DEGENERATE_START = (
        "the start was the end: all means are alike, and all covariances, so that EM cannot part "
        "the components; choose another initialisation.method, or, where regularisation exceeds "
        "the features' variances, lower model.reg_covar"
    )
    INITIALISED = "max_iter is 0: the parameters are those of the initialisation"
    ADAPTED = "an earlier model was adapted to the rows by one step"

    @property
    def is_usable(self) -> bool:
        """Whether the parameters may stand as a result."""
        return self is not Outcome.NON_FINITE

    @property
    def has_converged(self) -> bool:
        """Whether the fit did all that was asked of it."""
        return self in {Outcome.CONVERGED, Outcome.INITIALISED, Outcome.ADAPTED}
