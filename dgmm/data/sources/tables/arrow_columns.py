"""Columns of other sources as Arrow arrays: numbers, text and categories, null where missing."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_installed() -> bool:
    """Whether Arrow can be imported; it is not, yet."""
    return find_spec("pyarrow") is not None


def arrow_column(values: NDArray[Any], is_missing: NDArray[np.bool_] | None = None) -> Any:
    """Numbers, booleans or text (objects) as an Arrow array.

    Parameters
    ----------
    values : (b,) array
        Text as objects; None is missing.
    is_missing : (b,) bool, optional
        Where values are missing.
    """
    import pyarrow as pa  # noqa: PLC0415 - an extra of dgmm

    kind = pa.large_string() if values.dtype == object else None
    return pa.array(values, kind, mask=is_missing)


def arrow_categories(codes: NDArray[Any], categories: NDArray[Any]) -> Any:
    """Categories (-1 is missing) as an Arrow dictionary array of 32-bit codes."""
    import pyarrow as pa  # noqa: PLC0415 - an extra of dgmm

    indices = pa.array(codes.astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, arrow_column(categories))
