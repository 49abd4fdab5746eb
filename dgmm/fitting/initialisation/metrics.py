"""In which units starts measure distance: no single metric is right, so each has its starts.

Clusters of k-means follow the units. Where two clusters are about equal, the interquartile range of
the feature that separates them is the distance between them, and dividing by it hides them; where
one feature has large units and no clusters, the data's own units hide the others. Starts are
therefore drawn in several metrics and compared by likelihood, which does not depend on units.

Neither helps where the units are arbitrary and one feature alone separates several clusters: among
features of equal variance k-means cuts noise. Pooled scales tell that feature from the others
(Raymaekers & Zamar, *Pooled variable scaling for cluster analysis*, Bioinformatics 36, 2020): each
feature is divided by the pooled standard deviation within its own clusters, those of that feature
alone. Their number is the one of largest gap between the logarithms of their sum of squares and of
that of as many clusters of uniform values (Tibshirani, Walther & Hastie, *Estimating the number of
clusters in a data set via the gap statistic*, J. R. Statist. Soc. B 63, 2001). For one feature the
latter is known, range²/(12 g²) per row for g clusters: nothing is simulated.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from dgmm.data.standardisation import Standardisation
from dgmm.data.weighted_statistics import weighted_deviation
from dgmm.mixture.covariance.family import Array

Metric = Literal["units", "sd", "iqr", "pooled"]

#: `units`: the data's own, one common scale for all features; `sd`: standard deviations of the
#: sample; `iqr`: its interquartile ranges (standard deviations where those are 0); `pooled`:
#: standard deviations within the clusters of each feature alone.
METRICS: tuple[Metric, ...] = get_args(Metric)
#: A feature that varies less, of one that shares its scale, has no part in any distance.
LEAST_SPREAD = 1e-50
#: Numbers of clusters that are tried for one feature, the rows they are made of, at most, Lloyd's
#: iterations, and features: with more of them no single one decides where k-means begins.
GROUPS, POOLED_ROWS, POOLED_ITERATIONS, POOLED_FEATURES = (1, 2, 3, 5, 8, 12), 5000, 20, 256


def distance_scale(
    metric: Metric,
    standardisation: Standardisation,
    sample: Array,
    weights: Array | None = None,
) -> Array:
    """What standardised features are multiplied by before distances are taken, (d,).

    Parameters
    ----------
    metric
        One of `METRICS`.
    standardisation
        That of the sample.
    sample : (m, d)
        Standardised rows, finite, cut off where their squares would overflow.
    weights : (m,), optional
        What each row stands for; the same of all by default.
    """
    if metric == "units":
        exponents = np.frexp(standardisation.scale)[1]
        largest = exponents[~standardisation.is_constant].max(initial=-1100)
        # A feature with 2^-400 of another's scale has no part in any distance, and its square is 0.
        units: Array = np.ldexp(1.0, np.clip(exponents - largest, -400, 0))
        return units
    if metric == "iqr":
        spread = np.sqrt(standardisation.standardised_variance)
    elif metric == "pooled" and sample.shape[1] <= POOLED_FEATURES:
        step = -(-len(sample) // POOLED_ROWS)
        own = None if weights is None else weights[::step]
        spread = np.array([_pooled_deviation(column, own) for column in sample[::step].T])
    else:
        spread = weighted_deviation(sample, weights)
    return 1.0 / np.maximum(np.where(spread > 0, spread, 1.0), LEAST_SPREAD)


def _pooled_deviation(column: Array, weights: Array | None = None) -> float:
    """Standard deviation of values (m,) within their clusters."""
    x, w = _sorted_about_mean(column, weights)
    extent = x[-1] - x[0]
    if not extent > 0:
        return 0.0
    sums, counts = (np.concatenate([[0.0], np.cumsum(v)]) for v in (w * x, w))
    total = float((w * x * x).sum())
    shares = [(np.arange(g) + 0.5) / g for g in GROUPS]
    begun = [_at_shares(x, counts, own) for own in shares] + [x[0] + extent * own for own in shares]
    between = np.reshape(_between(x, sums, counts, begun), (2, len(GROUPS))).max(axis=0)
    # What is left beside rounding: values may all be equal within their clusters.
    deviations = np.sqrt(np.maximum(total - between, 1e-12 * total) / counts[-1])
    gaps = [np.log(extent / (g * of)) for g, of in zip(GROUPS, deviations, strict=True)]
    return float(deviations[int(np.argmax(gaps))])


def _sorted_about_mean(column: Array, weights: Array | None) -> tuple[Array, Array]:
    """Values about their mean, ascending, and their weights."""
    if weights is None:
        return np.sort(column) - column.mean(), np.ones(len(column))
    order = np.argsort(column, kind="stable")
    return column[order] - weights @ column / weights.sum(), weights[order]


def _at_shares(x: Array, counts: Array, shares: Array) -> Array:
    """The values that shares of all rows lie below; `counts` are cumulative, from 0."""
    places = np.searchsorted(counts, shares * counts[-1], side="right") - 1
    return np.asarray(x[np.minimum(places, len(x) - 1)])


def _between(x: Array, sums: Array, cumulative: Array, begun: list[Array]) -> list[float]:
    """Sums of squares between the clusters of sorted values x that Lloyd's iterations end with.

    One for each array of points to begin at; all take their iterations at once, and those that have
    ended stay as they are.
    """
    points, ends = np.concatenate(begun), np.cumsum([len(own) for own in begun])
    # Two clusters of one array that lie side by side have a bound in common.
    left = np.setdiff1d(np.arange(len(points) - 1), ends - 1)
    low, high = np.zeros(len(points), np.intp), np.full(len(points), len(x))
    for _ in range(POOLED_ITERATIONS):
        high[left] = low[left + 1] = x.searchsorted((points[left + 1] + points[left]) / 2)
        counts, totals = cumulative[high] - cumulative[low], sums[high] - sums[low]
        has_rows = counts > 0
        held = counts if has_rows.all() else np.where(has_rows, counts, 1.0)
        before, points = points, totals / held
        if held is not counts:
            points = np.where(has_rows, points, before)
        if (points == before).all():
            break
    return [float(own.sum()) for own in np.split(totals**2 / held, ends[:-1])]
