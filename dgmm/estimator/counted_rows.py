"""Log densities of the rows that count, and their weights: what scores and criteria are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.summary.weight_sums import WeightSums
from dgmm.data.weight_kind import WeightKind
from dgmm.errors import DataError
from dgmm.mixture.criteria import Criteria, criteria

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CountedRows:
    """Log densities (m,) of the rows that count, and their weights (m,), None where equal."""

    log_density: Array
    weights: Array | None

    @classmethod
    def of(cls, log_density: Array, weights: Array | None) -> Self:
        """Those of all rows (n,) that are complete and have a positive weight.

        Raises
        ------
        DataError
            If there are none.
        """
        counted, n = ~np.isnan(log_density), len(log_density)
        if not counted.any():
            raise DataError(f"no row is left: all {n:,} hold NaN or infinite values")
        if weights is None:
            return cls(log_density[counted], None)
        counted &= weights > 0
        if not counted.any():
            raise DataError(f"no row is left: all {n:,} are incomplete or weigh 0")
        return cls(log_density[counted], weights[counted])

    @property
    def mean_log_density(self) -> float:
        """The mean log-likelihood, weighted."""
        return float(np.average(self.log_density, weights=self.weights))

    def criteria(self, n_free: int, kind: WeightKind) -> Criteria:
        """Criteria of a mixture of so many free parameters."""
        if self.weights is None:
            log_likelihood = float(self.log_density.sum())
            return criteria(log_likelihood, 0.0, n_free, float(len(self.log_density)))
        n_rows = WeightSums.of(self.weights).rows_represented(kind)
        return criteria(n_rows * self.mean_log_density, 0.0, n_free, n_rows)
