"""What is added to the variances in every M-step, and where that is most of a component."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgmm.candidate import Candidate
from dgmm.collapse import FLOOR, ComponentEvent
from dgmm.covariance import Family, Moments
from dgmm.data.standardisation import Standardisation

Array = NDArray[np.float64]

#: Standardised values beyond this are cut off here: their squares, summed, must fit float64.
_FAR = 1e100
#: Rows whose moments are taken at a time: they stay in the cache.
_TILE_ROWS = 4096
#: Regularisation beyond this share of a component's smallest eigenvalue is noted.
_NOTED_SHARE = 0.01


def regularisation_of(
    family: Family,
    standardisation: Standardisation,
    sample: Array,
    *,
    reg_covar: float,
    reg_covar_relative: float,
) -> tuple[Array, list[str]]:
    """What is added to the variances (d,), standardised units, and what had to be said about it.

    Where the data's own covariance is singular, so would be every component's: the floor goes in
    for all.
    """
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        absolute = reg_covar / standardisation.scale / standardisation.scale
        added = absolute + reg_covar_relative * standardisation.standardised_variance
    most = np.finfo(np.float64).max ** 0.25
    # What adds less than 1e-77 adds nothing, but would make a precision that overflows.
    added = np.where(added < 1.0 / most, 0.0, np.minimum(added, most))
    if not _is_singular(family, sample, added):
        return added, []
    spread = sample.var(axis=0)
    floor = FLOOR * np.where(spread > 0, spread, 1.0)
    text = (
        "some features are constant or linear combinations of others, and regularisation does "
        f"not make up for it: {FLOOR:g} of each feature's variance is added to every "
        "covariance. Remove such features, or raise model.reg_covar_relative"
    )
    return added + floor, [text]


def _is_singular(family: Family, sample: Array, regularisation: Array) -> bool:
    """Whether one component over the whole sample would have a singular covariance."""
    m, d = sample.shape
    if max(sample.max(), -sample.min()) > _FAR:
        sample = np.clip(sample, -_FAR, _FAR)
    centre = sample.mean(axis=0)
    second, scatter = np.zeros(family.quadratic_width(d)), np.zeros((d, d))
    for start in range(0, m, _TILE_ROWS):
        D = np.ascontiguousarray((sample[start : start + _TILE_ROWS] - centre).T)
        second += family.second_moment(D, np.ones(D.shape[1]))
        if family.pooled_scatter:
            scatter += D @ D.T
    moments = Moments(np.array([float(m)]), np.zeros((1, d)), second[None], scatter)
    covariances = family.regularised(family.covariances(moments), regularisation)
    return bool(family.is_singular(family.precisions_cholesky(covariances), 1)[0])


def held_by_regularisation(chosen: Candidate, regularisation: Array) -> tuple[ComponentEvent, ...]:
    """Components whose smallest eigenvalue is regularisation by more than 1 %."""
    p = chosen.parameters
    k, d = p.n_components, p.n_features
    smallest = [
        float(np.linalg.eigvalsh(p.family.full_covariance(p.covariances, j, d))[0])
        for j in range(k)
    ]
    return tuple(
        ComponentEvent(
            chosen.n_iter,
            chosen.restart,
            j,
            "regularised",
            f"component {j} of {k}: regularisation is more than 1 % of the smallest eigenvalue "
            f"of its covariance ({smallest[j]:.2g} in standardised units)",
        )
        for j in range(k)
        if regularisation.max() > _NOTED_SHARE * smallest[j]
    )
