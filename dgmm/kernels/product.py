"""The product kernel: an EM pass as the pair of matrix products L = η Φ and S = R Φᵀ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.covariance.family import Family
from dgmm.kernels.tiles import Array, Tile, Workspace, tile_rows
from dgmm.parameters import Parameters


@dataclass(frozen=True, slots=True, eq=False)
class ProductKernel:
    """Natural parameters η (k, p) in the dtype of the tiles.

    Digits are lost where a component is tight and far from the origin: see `dgmm.kernels.guard`.
    """

    family: Family
    natural_parameters: NDArray[Any]
    precisions_cholesky: Array | None
    with_scatter: bool

    @classmethod
    def of(
        cls, parameters: Parameters, dtype: Any = np.float64, *, with_scatter: bool = False
    ) -> ProductKernel:
        """Prepare parameters for tiles of a dtype."""
        family = parameters.family
        factors = parameters.precisions_cholesky if family.pooled_scatter else None
        eta = np.ascontiguousarray(parameters.natural_parameters(), dtype=dtype)
        return cls(family, eta, factors, with_scatter and family.pooled_scatter)

    @property
    def name(self) -> str:
        """The kernel's name in logs."""
        return "product"

    @property
    def n_components(self) -> int:
        """k."""
        return int(self.natural_parameters.shape[0])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of η and of Φ."""
        return self.natural_parameters.dtype

    @property
    def tile_rows(self) -> int:
        """Φ (p, b) and two arrays (k, b) near 4 MiB."""
        k, p = self.natural_parameters.shape
        return tile_rows(p + 2 * k, self.dtype.itemsize)

    @property
    def reference(self) -> None:
        """Moments about the origin."""
        return

    @property
    def sharing(self) -> tuple[Any, ...]:
        """Φ depends on family and dtype, the tile on η's shape."""
        return (self.name, self.family.name, self.dtype.str, self.tile_rows)

    def prepare(self, Y: Tile, workspace: Workspace) -> Tile:
        """Φ (p, b) = [quadratic(y), y, 1]."""
        d, b = Y.shape
        q = self.family.quadratic_width(d)
        Phi = workspace.array("design", (q + d + 1, b), self.dtype)
        Phi[q:-1] = Y  # contiguous from here on: a tile's rows alone alias in the cache
        Phi[-1] = 1.0
        self.family.fill_quadratic(Phi[q:-1], Phi[:q])
        return Phi

    def weighted_log_prob(self, prepared: Tile, workspace: Workspace) -> Tile:
        """η Φ."""
        shape = (self.n_components, prepared.shape[1])
        return np.matmul(
            self.natural_parameters, prepared, out=workspace.array("log_prob", shape, self.dtype)
        )

    def accumulate(
        self, prepared: Tile, R: Tile, sums: Array, scatter: Array | None, workspace: Workspace
    ) -> None:
        """R Φᵀ, added in float64; the scatter about the origin where it is not known yet."""
        product = workspace.array("moments", sums.shape, self.dtype)
        np.add(sums, np.matmul(R, prepared.T, out=product), out=sums)
        if scatter is not None:
            Y = prepared[:-1].astype(np.float64, copy=False)
            scatter += Y @ Y.T

    def common_log_prob(self, Y: Tile) -> Tile | float:
        """−½ yᵀΛy where it is common to all components (tied)."""
        if self.precisions_cholesky is None:
            return 0.0
        Z = self.family.whiten(self.precisions_cholesky, 0, Y.astype(np.float64, copy=False))
        return np.asarray(-0.5 * np.einsum("ij,ij->j", Z, Z))
