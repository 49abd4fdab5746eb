"""The product kernel over masked features: an E-step of rows of any pattern."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dgmm.mixture.covariance.family import QuadraticPart
from dgmm.mixture.kernels.kernel_forms import ProductForm
from dgmm.mixture.kernels.tiles import Array, Columns, Tile
from dgmm.mixture.kernels.tiling import Tiling
from dgmm.mixture.kernels.workspace import Workspace
from dgmm.mixture.marginal.masked_features import log_norms, masked_width, write_masked
from dgmm.mixture.parameters import Parameters


@dataclass(frozen=True, slots=True, eq=False)
class MaskedKernel(ProductForm):
    """Natural parameters (k, p) of the masked φ; moments about 0."""

    @classmethod
    def of(cls, parameters: Parameters, dtype: Any = np.float64) -> MaskedKernel:
        """Prepare parameters for tiles of a dtype."""
        family, k, d = parameters.family, parameters.n_components, parameters.n_features
        factors, means = parameters.precisions_cholesky, parameters.means
        linear = family.linear_parameters(factors, means)
        parts = [
            family.quadratic_parameters(factors, k, d),
            linear,
            log_norms(parameters) - 0.5 * linear * means,
            parameters.log_weights[:, None],
        ]
        eta = np.ascontiguousarray(np.concatenate(parts, axis=1), dtype=dtype)
        return cls(family, eta, Tiling.of(eta.shape[1], k, eta.itemsize))

    @property
    def is_complete(self) -> bool:
        """Yes."""
        return True

    @property
    def has_noise(self) -> bool:
        """No."""
        return False

    @property
    def with_scatter(self) -> bool:
        """No such family has one."""
        return False

    @property
    def sharing(self) -> tuple[Any, ...]:
        """φ depends on family and dtype, the tile on η's shape."""
        return ("masked", self.family.name, self.dtype.str, self.tile_rows)

    def width(self, d: int) -> int:
        """Length p of the masked φ."""
        return masked_width(self.family, d)

    def prepare(self, Y: Columns, rows: slice, workspace: Workspace) -> Tile:
        """φ (p, b)."""
        d, b = Y.shape[0], len(range(*rows.indices(Y.shape[1])))
        q = self.family.quadratic_width(d)
        Phi = workspace.array("design", (q + 2 * d + 1, b), self.dtype)
        write_masked(Y, rows, Phi[q:-1])
        Phi[-1] = 1.0
        part = QuadraticPart(0, d, 0, q)
        self.family.fill_quadratic(Phi[q : q + d], part, Phi[:q], workspace.backend)
        return Phi

    def weighted_log_prob(self, prepared: Tile, workspace: Workspace) -> Tile:
        """η φ."""
        L = workspace.array("log_prob", (self.n_components, prepared.shape[1]), self.dtype)
        workspace.backend.log_prob(self.natural_parameters, prepared, L, self.tiling.columns)
        return L

    def accumulate(
        self,
        prepared: Tile,
        R: Tile,
        sums: Array,
        scatter: Array | None,
        workspace: Workspace,
        weights: Array | None = None,
    ) -> None:
        """φ Rᵀ, added in float64."""
        product = workspace.array("moments", sums.shape, self.dtype)
        height, columns = self.tiling.moment_rows, self.tiling.moment_columns
        workspace.backend.moments(prepared, R, sums, product, height, columns)

    def common_log_prob(self, Y: Tile) -> Tile | float:
        """Nothing is left out."""
        return 0.0

    def at_once(
        self, Y: Columns, sums: Array, workspace: Workspace, weights: Array | None = None
    ) -> float | None:
        """A block, where the backend masks features itself."""
        return self.block_at_once(f"masked {self.family.form}", Y, sums, workspace, weights)
