"""The noise component of a fit: its box, and where its weight begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dgmm.data.weighted_statistics import known_quantiles
from dgmm.errors import DataError
from dgmm.fitting.prepared_fit import PreparedFit
from dgmm.mixture.noise import Noise
from dgmm.mixture.parameters import Parameters
from dgmm.terminal_text import listed

Array = NDArray[np.float64]

#: The box leaves out this share of the sample's rows on either side of each feature, and at least
#: one row: the box of all rows is as large as one far row makes it, so that rows close to the
#: Gaussians are none of the noise, and the far one is all of it.
BOX_SHARE = 0.001
#: With fewer rows nothing is left between the least value and the largest.
_FEWEST_ROWS = 4
#: Weight of the noise at a start, where no earlier fit gives one.
START_WEIGHT = 0.05


def noise_of_sample(sample: Array, weights: Array | None, names: Sequence[str]) -> Noise:
    """The noise that a fit begins with, its box that of the sample's quantiles.

    Parameters
    ----------
    sample : (m, d)
        Standardised rows without gaps.
    weights : (m,) or None
        What each row stands for.
    names
        Of the features.

    Raises
    ------
    DataError
        If the rows are fewer than four, or the box has no volume.
    """
    if len(sample) < _FEWEST_ROWS:
        raise DataError(
            f"noise needs a sample of at least {_FEWEST_ROWS} rows, as its box leaves out the "
            f"least and the largest value of each feature; there are {len(sample):,}. Set "
            "model.noise to false"
        )
    share = max(BOX_SHARE, 1.0 / max(len(sample) - 1, 1))
    shares = (min(share, 0.5), max(1.0 - share, 0.5))
    low, high = np.array([known_quantiles(column, shares, weights) for column in sample.T]).T
    if len(flat := np.flatnonzero(~(high > low))):
        raise DataError(
            "the box of the noise has no volume: nearly all of "
            f"{len(sample):,} sampled rows have one value of "
            f"{listed(names[int(i)] for i in flat)}. Leave such features out of the rows, or "
            "set model.noise to false"
        )
    return Noise(START_WEIGHT, low, high)


def with_noise(parameters: Parameters, noise: Noise | None) -> Parameters:
    """A start with the noise of its fit, or without any; the weight of an earlier fit stays."""
    own = parameters.noise
    if noise is None and own is None:
        return parameters
    weights = parameters.weights / parameters.weights.sum()
    if noise is None:
        return replace(parameters, weights=weights, noise=None)
    if own is not None and own.weight > 0:
        return replace(parameters, noise=noise.with_weight(own.weight))
    return replace(parameters, weights=weights * (1.0 - noise.weight), noise=noise)


def rows_for_starts(
    prepared: PreparedFit, rows: Array, weights: Array | None
) -> tuple[Array, Array | None]:
    """Rows (m, d), and their weights, without those that are surely noise.

    These are farther outside the box than it is wide: a centre of k-means would go to one of them,
    and their squares would be most of a covariance. All rows where that were most of them.
    """
    if (noise := prepared.noise) is None:
        return rows, weights
    width = noise.high - noise.low
    inside = (rows >= noise.low - width) & (rows <= noise.high + width)
    near = np.asarray(inside.all(axis=1))
    if near.all() or 2 * near.sum() < len(rows):
        return rows, weights
    return np.ascontiguousarray(rows[near]), None if weights is None else weights[near]
