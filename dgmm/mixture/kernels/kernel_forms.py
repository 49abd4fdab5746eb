"""What kernels of one form have in common, whatever rows and features they are for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends import Block
from dgmm.mixture.covariance.family import Family
from dgmm.mixture.kernels.tiles import Array, Columns, Tile
from dgmm.mixture.kernels.tiling import Tiling
from dgmm.mixture.kernels.workspace import Workspace


@dataclass(frozen=True, slots=True, eq=False)
class CentredForm:
    """Deviations from each component's own mean (k, d), in float64: right at any offset."""

    family: Family
    means: Array

    @property
    def name(self) -> str:
        """The kernel's name in logs."""
        return "centred"

    @property
    def is_exact(self) -> bool:
        """Yes."""
        return True

    @property
    def squared_radius(self) -> float:
        """No row goes by products."""
        return 0.0

    @property
    def is_complete(self) -> bool:
        """Yes: densities are whole."""
        return True

    @property
    def dtype(self) -> np.dtype[Any]:
        """Always float64."""
        return np.dtype(np.float64)

    @property
    def n_components(self) -> int:
        """k."""
        return len(self.means)

    @property
    def has_noise(self) -> bool:
        """No."""
        return False

    @property
    def reference(self) -> Array:
        """Moments about the old means."""
        return self.means

    @property
    def with_scatter(self) -> bool:
        """A scatter about the old means changes with them: it is always accumulated."""
        return self.family.scatter_width(self.means.shape[1]) > 0

    def common_log_prob(self, Y: Tile) -> Tile | float:
        """Nothing is left out."""
        return 0.0

    def at_once(
        self, Y: Columns, sums: Array, workspace: Workspace, weights: Array | None = None
    ) -> None:
        """Tile by tile."""
        return


@dataclass(frozen=True, slots=True, eq=False)
class ProductForm:
    """A pass as two products with natural parameters η (k, p), in the dtype of the tiles.

    Digits are lost where a component is tight and far from the origin: see
    `dgmm.mixture.kernels.guard`.
    """

    family: Family
    natural_parameters: NDArray[Any]
    tiling: Tiling

    @property
    def name(self) -> str:
        """The kernel's name in logs."""
        return "product"

    @property
    def is_exact(self) -> bool:
        """No: digits are lost far from the origin."""
        return False

    @property
    def squared_radius(self) -> float:
        """All rows go by products."""
        return float("inf")

    @property
    def n_components(self) -> int:
        """k."""
        return len(self.natural_parameters)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of η and of the features."""
        return self.natural_parameters.dtype

    @property
    def tile_rows(self) -> int:
        """Rows of a tile."""
        return self.tiling.tile_rows

    @property
    def reference(self) -> None:
        """Moments about the origin."""
        return

    def block_at_once(
        self,
        form: str,
        Y: Columns,
        sums: Array,
        workspace: Workspace,
        weights: Array | None,
    ) -> float | None:
        """A block whose quadratic features the backend makes itself, where it can."""
        leaf = sums.T[np.newaxis]
        found = self.leaves_at_once(form, Y, leaf, Y.shape[1], workspace, weights)
        return None if found is None else float(found[0])

    def leaves_at_once(
        self,
        form: str,
        Y: Columns,
        sums: Array,
        leaf_rows: int,
        workspace: Workspace,
        weights: Array | None = None,
    ) -> Array | None:
        """Do the leaves of a block: add to sums (l, k, p), return log-likelihoods (l,).

        None where the backend cannot. The last leaf may have fewer rows.
        """
        stored = Y.stored()
        if stored is None:
            return None

        def allocate(name: str, size: int) -> Tile:
            # Of their own: zeros and ones in them hold until the next pass.
            return workspace.array(f"pass: {name}", (size,), self.dtype)

        found, eta, latest = np.empty(len(sums)), self.natural_parameters, workspace.latest
        own = None if weights is None else np.ascontiguousarray(weights, np.float64)
        block = Block(*stored, form, eta, allocate, sums, found, own, leaf_rows, latest)
        return found if workspace.backend.e_step(block) else None
