"""What may be fitted: two-dimensional arrays of real numbers with at least one row and feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dgmm.errors import DataError

#: Values of several named fields each.
RECORDS = "structured records"
_KINDS = {
    "c": "complex numbers",
    "O": "Python objects",
    "S": "byte strings",
    "U": "strings",
    "T": "strings",
    "M": "dates",
    "m": "time spans",
}
#: Real types that every package computes with; longdouble is not among them.
_ADMITTED = frozenset(
    [np.dtype(np.bool_)]
    + [np.dtype(f"{sign}{bits}") for sign in ("int", "uint") for bits in (8, 16, 32, 64)]
    + [np.dtype(f"float{bits}") for bits in (16, 32, 64)]
)
#: More are no features but an exchanged or damaged shape, and fit no machine.
MOST_FEATURES = 1_000_000
_FEWEST_ROWS, _BYTES = 4096, 8
ADMITTED_NAMES = frozenset(dtype.name for dtype in _ADMITTED)


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type in the machine's own byte order."""
    return dtype.newbyteorder("=")


def check_dtype(dtype: np.dtype[Any], source: str) -> None:
    """Refuse whatever is not a real number.

    Raises
    ------
    DataError
        Naming the type.
    """
    if not is_admitted(dtype):
        raise refused_dtype(str(dtype), _meaning(dtype), source)


def is_admitted(dtype: np.dtype[Any]) -> bool:
    """Whether values of a type are real numbers that are computed with, in any byte order."""
    return native(dtype) in _ADMITTED


def refused_dtype(name: str, meaning: str, source: str) -> DataError:
    """The error for a type that is not admitted."""
    remedy = "Convert the array to float32 or float64"
    if meaning == RECORDS:
        remedy = (
            "Write their fields as columns: numpy.lib.recfunctions.structured_to_unstructured "
            "makes an array of rows × features of one of records"
        )
    return DataError(
        f"{source}: values are {name} ({meaning}); expected booleans, integers, or floats of 16, "
        f"32 or 64 bits. {remedy}"
    )


def _meaning(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "V":  # other libraries' number types, such as bfloat16, have this kind too
        is_raw = dtype.type is np.void and not dtype.names
        return "raw bytes" if is_raw else RECORDS if dtype.names else "another type"
    return _KINDS.get(dtype.kind, "another type")


def check_shape(shape: Sequence[int], source: str) -> None:
    """Refuse whatever is not rows × features.

    Raises
    ------
    DataError
        Saying what was found and how to reshape it.
    """
    found = f"{source}: found shape {tuple(shape)}, expected rows × features"
    if len(shape) == 0:
        raise DataError(f"{found}; a single number cannot be fitted")
    if len(shape) == 1:
        raise DataError(
            f"{found}. If every value is a row of one feature, write it with shape "
            f"({shape[0]}, 1); if it is one row, with shape (1, {shape[0]})"
        )
    if len(shape) > 2:
        raise DataError(
            f"{found}. Reshape it to two dimensions: one that runs over rows (join all sample "
            "dimensions) and one over features (the last)"
        )
    if shape[0] == 0:
        raise DataError(f"{found}; it has no rows")
    if shape[1] == 0:
        raise DataError(f"{found}; it has no features")
    if shape[1] > MOST_FEATURES:
        n_bytes = _FEWEST_ROWS * shape[1] * _BYTES
        raise DataError(
            f"{found}; at most {MOST_FEATURES:,} features are read, and {shape[1]:,} make one "
            f"block of {_FEWEST_ROWS:,} rows {n_bytes:.3g} bytes. Are rows and features exchanged?"
        )
