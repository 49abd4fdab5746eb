"""Why a summary refuses the data: rows that the policy does not take, features without values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgmm.data.dataset import Dataset
from dgmm.data.missing_rows import INFINITY, REMEDY, MissingPolicy
from dgmm.data.summary.partial_summary import PartialSummary
from dgmm.errors import DataError
from dgmm.terminal_text import listed

_SHOWN = 10


def refuse_missing(part: PartialSummary, dataset: Dataset, policy: MissingPolicy) -> None:
    """Refuse rows that the policy refuses, features without values, and data without rows."""
    without = _without_values(part, dataset)
    if part.n_refused:
        if policy is MissingPolicy.MARGINALISE:
            raise DataError(_infinite(part, dataset) + INFINITY)
        raise DataError(_faults(part, part.n_refused, dataset) + (without or REMEDY))
    if part.moments.count == 0:
        each = _faults(part, part.n_incomplete + part.n_empty, dataset)
        none = f"None of {part.n_read} rows is free of them, so none is left"
        raise DataError(f"{each}{none}{f': {without}' if without else ''}")
    if without:
        raise DataError(without)


def refuse_outside(part: PartialSummary, dataset: Dataset) -> None:
    """Refuse values outside the array's valid range."""
    if dataset.valid_range is not None and part.n_outside.any():
        raise DataError(dataset.valid_range.refusal(_in_rows(part.n_outside, part, dataset)))


def _in_rows(counts: NDArray[np.int64], part: PartialSummary, dataset: Dataset) -> str:
    """In how many of the rows that count each feature has such cells."""
    return listed(
        f"{dataset.feature_names[i]} in {counts[i]:,} of {part.moments.count:,} rows"
        for i in np.flatnonzero(counts)
    )


def _without_values(part: PartialSummary, dataset: Dataset) -> str:
    """Which features have no value in any row, in words; nothing where all have one."""
    n_weighty = part.n_read - part.n_weightless
    without = np.flatnonzero(part.n_nan + part.n_inf == n_weighty)
    if not len(without):
        return ""
    names = listed((dataset.feature_names[i] for i in without), _SHOWN)
    return f"{names} has no finite value at all. Leave such features out of the array"


def _faults(part: PartialSummary, n_rows: int, dataset: Dataset) -> str:
    """How many values are not finite, in which features, and where the first one is."""
    if part.first_faulty is None:
        return f"{part.n_empty} of {part.n_read} rows have no value at all. "
    row, feature = part.first_faulty
    faulty = np.flatnonzero(part.n_nan + part.n_inf)
    each = (
        f"{dataset.feature_names[i]}: {part.n_nan[i]} NaN, {part.n_inf[i]} infinite" for i in faulty
    )
    counts = listed(each, _SHOWN, "; ")
    return (
        f"{n_rows} of {part.n_read} rows hold values that are not finite "
        f"({counts}), the first in {dataset.locate(row)}, feature "
        f"{dataset.feature_names[feature]}. "
    )


def _infinite(part: PartialSummary, dataset: Dataset) -> str:
    """How many rows have an infinite value, in which features, and where the first one is."""
    faulty = np.flatnonzero(part.n_inf)
    each = listed((f"{dataset.feature_names[i]}: {part.n_inf[i]}" for i in faulty), _SHOWN, "; ")
    row, feature = part.first_faulty or (0, 0)
    return (
        f"{part.n_refused} of {part.n_read} rows hold infinite values ({each}), the first in "
        f"{dataset.locate(row)}, feature {dataset.feature_names[feature]}. "
    )
