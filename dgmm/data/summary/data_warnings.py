"""What a user should know of the values before anything is fitted to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import empty_rows_warning
from dgmm.data.number_words import exact
from dgmm.data.standardisation import NORMAL_QUARTILE_RANGE, Standardisation
from dgmm.data.summary.summarise import Summary
from dgmm.terminal_text import listed

#: Standard deviations per interquartile range from which a feature's tail is worth a warning.
HEAVY_TAIL = 1e3
#: Rows by which most features are found to differ before the whole sample is compared.
_HEAD = 100
_EXACT_IN_FLOAT64 = 2.0**53


def data_warnings(
    summary: Summary, standardisation: Standardisation, dataset: Dataset
) -> list[str]:
    """Outlying, constant and repeated features, dropped rows and rounded integers, in words.

    Parameters
    ----------
    summary : Summary
    standardisation : Standardisation
        From the summary's sample.
    dataset : Dataset
        For names and places.
    """
    names = dataset.feature_names
    found = list(_outliers(_heavy_tailed(summary, standardisation), summary, dataset))
    constant = [names[i] for i in np.flatnonzero(standardisation.is_constant)]
    if constant:
        found.append(
            f"constant in the sample, so they separate no components: {listed(constant)}. "
            "Consider leaving them out"
        )
    pairs = [f"{names[i]} = {names[j]}" for i, j in _repeated(summary.sample, standardisation)]
    if pairs:
        found.append(
            f"features with equal values in the whole sample: {listed(pairs)}. Full and tied "
            "covariances are singular without regularisation; leave one of each out"
        )
    found.extend(_incomplete(summary))
    if dataset.dtype.kind in "iu":
        large = _beyond_float64(summary)
        if len(large):
            found.append(_rounded([names[i] for i in large]))
    return found


def _incomplete(summary: Summary) -> Iterator[str]:
    """Rows without any value, and rows that lack some, where these are left out."""
    of_all = f"of {summary.n_read:,} rows"
    if summary.n_empty:
        yield empty_rows_warning(summary.n_empty, summary.n_read)
    if summary.n_incomplete and not summary.n_partial:
        yield (
            f"{summary.n_incomplete:,} {of_all} hold values that are not finite and are left out"
        )


def _heavy_tailed(summary: Summary, standardisation: Standardisation) -> NDArray[np.int64]:
    """Features whose standard deviation is more than 1000 interquartile ranges."""
    robust = standardisation.variance * NORMAL_QUARTILE_RANGE**2
    with np.errstate(over="ignore"):
        is_heavy = summary.variance > robust * HEAVY_TAIL**2
    return np.flatnonzero(is_heavy & ~standardisation.is_constant)


def _outliers(features: NDArray[np.int64], summary: Summary, dataset: Dataset) -> Iterator[str]:
    """One line, however many features have outliers."""
    names = dataset.feature_names
    tail = f"is more than {HEAVY_TAIL:.0f} times the interquartile range"
    remedy = "Is it a fill value? Write NaN there and set data.missing to drop"
    if len(features) == 1:
        i = int(features[0])
        yield (
            f"feature {names[i]}: standard deviation {np.sqrt(summary.variance[i]):.3g} {tail}; "
            f"the value farthest out is {_farthest(i, summary, dataset)}. {remedy}"
        )
    elif len(features):
        each = listed(f"{names[i]} ({_farthest(int(i), summary, dataset)})" for i in features)
        yield (
            f"{len(features):,} features whose standard deviation {tail}, with the value farthest "
            f"out: {each}. {remedy}"
        )


def _farthest(feature: int, summary: Summary, dataset: Dataset) -> str:
    """The value farthest from the median, and where it lies."""
    low, high = summary.minimum[feature], summary.maximum[feature]
    known = summary.sample[:, feature]
    known = np.sort(known[known == known])  # noqa: PLR0124 - of any type: NaN does not equal itself
    middle = float(known[len(known) // 2])
    is_high = high / 2 - middle / 2 >= middle / 2 - low / 2
    value, row = (high, summary.maximum_row) if is_high else (low, summary.minimum_row)
    place = dataset.locate(int(row[feature]))
    return f"{exact(value)} in {place}"


def _repeated(sample: NDArray[Any], standardisation: Standardisation) -> Iterator[tuple[int, int]]:
    """Pairs (first, later) of features that are equal in every row and not constant."""
    first: dict[bytes, list[int]] = {}
    for feature in map(int, np.flatnonzero(~standardisation.is_constant)):
        head = (sample[:_HEAD, feature] + sample.dtype.type(0)).tobytes()  # -0.0 becomes 0.0
        alike = first.setdefault(head, [])
        same = [i for i in alike if _are_equal(sample[:, i], sample[:, feature])]
        if same:
            yield same[0], feature
        else:
            alike.append(feature)


def _are_equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether all values are equal, and missing in the same rows."""
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _beyond_float64(summary: Summary) -> NDArray[np.int64]:
    largest = np.maximum(np.abs(summary.minimum), np.abs(summary.maximum))
    return np.flatnonzero(largest > _EXACT_IN_FLOAT64)


def _rounded(names: list[str]) -> str:
    return (
        f"feature{'s' * (len(names) > 1)} {listed(names)}: integers beyond 2^53 are rounded when "
        "they become float64; subtract an offset before they are stored"
    )
