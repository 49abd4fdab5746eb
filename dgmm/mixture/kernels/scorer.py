"""Posteriors and log densities outside EM, with the guard taken tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends import steps
from dgmm.mixture.backends.scoring_block import ScoringBlock
from dgmm.mixture.kernels.centred_kernel import CentredKernel
from dgmm.mixture.kernels.guard import TOLERANCE, Guard
from dgmm.mixture.kernels.product_kernel import ProductKernel
from dgmm.mixture.kernels.tiles import Array, InMemory, Tile, softmax
from dgmm.mixture.kernels.workspace import Workspace
from dgmm.mixture.parameters import Parameters

_LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True, eq=False)
class RowScores:
    """Arrays that scores of n rows are written to.

    Attributes
    ----------
    labels : (n,) int32
        Most probable component.
    max_posterior : (n,) float32
        Its posterior.
    log_density : (n,)
        In standardised units.
    posteriors : (m, k) or None
        All posteriors, of any float type; row i goes to row `places[i]`.
    places : (n,) int64 or None
        None where that is row i.
    """

    labels: NDArray[np.int32]
    max_posterior: NDArray[np.float32]
    log_density: Array
    posteriors: NDArray[Any] | None = None
    places: NDArray[np.int64] | None = None

    @classmethod
    def empty(
        cls,
        n: int,
        posteriors: NDArray[Any] | None = None,
        places: NDArray[np.int64] | None = None,
    ) -> Self:
        """For n rows."""
        arrays = (np.empty(n, np.int32), np.empty(n, np.float32), np.empty(n))
        return cls(*arrays, posteriors, places)

    def write(self, rows: slice | NDArray[np.intp], log_density: Array, R: Array) -> None:
        """Write the scores of some rows from their densities (b,) and posteriors (k, b)."""
        self.labels[rows] = R.argmax(axis=0)
        self.max_posterior[rows] = R.max(axis=0)
        self.log_density[rows] = log_density
        if self.posteriors is not None:
            self.posteriors[rows if self.places is None else self.places[rows]] = R.T


class Scorer:
    """Applies fixed parameters to standardised rows.

    A row whose squared distance overflows has log density −inf and belongs, with responsibility 1,
    to the component that is nearest in rescaled Mahalanobis distance; NaN never appears. With noise
    it is noise.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._product = ProductKernel.of(parameters)
        self._centred = CentredKernel.of(parameters)
        self._whitening = self._product.common_whitening()
        self._unit_error = Guard(1.0).log_prob_error(parameters)

    def score(self, Y: Tile, workspace: Workspace) -> Iterator[tuple[slice, Array, Array]]:
        """Yield (rows, log density (b,), responsibilities (k, b)) for tiles of Y (d, n), float64.

        The arrays are buffers: use them before the next tile.
        """
        for rows in steps(Y.shape[1], self._product.tile_rows):
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                log_density, R = self._tile(Y[:, rows], workspace)
            yield rows, log_density, R

    def at_once(
        self, stored: tuple[Tile, Tile, Tile], out: RowScores, workspace: Workspace
    ) -> tuple[float, NDArray[np.bool_]] | None:
        """Score a block as far as the backend can: entropy, and a mask (n,) of rows left to do.

        Parameters
        ----------
        stored
            Rows (n, d), and factor and offset (d,) of standardising, float64.
        out
            Where labels and densities (in standardised units) go.
        workspace
            Buffers, and the backend.
        """
        if self._product.is_complete and self._product.precisions_cholesky is not None:
            return None  # with noise −½ yᵀΛy is part of the log densities, which tiles add
        unit, tolerance = self._unit_error, TOLERANCE[np.dtype(np.float64)]
        block = ScoringBlock(
            *stored,
            self._parameters.family.form,
            self._product.natural_parameters,
            self._whitening,
            min(tolerance / unit, _LARGEST) if unit > 0 else _LARGEST,
            lambda name, size: workspace.array(name, (size,)),
            out.labels,
            out.max_posterior,
            out.log_density,
            out.posteriors,
            out.places,
        )
        return workspace.backend.score(block)

    def log_density(self, Y: Tile) -> Array:
        """Log density of each row of Y (d, n)."""
        workspace, out = Workspace(), np.empty(Y.shape[1])
        for rows, log_density, _ in self.score(Y, workspace):
            out[rows] = log_density
        return out

    def responsibilities(self, Y: Tile) -> Array:
        """Posteriors (k, n) of rows Y (d, n); for samples and results that fit in memory."""
        workspace, out = Workspace(), np.empty((self._parameters.n_labels, Y.shape[1]))
        for rows, _, R in self.score(Y, workspace):
            out[:, rows] = R
        return out

    def _tile(self, Y: Tile, workspace: Workspace) -> tuple[Array, Array]:
        error = self._unit_error * Guard.of_tile(Y).squared_radius
        small = error <= TOLERANCE[np.dtype(np.float64)]
        kernel = self._product if small else self._centred
        tile = kernel.prepare(InMemory(Y), slice(None), workspace)
        R = kernel.weighted_log_prob(tile, workspace)
        log_density = softmax(R, workspace) + kernel.common_log_prob(Y)
        lost = ~np.isfinite(log_density)
        if lost.any() and (noise := self._parameters.noise) is not None and noise.weight > 0:
            log_density[lost] = noise.weighted_log_density
            R[:, lost], R[-1, lost] = 0.0, 1.0
        elif lost.any():
            log_density[lost] = -np.inf
            R[:, lost] = 0.0
            R[: self._parameters.n_components, lost] = self._nearest(Y[:, lost])
        return log_density, R

    def _nearest(self, Y: Tile) -> Array:
        """One-hot responsibilities (k, b) by Mahalanobis distance between rescaled rows.

        So far out distances differ by less than rounding where covariances agree (tied): then the
        linear term Λ_k μ_k · y decides, as it does in exact arithmetic.
        """
        p = self._parameters
        exponents = np.frexp(np.abs(Y).max(axis=0))[1]
        near = np.ldexp(Y, -exponents)
        distances = np.empty((p.n_components, Y.shape[1]))
        for k in range(p.n_components):
            D = near - np.ldexp(p.means[k][:, None], -exponents)
            Z = p.family.whiten(p.precisions_cholesky, k, D)
            distances[k] = np.einsum("ij,ij->j", Z, Z)
        rounding = 4.0 * len(Y) * np.finfo(np.float64).eps
        tied = distances <= distances.min(axis=0) * (1.0 + rounding)
        linear = p.family.linear_parameters(p.precisions_cholesky, p.means) @ near
        labels = np.where(tied, linear, -np.inf).argmax(axis=0)
        one_hot: NDArray[np.float64] = np.zeros_like(distances)
        one_hot[labels, np.arange(Y.shape[1])] = 1.0
        return one_hot
