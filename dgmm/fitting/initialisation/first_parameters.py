"""From labels or responsibilities on the sample to parameters that EM can begin with.

One M-step about the components' own means, so that it is right at any offset; then what cannot be
inverted is repaired: parameters returned are finite and usable whatever the labels were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from dgmm.data.weighted_statistics import weighted_mean
from dgmm.errors import DataError
from dgmm.fitting.em.collapse import FLOOR
from dgmm.fitting.initialisation.distance_rows import Labels
from dgmm.fitting.initialisation.sample_rows import CentredRows, tiles
from dgmm.mixture.covariance.family import Array, Family
from dgmm.mixture.parameters import Estimate, Parameters, m_step
from dgmm.mixture.sufficient_statistics import Statistics

#: Rows of a tile to their responsibilities (k, b); called twice for every tile.
TileResponsibilities = Callable[[slice], Array]


def parameters_from_labels(
    family: Family,
    sample: Array,
    labels: Labels,
    n_components: int,
    regularisation: Array,
    weights: Array | None = None,
) -> Parameters:
    """One M-step with every row wholly in one component, then repaired.

    Parameters
    ----------
    family
        Covariance family.
    sample : (m, d)
        Standardised rows, float64.
    labels : (m,)
        Component of each row, 0 to n_components − 1; some may be absent.
    n_components
        k.
    regularisation : (d,)
        Added to the variances.
    weights : (m,), optional
        Of the rows; 1 each by default.
    """
    estimate = estimate_of_labels(family, sample, labels, n_components, weights)
    return repaired(estimate, sample, regularisation, weights)


def parameters_from_responsibilities(
    family: Family,
    sample: Array,
    responsibilities: Array | TileResponsibilities,
    n_components: int,
    regularisation: Array,
    weights: Array | None = None,
) -> Parameters:
    """One M-step with responsibilities, then repaired.

    Parameters
    ----------
    family
        Covariance family.
    sample : (m, d)
        Standardised rows, float64.
    responsibilities
        (k, m), or a function that gives (k, b) for a slice of rows, the same at every call.
    n_components
        k.
    regularisation : (d,)
        Added to the variances.
    weights : (m,), optional
        Of the rows; 1 each by default.
    """
    if callable(responsibilities):
        of_tile = responsibilities
    else:
        R = responsibilities
        of_tile = lambda rows: R[:, rows]  # noqa: E731 - a view of an array, not worth a name
    if weights is not None:
        unweighted = of_tile
        of_tile = lambda rows: unweighted(rows) * weights[rows]  # noqa: E731 - as above
    estimate = estimate_of_responsibilities(family, sample, of_tile, n_components, weights)
    return repaired(estimate, sample, regularisation, weights)


def estimate_of_labels(
    family: Family,
    sample: Array,
    labels: Labels,
    n_components: int,
    weights: Array | None = None,
) -> Estimate:
    """Maximum likelihood of hard labels; each component reads its own rows only."""
    d = sample.shape[1]
    order = np.argsort(labels, kind="stable")
    ends = np.bincount(labels, minlength=n_components).cumsum()
    means = np.zeros((n_components, d))
    sums = np.zeros((n_components, family.width(d)))
    scatter = family.empty_scatter(d)
    for k, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        rows = order[start:end]
        if len(rows) > 0:
            means[k] = _mean(sample, rows, weights)
        for tile in tiles(len(rows), 3 * d):
            D = np.ascontiguousarray((sample[rows[tile]] - means[k]).T)
            own = np.ones(D.shape[1]) if weights is None else weights[rows[tile]]
            add_moments(family, D, own, sums[k], scatter)
    return _estimate(family, sample, means, sums, scatter, weights)


def estimate_of_responsibilities(
    family: Family,
    sample: Array,
    of_tile: TileResponsibilities,
    n_components: int,
    weights: Array | None = None,
) -> Estimate:
    """Maximum likelihood of responsibilities: means first, then moments about them.

    Responsibilities of rows that have weights are multiplied by them already.
    """
    m, d = sample.shape
    centre = weighted_mean(sample, weights)
    counts, first = np.zeros(n_components), np.zeros((n_components, d))
    cut = list(responsibility_tiles(m, d, n_components))
    for tile in cut:
        R = of_tile(tile)
        counts += R.sum(axis=1)
        first += R @ (sample[tile] - centre)
    means = centre + first / np.maximum(counts, np.finfo(np.float64).tiny)[:, None]
    sums = np.zeros((n_components, family.width(d)))
    scatter = family.empty_scatter(d)
    for tile in cut:
        R, Y = of_tile(tile), np.ascontiguousarray(sample[tile].T)
        for k in range(n_components):
            add_moments(family, Y - means[k][:, None], R[k], sums[k], scatter)
    return _estimate(family, sample, means, sums, scatter, weights)


def responsibility_tiles(m: int, d: int, k: int) -> Iterator[slice]:
    """The tiles that responsibilities are asked for in."""
    return tiles(m, 2 * d + 2 * k)


def _mean(sample: Array, rows: Labels, weights: Array | None) -> Array:
    """Mean of some rows; about the first of them, so that a far cluster loses no digits."""
    origin, total = sample[rows[0]], np.zeros(sample.shape[1])
    for tile in tiles(len(rows), 2 * sample.shape[1]):
        deviations = sample[rows[tile]] - origin
        own = None if weights is None else weights[rows[tile]]
        total += deviations.sum(axis=0) if own is None else own @ deviations
    mean: Array = origin + total / (len(rows) if weights is None else weights[rows].sum())
    return mean


def add_moments(family: Family, D: Array, r: Array, sums: Array, scatter: Array | None) -> None:
    """Add the weighted moments of deviations D (d, b) to one component's sums (p,), in place."""
    q = family.quadratic_width(len(D))
    sums[:q] += family.second_moment(D, r)
    sums[q:-1] += D @ r
    sums[-1] += r.sum()
    if scatter is not None:
        scatter += family.scatter(D, r)


