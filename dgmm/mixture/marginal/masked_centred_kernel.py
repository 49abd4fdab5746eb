"""The centred kernel over masked features: right at any offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dgmm.mixture.kernels.kernel_forms import CentredForm
from dgmm.mixture.kernels.tiles import Array, Columns, Tile
from dgmm.mixture.kernels.tiling import tile_of_numbers
from dgmm.mixture.kernels.workspace import Workspace
from dgmm.mixture.marginal.masked_features import log_norms, masked_tile, masked_width
from dgmm.mixture.parameters import Parameters


@dataclass(frozen=True, slots=True, eq=False)
class MaskedCentredKernel(CentredForm):
    """Deviations of observed values from each component's old mean, which moments are about."""

    precisions_cholesky: Array
    log_norms: Array
    log_weights: Array

    @classmethod
    def of(cls, parameters: Parameters) -> MaskedCentredKernel:
        """Prepare parameters."""
        p = parameters
        norms = log_norms(p)
        return cls(p.family, p.means, p.precisions_cholesky, norms, p.log_weights)

    @property
    def tile_rows(self) -> int:
        """Four arrays (d, b) and two (k, b) near 4 MiB."""
        k, d = self.means.shape
        return tile_of_numbers(4 * d + 2 * k)

    @property
    def sharing(self) -> tuple[Any, ...]:
        """Tiles are used as they are."""
        return ("masked centred", self.tile_rows)

    def width(self, d: int) -> int:
        """Length p of the masked φ."""
        return masked_width(self.family, d)

    def prepare(self, Y: Columns, rows: slice, workspace: Workspace) -> Tile:
        """[c∘y, c], (2d, b)."""
        return masked_tile(Y, rows, workspace)

    def _deviations(self, prepared: Tile, k: int, workspace: Workspace) -> Tile:
        """c∘(y − μ_k)."""
        d, b = len(prepared) // 2, prepared.shape[1]
        D = workspace.array("deviations", (d, b))
        np.subtract(prepared[:d], self.means[k][:, None], out=D)
        return np.asarray(np.multiply(D, prepared[d:], out=D))

    def weighted_log_prob(self, prepared: Tile, workspace: Workspace) -> Tile:
        """Log weight plus log density of what is observed."""
        d = len(prepared) // 2
        L = workspace.array("log_prob", (self.n_components, prepared.shape[1]))
        for k in range(self.n_components):
            D = self._deviations(prepared, k, workspace)
            Z = self.family.whiten(self.precisions_cholesky, k, D)
            np.einsum("ij,ij->j", Z, Z, out=L[k])
        np.multiply(L, -0.5, out=L)
        np.add(L, self.log_norms @ prepared[d:], out=L)
        return np.asarray(np.add(L, self.log_weights[:, None], out=L))

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
        d = len(prepared) // 2
        q = self.family.quadratic_width(d)
        for k in range(self.n_components):
            D = self._deviations(prepared, k, workspace)
            sums[:q, k] += self.family.second_moment(D, R[k])
            sums[q : q + d, k] += D @ R[k]
            sums[q + d : -1, k] += prepared[d:] @ R[k]
            sums[-1, k] += R[k].sum()
