"""A fifth covariance family, as another package would define one: a diagonal that all share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends import Backend
from dgmm.mixture.covariance import Moments, SharedFamily
from dgmm.mixture.covariance.family import QuadraticPart, Tile
from dgmm.mixture.covariance.marginals import Conditional, lifted_first

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SharedDiag(SharedFamily):
    """Σ is (d,); Σ_k n_k(σ² + δ_k²) = T, the squares about the reference summed over all rows."""

    name = "shared_diag"

    def quadratic_width(self, d: int) -> int:
        return 0

    def scatter_width(self, d: int) -> int:
        return d

    def scatter(self, D: Array, r: Array | None = None) -> Array:
        return (D * D).sum(axis=1) if r is None else (D * D) @ r

    def pooled_log_prob(self, precisions_cholesky: Array, scatter: Array, d: int) -> float:
        return -0.5 * float(precisions_cholesky**2 @ scatter)

    def fill_quadratic(self, Y: Tile, part: QuadraticPart, out: Tile, backend: Backend) -> None:
        pass

    def quadratic_parameters(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        return np.empty((k, 0))

    def linear_parameters(self, precisions_cholesky: Array, means: Array) -> Array:
        return precisions_cholesky**2 * means

    def whiten(self, precisions_cholesky: Array, k: int, D: Array) -> Array:
        return precisions_cholesky[:, None] * D

    def second_moment(self, D: Array, r: Array) -> Array:
        return np.empty(0)

    def covariances(self, moments: Moments) -> Array:
        assert moments.scatter is not None
        with np.errstate(divide="ignore", invalid="ignore"):
            squares = np.where(
                moments.counts[:, None] > 0, moments.first**2 / moments.counts[:, None], 0.0
            )
        return (moments.scatter - squares.sum(axis=0)) / moments.counts.sum()

    def regularised(self, covariances: Array, regularisation: Array) -> Array:
        return covariances + regularisation

    def precisions_cholesky(self, covariances: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(covariances > 0, 1.0 / np.sqrt(covariances), np.nan)

    def half_log_det_precision(self, precisions_cholesky: Array, k: int, d: int) -> Array:
        return np.full(k, np.log(precisions_cholesky).sum())

    def precision_bound(self, precisions_cholesky: Array, k: int) -> Array:
        return np.full(k, (precisions_cholesky**2).max())

    def full_covariance(self, covariances: Array, k: int, d: int) -> Array:
        return np.diag(covariances)

    def variances(self, covariances: Array, k: int, d: int) -> Array:
        return np.tile(covariances, (k, 1))

    def rescaled(self, covariances: Array, scale: Array) -> Array:
        return covariances * scale * scale

    def rescaled_factors(self, precisions_cholesky: Array, scale: Array) -> Array:
        return precisions_cholesky / scale

    def marginal(self, covariances: Array, features: NDArray[np.intp]) -> Array:
        return covariances[features]

    def conditional(
        self,
        covariances: Array,
        factors: Array,
        k: int,
        observed: NDArray[np.intp],
        missing: NDArray[np.intp],
    ) -> Conditional:
        return Conditional(observed, missing, np.tile(covariances[missing], (k, 1)))

    def lifted(self, moments: Moments, conditional: Conditional, points: Array | None) -> Moments:
        n, first, scatter = moments.counts, moments.first, moments.scatter
        assert scatter is not None
        if points is not None:
            scatter = scatter - (points * (2.0 * first - n[:, None] * points)).sum(axis=0)
            first = first - n[:, None] * points
        whole = np.zeros(len(conditional.observed) + len(conditional.missing))
        whole[conditional.observed] = scatter
        whole[conditional.missing] = n.sum() * conditional.variances[0]
        return Moments(n, lifted_first(first, conditional), moments.second, whole)

    def n_parameters(self, k: int, d: int) -> int:
        return d

    def least_rows(self, k: int, d: int) -> int:
        return k + 1

    def covariance_shape(self, k: int, d: int) -> tuple[int, ...]:
        return (d,)


SHARED_DIAG = SharedDiag()
