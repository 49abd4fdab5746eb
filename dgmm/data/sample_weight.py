"""Weights that a Python user hands in beside rows: an array of one number per row."""

from __future__ import annotations

from typing import Any

import numpy as np

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.dataset import Dataset
from dgmm.data.row_weights import without_mask
from dgmm.data.weight_kind import WEIGHT_KINDS
from dgmm.data.weighted_dataset import weighted
from dgmm.errors import DataError

_KIND = "weight_kind"


def with_sample_weight(dataset: Dataset, weights: Any, kind: Any) -> Dataset:
    """A data set with its rows' weights; as it is where there are none.

    Parameters
    ----------
    dataset
        The rows.
    weights : (n,) array_like or None
    kind
        What they mean: one of `WEIGHT_KINDS`.

    Raises
    ------
    DataError
        If the kind is unknown, or there is not one number per row; whether the numbers are weights
        is asked when they are read.
    """
    if not isinstance(kind, str) or kind not in WEIGHT_KINDS:
        expected = " or ".join(WEIGHT_KINDS)
        raise DataError(f"{_KIND} is {kind!r}; expected {expected}")
    if weights is None:
        return dataset
    return weighted(dataset, ArrayDataset(_numbers(weights, dataset.n_samples)), kind)


def _numbers(weights: Any, n_samples: int) -> Any:
    """Weights (n, 1) as float64."""
    try:
        found = np.asarray(without_mask(weights), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"sample_weight: expected a number per row ({error})") from None
    if found.shape != (n_samples,):
        raise DataError(
            f"sample_weight has shape {found.shape}, expected ({n_samples},): one per row of X"
        )
    return found[:, np.newaxis]
