"""Components whose means and covariances stay as they were given; all else is estimated.

An M-step with part of the parameters held is still the maximum over the others: components share
nothing but their weights, so that EM goes on to rise (Dempster, Laird & Rubin, *Maximum likelihood
from incomplete data via the EM algorithm*, J. R. Stat. Soc. B 39, 1977, for any such restriction).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.data.standardisation import Standardisation
from dgmm.fitting.inference.inference import Inference
from dgmm.mixture.covariance.family import Family
from dgmm.mixture.parameters import Estimate, Parameters
from dgmm.mixture.sufficient_statistics import Statistics

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class FixedComponents:
    """An inference whose first components have fixed means (f, d) and covariances (f, …).

    Their weights are estimated. Families with one covariance for all have no such components.
    """

    inner: Inference
    means: Array
    covariances: Array

    @classmethod
    def of(cls, inner: Inference, start: Parameters, n_fixed: int) -> Self:
        """With the first components of a start."""
        return cls(inner, start.means[:n_fixed].copy(), start.covariances[:n_fixed].copy())

    @property
    def name(self) -> str:
        """That of what estimates the others."""
        return self.inner.name

    @property
    def is_bounded(self) -> bool:
        """As of what estimates the others."""
        return self.inner.is_bounded

    @property
    def regularises(self) -> bool:
        """As of what estimates the others; nothing is added to fixed covariances."""
        return self.inner.regularises

    @property
    def prunes(self) -> bool:
        """As of what estimates the others."""
        return self.inner.prunes

    def with_rows(self, n_rows: float) -> Self:
        """The same for other rows."""
        return replace(self, inner=self.inner.with_rows(n_rows))

    def maximise(
        self,
        family: Family,
        statistics: Statistics,
        scatter: Array | None = None,
        before: Parameters | None = None,
        *,
        by_weight: bool = False,
    ) -> Estimate:
        """The M-step, with the fixed ones in their places."""
        found = self.inner.maximise(family, statistics, scatter, before, by_weight=by_weight)
        means, covariances = self._held(found.means, found.covariances)
        return replace(found, means=means, covariances=covariances)

    def parameters(self, estimate: Estimate, regularisation: Array) -> Parameters:
        """Parameters of an estimate; fixed covariances are not regularised."""
        found = self.inner.parameters(estimate, regularisation)
        means, covariances = self._held(found.means, found.covariances)
        factors = found.family.precisions_cholesky(covariances)
        return replace(found, means=means, covariances=covariances, precisions_cholesky=factors)

    def scored(self, parameters: Parameters) -> Parameters:
        """As of what estimates the others."""
        return self.inner.scored(parameters)

    def objective(self, mean_log_likelihood: float, parameters: Parameters) -> float:
        """As of what estimates the others; a prior of fixed components is a constant in it."""
        return self.inner.objective(mean_log_likelihood, parameters)

    def explained_fall(
        self, estimate: Estimate, parameters: Parameters, regularisation: Array
    ) -> float:
        """As of what estimates the others: fixed components are the same before and after."""
        return self.inner.explained_fall(estimate, parameters, regularisation)

    def prior_record(self, units: Standardisation) -> dict[str, Any]:
        """That of what estimates the others."""
        return self.inner.prior_record(units)

    def model(self, parameters: Parameters) -> Parameters:
        """As of what estimates the others."""
        return self.inner.model(parameters)

    def _held(self, means: Array, covariances: Array) -> tuple[Array, Array]:
        n = len(self.means)
        return (
            np.concatenate([self.means, means[n:]]),
            np.concatenate([self.covariances, covariances[n:]]),
        )
