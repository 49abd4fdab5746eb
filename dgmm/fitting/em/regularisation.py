"""What is added to the variances in every M-step, and where that is most of a component."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.data.weighted_statistics import weighted_mean, weighted_variance
from dgmm.fitting.em.collapse import FLOOR, ComponentEvent, covariances_of
from dgmm.fitting.em.state import FitCandidate
from dgmm.mixture.covariance import Family, Moments
from dgmm.terminal_text import listed

Array = NDArray[np.float64]

#: Standardised values beyond this are cut off here: their squares, summed, must fit float64.
_FAR = 1e100
#: Rows whose moments are taken at a time: they stay in the cache.
_TILE_ROWS = 4096
#: Regularisation beyond this share of a component's smallest eigenvalue is noted.
_NOTED_SHARE = 0.01
#: Regularisation beyond this share of a feature's own variance may hide clusters.
_OVERRULED_SHARE = 0.1


def regularisation_of(
    family: Family,
    standardisation: Standardisation,
    sample: Array,
    *,
    reg_covar: float,
    reg_covar_relative: float,
    weights: Array | None = None,
) -> tuple[Array, list[str]]:
    """What is added to the variances (d,), standardised units, and warnings about it.

    `weights` (m,) are those of the sample's rows, None where each weighs the same.

    Where the data's own covariance is singular, so would be every component's: the floor goes in
    for all.
    """
    added = _asked_for(standardisation, reg_covar, reg_covar_relative)
    if not _is_singular(family, sample, added, weights):
        return added, []
    spread = weighted_variance(sample, weights)
    floor = FLOOR * np.where(spread > 0, spread, 1.0)
    text = (
        "some features are constant or linear combinations of others, and regularisation does "
        f"not make up for it: {FLOOR:g} of each feature's variance is added to every "
        "covariance. Remove such features, or raise model.reg_covar_relative"
    )
    return added + floor, [text]


def regularisation_of_start(
    standardisation: Standardisation, reg_covar: float, reg_covar_relative: float
) -> Array:
    """What is added to the variances (d,) of a start, for which no sample is drawn.

    The floor goes in where a feature is constant, as it does in EM.
    """
    added = _asked_for(standardisation, reg_covar, reg_covar_relative)
    return np.where(standardisation.is_constant, added + FLOOR, added)


def _asked_for(
    standardisation: Standardisation, reg_covar: float, reg_covar_relative: float
) -> Array:
    """What the settings add, (d,), standardised units."""
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        absolute = reg_covar / standardisation.scale / standardisation.scale
        added = absolute + reg_covar_relative * standardisation.standardised_variance
    most = np.finfo(np.float64).max ** 0.25
    # What adds less than 1e-77 adds nothing, but would make a precision that overflows.
    return np.where(added < 1.0 / most, 0.0, np.minimum(added, most))


def overruled(
    standardisation: Standardisation, variances: Array, added: Array
) -> NDArray[np.bool_]:
    """Features (d,) of whose own variance what is added is more than a tenth; standardised units.

    The own variance is the smaller of the robust one and that of all rows: outliers make the second
    too large, and a few levels the first. Constant features have none.
    """
    own = np.minimum(standardisation.standardised_variance, variances)
    return np.asarray((added > _OVERRULED_SHARE * own) & ~standardisation.is_constant)


def regularisation_warnings(
    family: Family,
    standardisation: Standardisation,
    variances: Array,
    names: Sequence[str],
    reg_covar: float,
) -> Iterator[str]:
    """One line where reg_covar exceeds a tenth of features' own variances.

    Parameters
    ----------
    family, standardisation
        A common scale is compared with the average over the features.
    variances : (d,)
        Of all rows, in user units squared.
    names
        Of the features.
    reg_covar
        In user units squared.
    """
    if reg_covar == 0.0:
        return
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        moving = ~standardisation.is_constant
        robust = np.minimum(standardisation.variance, variances)
        if family.common_scale and moving.any():
            robust = np.full_like(robust, robust[moving].mean())
        found = np.flatnonzero(moving & (reg_covar > _OVERRULED_SHARE * robust))
    if len(found):
        each = listed(f"{names[int(i)]} ({robust[i]:.3g})" for i in found)
        yield (
            f"reg_covar, {reg_covar:.3g}, is more than {_OVERRULED_SHARE:.0%} of the variance of "
            f"{len(found):,} of {len(names):,} features, so that clusters that differ there may "
            f"not be told apart: {each}. Lower model.reg_covar, or choose 0 for it and raise "
            "model.reg_covar_relative, which is a share of each feature's variance"
        )


def regularisation_shares(
    family: Family, precisions_cholesky: Array, k: int, added: Array, least: float = 0.0
) -> Array:
    """Regularisation's largest share of a variance, over all directions, for each component (k,).

    It is the largest eigenvalue of √R Λ √R; infinite without a usable precision, and 0 where a
    bound shows that it is below `least`.
    """
    variances = np.full_like(added, added.mean()) if family.common_scale else added
    singular = family.is_singular(precisions_cholesky, k)
    shares = np.where(singular, np.inf, 0.0)
    bounds = np.where(singular, 0.0, family.precision_bound(precisions_cholesky, k))
    for j in np.flatnonzero(bounds * added.max() >= least):
        if not singular[j]:
            if family.is_shared and j:
                shares[j] = shares[0]
            else:
                shares[j] = family.largest_with(precisions_cholesky, int(j), variances)
    return shares


def share_of_sample(
    family: Family, sample: Array, added: Array, weights: Array | None = None
) -> float:
    """The same of one component over the whole standardised sample (m, d) of weights (m,)."""
    factors = _factors_of_sample(family, sample, added, weights)
    return float(regularisation_shares(family, factors, 1, added)[0])


def _is_singular(
    family: Family, sample: Array, regularisation: Array, weights: Array | None
) -> bool:
    """Whether one component over the whole sample would have a singular covariance."""
    factors = _factors_of_sample(family, sample, regularisation, weights)
    return bool(family.is_singular(factors, 1)[0])


def _factors_of_sample(
    family: Family, sample: Array, regularisation: Array, weights: Array | None
) -> Array:
    """Precision factors of one component over the whole sample."""
    m, d = sample.shape
    if max(sample.max(), -sample.min()) > _FAR:
        sample = np.clip(sample, -_FAR, _FAR)
    centre = weighted_mean(sample, weights)
    second, scatter = np.zeros(family.quadratic_width(d)), family.empty_scatter(d)
    for start in range(0, m, _TILE_ROWS):
        D = np.ascontiguousarray((sample[start : start + _TILE_ROWS] - centre).T)
        own = None if weights is None else weights[start : start + _TILE_ROWS]
        second += family.second_moment(D, np.ones(D.shape[1]) if own is None else own)
        if scatter is not None:
            scatter += family.scatter(D, own)
    total = float(m) if weights is None else float(weights.sum())
    moments = Moments(np.array([total]), np.zeros((1, d)), second[None], scatter)
    covariances = family.regularised(family.covariances(moments), regularisation)
    return family.precisions_cholesky(covariances)


def regularisation_events(
    chosen: FitCandidate, regularisation: Array
) -> tuple[ComponentEvent, ...]:
    """Covariances whose smallest eigenvalue is regularisation by more than 1 %."""
    p = chosen.parameters
    k, d = p.n_components, p.n_features
    events = []
    for j, subject in covariances_of(p.family, k):
        smallest = p.family.smallest_eigenvalue(p.covariances, j or 0, d)
        if regularisation.max() > _NOTED_SHARE * smallest:
            message = (
                f"{subject}: regularisation is more than 1 % of the smallest eigenvalue of the "
                f"covariance ({smallest:.2g} in standardised units)"
            )
            events.append(ComponentEvent(chosen.n_iter, chosen.restart, j, "regularised", message))
    return tuple(events)
