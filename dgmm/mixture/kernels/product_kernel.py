"""The product kernel: an EM pass as the pair of matrix products L = η Φ and S = R Φᵀ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dgmm.mixture.covariance.family import QuadraticPart
from dgmm.mixture.kernels.kernel_forms import ProductForm
from dgmm.mixture.kernels.tiles import Array, Columns, Tile
from dgmm.mixture.kernels.tiling import Tiling
from dgmm.mixture.kernels.workspace import Workspace
from dgmm.mixture.parameters import Parameters


@dataclass(frozen=True, slots=True, eq=False)
class ProductKernel(ProductForm):
    """Φ of complete rows, whole or in parts; of a family with a scatter without quadratic term.

    Noise does not share that term −½ yᵀΛy: it is then added to the log densities of the Gaussians,
    whose scatter is another one in every pass.
    """

    precisions_cholesky: Array | None
    with_scatter: bool
    parts: tuple[QuadraticPart, ...]
    has_noise: bool = False

    @classmethod
    def of(
        cls, parameters: Parameters, dtype: Any = np.float64, *, with_scatter: bool = False
    ) -> ProductKernel:
        """Prepare parameters for tiles of a dtype."""
        family = parameters.family
        has_scatter = family.scatter_width(parameters.n_features) > 0
        factors = parameters.precisions_cholesky if has_scatter else None
        eta = np.ascontiguousarray(parameters.natural_parameters(), dtype=dtype)
        tiling = Tiling.of(eta.shape[1], len(eta), eta.itemsize)
        parts = family.quadratic_parts(parameters.n_features, tiling.design_rows)
        has_noise = parameters.noise is not None
        accumulates = has_scatter and (with_scatter or has_noise)
        return cls(family, eta, tiling, factors, accumulates, parts, has_noise)

    @property
    def is_complete(self) -> bool:
        """Unless the family has a scatter in place of a quadratic part, and there is no noise."""
        return self.precisions_cholesky is None or self.has_noise

    @property
    def sharing(self) -> tuple[Any, ...]:
        """Φ depends on family and dtype, the tile on η's shape."""
        return (self.name, self.family.name, self.dtype.str, self.tile_rows)

    def width(self, d: int) -> int:
        """Length p of φ."""
        return self.family.width(d)

    def prepare(self, Y: Columns, rows: slice, workspace: Workspace) -> Tile:
        """Φ (p, b) = [quadratic(y), y, 1]; in parts, space for one, then [y, 1]."""
        d, b = Y.shape[0], len(range(*rows.indices(Y.shape[1])))
        height = max(part.height for part in self.parts)
        Phi = workspace.array("design", (height + d + 1, b), self.dtype)
        Y.write(rows, Phi[height:-1])
        Phi[-1] = 1.0
        if len(self.parts) == 1:
            self._fill(self.parts[0], Phi, d, workspace)
        return Phi

    def _fill(self, part: QuadraticPart, Phi: Tile, d: int, workspace: Workspace) -> Tile:
        """Make a part of Φ in place, just before [y, 1]."""
        end = len(Phi) - d - 1
        out = Phi[end - part.height : end]
        self.family.fill_quadratic(Phi[end:-1], part, out, workspace.backend)
        return out

    def _designs(self, Phi: Tile, workspace: Workspace) -> Iterator[tuple[slice, Tile]]:
        """Φ as (its rows, their values): whole, or part after part, the last with [y, 1].

        A part is made when it is multiplied, twice a tile, and is then in the cache: read from
        memory instead, Φ of 128 features takes longer than its products.
        """
        p, d = self.natural_parameters.shape[1], len(Phi) - 1 - max(x.height for x in self.parts)
        if len(self.parts) == 1:
            yield slice(0, p), Phi
            return
        for part in self.parts[:-1]:
            yield slice(part.start, part.stop), self._fill(part, Phi, d, workspace)
        last = self.parts[-1]
        self._fill(last, Phi, d, workspace)
        yield slice(last.start, p), Phi[len(Phi) - d - 1 - last.height :]

    def weighted_log_prob(self, prepared: Tile, workspace: Workspace) -> Tile:
        """η Φ."""
        shape = (self.n_components, prepared.shape[1])
        L = workspace.array("log_prob", shape, self.dtype)
        for rows, Phi in self._designs(prepared, workspace):
            out = L if rows.start == 0 else workspace.array("addend", shape, self.dtype)
            eta = self.natural_parameters[:, rows]
            workspace.backend.log_prob(eta, Phi, out, self.tiling.columns)
            if rows.start:
                np.add(L, out, out=L)
        if self.has_noise and self.precisions_cholesky is not None:
            L[:-1] += self._half_distances(self._rows(prepared))
        return L

    def _rows(self, prepared: Tile) -> Tile:
        """Y (d, b) in float64."""
        return prepared[-(self.parts[-1].last + 1) : -1].astype(np.float64, copy=False)

    def _half_distances(self, Y: Tile) -> Tile:
        """−½ yᵀΛy of the covariance that all share, (b,) in the dtype of the tiles."""
        if self.precisions_cholesky is None:
            raise ValueError("there is no common covariance")
        Z = self.family.whiten(self.precisions_cholesky, 0, Y)
        return np.asarray(-0.5 * np.einsum("ij,ij->j", Z, Z))

    def accumulate(
        self,
        prepared: Tile,
        R: Tile,
        sums: Array,
        scatter: Array | None,
        workspace: Workspace,
        weights: Array | None = None,
    ) -> None:
        """Φ Rᵀ, added in float64; the scatter about the origin where it is not known yet."""
        tiling, product = self.tiling, workspace.array("moments", sums.shape, self.dtype)
        for rows, Phi in self._designs(prepared, workspace):
            workspace.backend.moments(
                Phi, R, sums[rows], product[rows], tiling.moment_rows, tiling.moment_columns
            )
        if scatter is not None:
            own = R[:-1].sum(axis=0, dtype=np.float64) if self.has_noise else weights
            scatter += self.family.scatter(self._rows(prepared), own)

    def common_log_prob(self, Y: Tile) -> Tile | float:
        """−½ yᵀΛy where it is common to all components."""
        return 0.0 if self.is_complete else self._half_distances(Y.astype(np.float64, copy=False))

    def common_whitening(self) -> Array | None:
        """W (d, d) of the common term −½ ‖W y‖²; None where there is none."""
        if self.is_complete or self.precisions_cholesky is None:
            return None
        return self.family.whiten(self.precisions_cholesky, 0, np.eye(self.parts[-1].last))

    def at_once(
        self, Y: Columns, sums: Array, workspace: Workspace, weights: Array | None = None
    ) -> float | None:
        """A block, where the backend can; with noise the scatter needs responsibilities."""
        if self.with_scatter and self.has_noise:
            return None
        return self.block_at_once(self.family.form, Y, sums, workspace, weights)