def _estimate(
    family: Family,
    sample: Array,
    means: Array,
    sums: Array,
    scatter: Array | None,
    weights: Array | None,
) -> Estimate:
    total = None if weights is None else float(weights.sum())
    return m_step(family, Statistics(len(sample), 0.0, sums, scatter, means, total))


def repaired(
    estimate: Estimate, sample: Array, regularisation: Array, weights: Array | None = None
) -> Parameters:
    """Parameters with every component placed and every covariance invertible."""
    placed = _placed(estimate, sample)
    parameters = _with_pooled(placed, sample).regularised(regularisation)
    singular = np.flatnonzero(parameters.singular)
    if len(singular) > 0:
        whole = _whole_sample(estimate.family, sample, regularisation, weights)
        parameters = _replaced(parameters, singular, whole)
    if parameters.singular.any() or not np.isfinite(parameters.means).all():
        raise DataError(
            "the sample has values whose squares float64 cannot hold; expected standardised rows"
        )
    return parameters


def _placed(estimate: Estimate, sample: Array) -> Estimate:
    """Components without rows put at rows far from their own mean, with a count of one row."""
    empty = ~(estimate.counts > 0)
    if not empty.any():
        return estimate
    rows = CentredRows.of(sample)
    points = estimate.means[~empty] - rows.centre
    distances = rows.deviations(points, rows.nearest(points))
    farthest = np.argsort(-distances, kind="stable")
    means = estimate.means.copy()
    means[empty] = sample[np.resize(farthest, int(empty.sum()))]
    counts = np.where(empty, 1.0, estimate.counts)
    return Estimate(estimate.family, counts, means, estimate.covariances)


def _with_pooled(estimate: Estimate, sample: Array) -> Estimate:
    """Covariances of few or equal rows exchanged for the pooled one, where that is better.

    Regularised alone they would be spikes on a few rows that EM never leaves. They are tested
    without regularisation, constant features aside.
    """
    family, k = estimate.family, len(estimate.counts)
    constant = np.where(np.ptp(sample, axis=0) > 0, 0.0, 1.0)

    def singular(covariances: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        tested = family.regularised(covariances, constant)
        return family.is_singular(family.precisions_cholesky(tested), k)

    lost = singular(estimate.covariances)
    if family.is_shared or not lost.any():
        return estimate
    known = np.isfinite(estimate.covariances.reshape(k, -1)).all(axis=1)
    pooled = family.pooled(estimate.covariances[known], estimate.counts[known])
    covariances = estimate.covariances.copy()
    covariances[lost] = pooled
    if singular(covariances).any():
        covariances = estimate.covariances.copy()
        covariances[~known] = pooled
    return Estimate(family, estimate.counts, estimate.means, covariances)


def _whole_sample(
    family: Family, sample: Array, regularisation: Array, weights: Array | None
) -> Array:
    """Covariance of all rows as one component's, with a floor added."""
    labels = np.zeros(len(sample), dtype=np.intp)
    whole = estimate_of_labels(family, sample, labels, 1, weights)
    variances = family.variances(whole.covariances, 1, sample.shape[1])[0]
    floor = np.where(variances > 0, FLOOR * variances, 1.0)
    floored = family.regularised(whole.covariances, regularisation + floor)
    return family.pooled(floored, np.ones(1))


def _replaced(parameters: Parameters, components: Labels, covariance: Array) -> Parameters:
    """Some components with another covariance; all of them where they share one."""
    family = parameters.family
    covariances = parameters.covariances
    if family.is_shared:
        covariances = covariance
    else:
        for k in components:
            covariances = family.replaced(covariances, int(k), covariance)
    return Parameters.of(family, parameters.weights, parameters.means, covariances)
