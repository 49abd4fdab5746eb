"""Smallest and largest value of each column and the rows they stand in, as a monoid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Extremes:
    """Minimum and maximum (d,) and the first row with each; ∞, -∞ and -1 where there is none."""

    minimum: Floats
    maximum: Floats
    minimum_row: _Numbers
    maximum_row: _Numbers

    @classmethod
    def zero(cls, n_features: int) -> Self:
        """The extremes of no rows."""
        infinite, nowhere = np.full(n_features, np.inf), np.full(n_features, -1, dtype=np.int64)
        return cls(infinite, -infinite, nowhere, nowhere)

    @classmethod
    def of_columns(
        cls,
        columns: Floats,
        start: int,
        numbers: _Numbers | None,
        missing: NDArray[np.bool_] | None = None,
    ) -> Self:
        """Measure columns (d, b).

        Parameters
        ----------
        columns : (d, b)
            Finite values, and NaN where one is missing.
        start : int
            The first row's number.
        numbers : (b,) int64 or None
            The rows' numbers counted from `start`; None for 0, 1, 2, …
        missing : (d, b) bool or None
            Where a value is missing; None for nowhere.
        """
        n_features, count = columns.shape
        if count == 0:
            return cls.zero(n_features)
        features = np.arange(n_features)
        below = columns if missing is None else np.where(missing, np.inf, columns)
        above = columns if missing is None else np.where(missing, -np.inf, columns)
        low, high = below.argmin(axis=1), above.argmax(axis=1)
        low_row, high_row = (low, high) if numbers is None else (numbers[low], numbers[high])
        found = below[features, low], above[features, high], low_row + start, high_row + start
        if missing is None:
            return cls(*found)
        nowhere = missing.all(axis=1)
        return cls(*found[:2], np.where(nowhere, -1, found[2]), np.where(nowhere, -1, found[3]))

    def merge(self, other: Self) -> Self:
        """Return the extremes of these rows followed by the other's; of equals the first stays."""
        lower, higher = other.minimum < self.minimum, other.maximum > self.maximum
        return type(self)(
            np.where(lower, other.minimum, self.minimum),
            np.where(higher, other.maximum, self.maximum),
            np.where(lower, other.minimum_row, self.minimum_row),
            np.where(higher, other.maximum_row, self.maximum_row),
        )
