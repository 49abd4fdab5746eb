"""The sample where values are missing: what is measured, and what stands in for values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.data.summary.summarise import Summary

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MeasurableRows:
    """Rows (m, d) in user units, in which each feature has a value, and their weights (m,)."""

    values: NDArray[Any]
    weights: Array | None


def measurable(summary: Summary) -> MeasurableRows:
    """The sample, and a feature's extremes where it has no value there.

    A feature that few of all rows have may be in none of the sample's.
    """
    sample, weights = summary.sample, summary.sample_weights
    absent = np.isnan(sample).all(axis=0)
    if not absent.any():
        return MeasurableRows(sample, weights)
    extremes = np.where(absent, np.stack([summary.minimum, summary.maximum]), np.nan)
    if weights is not None:
        weights = np.concatenate([weights, np.repeat(weights.min(), 2)])
    return MeasurableRows(np.concatenate([sample, extremes.astype(sample.dtype)]), weights)


def carried(rows: Array, summary: Summary, standardisation: Standardisation) -> Array:
    """Standardised rows (m, d) with other rows' values of the feature, in turn, where one lacks it.

    Moments, feature by feature, are those of what was observed; a feature without any value takes
    its extremes.
    """
    filled = rows.copy()
    extremes = standardisation.means_from_user(np.stack([summary.minimum, summary.maximum]))
    for column, others in zip(filled.T, extremes.T, strict=True):
        missing = np.isnan(column)
        if missing.any():
            known = column[~missing]
            column[missing] = np.resize(known if len(known) else others, int(missing.sum()))
    return filled
