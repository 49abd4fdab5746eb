"""The centred kernel: deviations from each component's own mean, right at any offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dgmm.mixture.covariance.family import LOG_2PI
from dgmm.mixture.kernels.kernel_forms import CentredForm
from dgmm.mixture.kernels.tiles import Array, Columns, Tile
from dgmm.mixture.kernels.tiling import tile_of_numbers
from dgmm.mixture.kernels.workspace import Workspace
from dgmm.mixture.parameters import Parameters


@dataclass(frozen=True, slots=True, eq=False)
class CentredKernel(CentredForm):
    """Means (k, d), precision factors and log norms (k,), float64; moments about the means.

    log N = log norm − ½‖Uᵀ(y − μ)‖². The inverse Cholesky factor is multiplied, not solved with:
    NumPy has no triangular solve, and the factor comes from forward substitution on the driver.
    Noise is one log norm more, with its log density.
    """

    precisions_cholesky: Array
    log_norms: Array

    @classmethod
    def of(cls, parameters: Parameters) -> CentredKernel:
        """Prepare parameters."""
        family, k, d = parameters.family, parameters.n_components, parameters.n_features
        factors = parameters.precisions_cholesky
        log_norms = (
            parameters.log_weights
            + family.half_log_det_precision(factors, k, d)
            - 0.5 * d * LOG_2PI
        )
        if parameters.noise is not None:
            log_norms = np.append(log_norms, parameters.noise.weighted_log_density)
        return cls(family, parameters.means, factors, log_norms)

    @property
    def n_components(self) -> int:
        """k, and one more with noise."""
        return len(self.log_norms)

    @property
    def has_noise(self) -> bool:
        """Whether there is a log norm without a mean."""
        return len(self.log_norms) > len(self.means)

    @property
    def tile_rows(self) -> int:
        """Three arrays (d, b) and two (k, b) near 4 MiB."""
        return tile_of_numbers(3 * self.means.shape[1] + 2 * self.n_components)

    @property
    def sharing(self) -> tuple[Any, ...]:
        """Tiles are used as they are."""
        return (self.name, self.tile_rows)

    def width(self, d: int) -> int:
        """Length p of φ."""
        return self.family.width(d)

    def prepare(self, Y: Columns, rows: slice, workspace: Workspace) -> Tile:
        """The tile itself, contiguous."""
        d, b = Y.shape[0], len(range(*rows.indices(Y.shape[1])))
        tile = workspace.array("tile", (d, b))
        Y.write(rows, tile)
        return tile

    def _deviations(self, Y: Tile, k: int, workspace: Workspace) -> Tile:
        return np.asarray(
            np.subtract(Y, self.means[k][:, None], out=workspace.array("deviations", Y.shape))
        )

    def weighted_log_prob(self, prepared: Tile, workspace: Workspace) -> Tile:
        """Log weight plus log density, whole: nothing is left out."""
        L = workspace.array("log_prob", (self.n_components, prepared.shape[1]))
        for k in range(len(self.means)):
            D = self._deviations(prepared, k, workspace)
            Z = self.family.whiten(self.precisions_cholesky, k, D)
            np.einsum("ij,ij->j", Z, Z, out=L[k])
        L[len(self.means) :] = 0.0
        np.multiply(L, -0.5, out=L)
        return np.asarray(np.add(L, self.log_norms[:, None], out=L))

    def accumulate(
        self,
        prepared: Tile,
        R: Tile,
        sums: Array,
        scatter: Array | None,
        workspace: Workspace,
        weights: Array | None = None,
    ) -> None:
        """Moments about the old means, component by component."""
        d = prepared.shape[0]
        q = self.family.quadratic_width(d)
        for k in range(len(self.means)):
            D = self._deviations(prepared, k, workspace)
            sums[:q, k] += self.family.second_moment(D, R[k])
            sums[q:-1, k] += D @ R[k]
            sums[-1, k] += R[k].sum()
            if scatter is not None:
                scatter += self.family.scatter(D, R[k])
        if self.has_noise:
            sums[-1, -1] += R[-1].sum()
