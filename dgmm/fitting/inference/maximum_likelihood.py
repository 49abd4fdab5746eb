"""Maximum likelihood: what EM is, without a prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.mixture.covariance.family import Family
from dgmm.mixture.parameters import Estimate, Parameters, explained_fall, m_step
from dgmm.mixture.sufficient_statistics import Statistics

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MaximumLikelihood:
    """The objective is the mean log-likelihood; regularisation keeps covariances invertible."""

    name: ClassVar[str] = "maximum_likelihood"
    is_bounded: ClassVar[bool] = False
    regularises: ClassVar[bool] = True
    prunes: ClassVar[bool] = False

    def with_rows(self, n_rows: float) -> Self:
        """Itself: the objective is a mean over the rows, however many."""
        del n_rows
        return self

    def maximise(
        self,
        family: Family,
        statistics: Statistics,
        scatter: Array | None = None,
        before: Parameters | None = None,
        *,
        by_weight: bool = False,
    ) -> Estimate:
        """Counts, means and covariances of the rows (Bishop, PRML, eq. 9.24-9.26)."""
        return m_step(family, statistics, scatter, before, by_weight=by_weight)

    def parameters(self, estimate: Estimate, regularisation: Array) -> Parameters:
        """Weights are shares of the rows; regularisation is added to all variances."""
        return estimate.regularised(regularisation)

    def scored(self, parameters: Parameters) -> Parameters:
        """The parameters themselves."""
        return parameters

    def objective(self, mean_log_likelihood: float, parameters: Parameters) -> float:
        """The mean log-likelihood."""
        del parameters
        return mean_log_likelihood

    def explained_fall(
        self, estimate: Estimate, parameters: Parameters, regularisation: Array
    ) -> float:
        """See `dgmm.mixture.parameters.explained_fall`."""
        return explained_fall(estimate, parameters, regularisation)

    def prior_record(self, units: Standardisation) -> dict[str, Any]:
        """Nothing."""
        del units
        return {}

    def model(self, parameters: Parameters) -> Parameters:
        """The parameters themselves."""
        return parameters


MAXIMUM_LIKELIHOOD = MaximumLikelihood()
