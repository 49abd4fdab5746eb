"""Values outside an array's valid range, which CF takes for missing: counted and refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.numeric_attributes import numbers_in, shown
from dgmm.errors import DataError

_NAMES = {"valid_range": 2, "valid_min": 1, "valid_max": 1}


@dataclass(frozen=True, slots=True)
class ValidRange:
    """Smallest and largest valid value, and the attributes that state them, in words.

    `is_whole` says whether the attributes give them as integers.
    """

    low: float
    high: float
    attributes: str
    is_whole: bool = False

    def count_outside(self, values: NDArray[Any]) -> int:
        """How many of the values lie outside."""
        return int(np.count_nonzero((values < self.low) | (values > self.high)))

    def rows_outside(self, rows: NDArray[Any]) -> int:
        """How many of the rows (b, d) have a value outside."""
        is_outside = (rows < self.low) | (rows > self.high)
        return int(is_outside.any(axis=1).sum()) if is_outside.any() else 0

    def refused(self, counts: str) -> DataError:
        """The error for values outside; `counts` says in how many rows."""
        return DataError(self.refusal(counts))

    def refusal(self, counts: str) -> str:
        """Why values outside are refused; `counts` says in how many rows."""
        return (
            f"values outside the array's valid range ({self.attributes}), which stand for missing "
            f"ones by the CF conventions: {counts}. Write NaN there and set data.missing to drop, "
            "or remove these attributes if the values are data"
        )


def valid_range_of(
    source: str, attributes: Mapping[str, Any], dtype: np.dtype[Any]
) -> ValidRange | None:
    """The range that an array's attributes give; None where they give no bound.

    Parameters
    ----------
    source, attributes, dtype
        Of the array. Bounds are rounded as its floats are, so that a float32 is not outside of
        itself.

    Raises
    ------
    DataError
        If an attribute is no such bound.
    """
    given = {name: attributes[name] for name in _NAMES if attributes.get(name) is not None}
    bounds = {name: _bounds(source, name, value) for name, value in given.items()}
    pair = bounds.get("valid_range", [math.nan, math.nan])
    lows = _rounded([pair[0], *bounds.get("valid_min", [])], dtype)
    highs = _rounded([pair[1], *bounds.get("valid_max", [])], dtype)
    low, high = np.fmax.reduce([-math.inf, *lows]), np.fmin.reduce([math.inf, *highs])
    if low == -math.inf and high == math.inf:
        return None
    words = ", ".join(f"{name} = {_in_words(value)}" for name, value in given.items())
    is_whole = not any(isinstance(n, float | np.floating) for v in given.values() for n in _each(v))
    return ValidRange(float(low), float(high), words, is_whole)


def _bounds(source: str, name: str, stored: Any) -> list[float]:
    found = [number for number in numbers_in(stored) if number is not None]
    expected = _NAMES[name]
    if len(found) != expected or len(numbers_in(stored)) != expected:
        raise DataError(
            f"{source}: attribute {name} is {_in_words(stored)}; expected "
            f"{'two numbers' if expected == 2 else 'one number'}, outside of which values are "
            "missing. Correct the attribute, or remove it if all values are data"
        )
    return found


def _rounded(bounds: list[float], dtype: np.dtype[Any]) -> list[float]:
    if dtype.kind != "f":
        return bounds
    with np.errstate(over="ignore"):
        return [float(dtype.type(bound)) for bound in bounds]


def _each(stored: Any) -> list[Any]:
    return list(np.ravel(np.asarray(stored, dtype=object)))


def _in_words(stored: Any) -> str:
    values = stored.ravel().tolist() if isinstance(stored, np.ndarray) else stored
    several = isinstance(values, list | tuple)
    return " to ".join(map(shown, values)) if several and values else shown(values)
