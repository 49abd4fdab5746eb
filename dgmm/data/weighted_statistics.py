"""Order statistics and deviations of rows that have weights: a weight is a number of copies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Share of all weight by which a sum of weights that rounding has moved still counts as a tie.
_TIE = 1e-12


def weighted_quartiles(columns: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Lower quartile, lower median and upper quartile of each row of columns (d, m).

    They are those of as many copies of each value as its weight (m,) says.

    The lower median of N copies is the least value that at least N/2 of them do not exceed, the
    lower quartile that of N/4; the upper one is the greatest that at least N/4 reach. N is Σw.
    """
    order = np.argsort(columns, axis=1, kind="stable")
    cumulative = np.cumsum(weights[order], axis=1)
    total = cumulative[:, -1:]

    def first(reached: NDArray[np.bool_]) -> Floats:
        place = np.minimum(reached.argmax(axis=1), columns.shape[1] - 1)[:, np.newaxis]
        found = np.take_along_axis(order, place, axis=1)
        return np.asarray(np.take_along_axis(columns, found, axis=1)[:, 0] + 0.0)

    return (
        first(cumulative >= total * (0.25 - _TIE)),
        first(cumulative >= total * (0.5 - _TIE)),
        first(cumulative > total * (0.75 + _TIE)),
    )


def known_quantiles(
    column: Floats, shares: Sequence[float], weights: Floats | None = None
) -> Floats:
    """Quantiles of the finite ones of some values (m,); NaN where there are none.

    With weights (m,) a quantile q is the smallest value up to which the weights have a share q;
    without them it is interpolated, as NumPy does.
    """
    known = np.isfinite(column)
    if not known.any():
        return np.full(len(shares), np.nan)
    if weights is None:
        found: Floats = np.quantile(column[known], shares)
        return found
    order = np.argsort(column[known], kind="stable")
    values, total = column[known][order], np.cumsum(weights[known][order])
    places = np.searchsorted(total, np.array(shares) * total[-1])
    weighted: Floats = values[np.minimum(places, len(values) - 1)]
    return weighted


def weighted_mean(rows: Floats, weights: Floats | None) -> Floats:
    """Mean (d,) of rows (m, d) of weights (m,); None where each weighs the same."""
    if weights is None:
        return np.asarray(rows.mean(axis=0))
    return np.asarray(weights @ rows / weights.sum())


def weighted_variance(rows: Floats, weights: Floats | None) -> Floats:
    """The population's variance (d,), Σ w (x − mean)²/Σw."""
    if weights is None:
        return np.asarray(rows.var(axis=0))
    return np.asarray(weights @ (rows - weighted_mean(rows, weights)) ** 2 / weights.sum())


def weighted_deviation(rows: Floats, weights: Floats | None) -> Floats:
    """Its square root: the standard deviation (d,)."""
    if weights is None:
        return np.asarray(rows.std(axis=0))
    return np.asarray(np.sqrt(weighted_variance(rows, weights)))
