"""The guard row by row: rows near the origin by products, rows that are far from it centred.

A row is far where the product form's error bound is above the tolerance for its own ‖y‖². Which
rows are is a function of the rows and the parameters alone. Both kinds of moments meet about the
old means, block by block: moving those of near rows there costs no more digits than their products
did, while moments of far rows about the origin would drown those of all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends import steps
from dgmm.mixture.covariance.family import Family
from dgmm.mixture.kernels.centred_kernel import CentredKernel
from dgmm.mixture.kernels.product_kernel import ProductKernel
from dgmm.mixture.kernels.tiles import Array, Columns, InMemory, Kernel, Tile
from dgmm.mixture.kernels.tiles import e_step as e_step_of_all
from dgmm.mixture.kernels.workspace import Workspace
from dgmm.mixture.parameters import Parameters
from dgmm.mixture.sufficient_statistics import Statistics

#: Rows whose norms are taken at a time, where compiled code does not take them.
_ROWS_OF_NORMS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class SplitKernel:
    """Two kernels of the same parameters, for near rows and for far ones.

    Attributes
    ----------
    near, far
        What is applied to rows of ‖y‖² up to `squared_radius`, and beyond.
    """

    near: ProductKernel
    far: CentredKernel
    squared_radius: float

    @classmethod
    def of(cls, parameters: Parameters, squared_radius: float) -> Self:
        """Prepare parameters; float64, since moments of both kinds meet."""
        near = ProductKernel.of(parameters, np.float64, with_scatter=True)
        return cls(near, CentredKernel.of(parameters), squared_radius)

    @property
    def name(self) -> str:
        """The kernel's name in logs."""
        return "split"

    @property
    def is_exact(self) -> bool:
        """No: near rows go by products."""
        return False

    @property
    def is_complete(self) -> bool:
        """Yes: what near rows have in common is added to their log-likelihood."""
        return True

    @property
    def family(self) -> Family:
        """Covariance family."""
        return self.near.family

    @property
    def n_components(self) -> int:
        """k, and one more with noise."""
        return self.near.n_components

    @property
    def dtype(self) -> np.dtype[Any]:
        """Float64."""
        return self.near.dtype

    @property
    def reference(self) -> Array:
        """The old means."""
        return self.far.means

    @property
    def with_scatter(self) -> bool:
        """A scatter about the old means changes with them: it is always accumulated."""
        return self.far.with_scatter

    @property
    def sharing(self) -> tuple[Any, ...]:
        """Kernels with equal `sharing` split rows alike, and share tiles of both kinds."""
        return ("split", self.squared_radius, *self.near.sharing, *self.far.sharing)

    def about_means(self, statistics: Statistics) -> Statistics:
        """Statistics of near rows, of which nothing is left out, about the old means."""
        family, d = self.family, self.far.means.shape[1]
        total, scatter = statistics.log_likelihood, statistics.scatter
        if not self.near.is_complete and scatter is not None:
            total += family.pooled_log_prob(self.far.precisions_cholesky, scatter, d)
        moved = family.about(statistics.moments(family, d=d), self.reference)
        return replace(
            statistics,
            log_likelihood=total,
            sums=moved.sums,
            scatter=moved.scatter,
            reference=self.reference,
        )


#: What a pass applies to complete rows.
BlockKernel = Kernel | SplitKernel


def e_step(
    kernels: Sequence[BlockKernel],
    Y: Columns | Tile,
    workspace: Workspace,
    weights: Array | None = None,
) -> list[Statistics]:
    """Statistics of a block's rows under each kernel; kernels must agree in `sharing`.

    Parameters
    ----------
    kernels
        Candidates that share preparation (never a product: a candidate's bits are those of its run
        alone).
    Y : (d, b)
        Standardised rows: an array of the kernels' dtype, or what writes them tile by tile.
    workspace
        Buffers to use.
    weights : (n,)
        Of the rows, positive; None where each weighs 1.
    """
    columns = InMemory(Y) if isinstance(Y, np.ndarray) else Y
    split = [kernel for kernel in kernels if isinstance(kernel, SplitKernel)]
    whole = [kernel for kernel in kernels if not isinstance(kernel, SplitKernel)]
    if not split:
        return e_step_of_all(whole, columns, workspace, weights)
    is_far = are_far(columns, split[0].squared_radius, workspace)
    if not is_far.any():
        return _of_near(split, columns, workspace, weights)
    if is_far.all():
        return e_step_of_all([kernel.far for kernel in split], columns, workspace, weights)
    near_rows, far_rows = np.flatnonzero(~is_far), np.flatnonzero(is_far)
    own = None if weights is None else weights[near_rows]
    near = _of_near(split, columns.take(near_rows, workspace), workspace, own)
    own = None if weights is None else weights[far_rows]
    some = columns.take(far_rows, workspace)
    far = e_step_of_all([kernel.far for kernel in split], some, workspace, own)
    return [one.merge(other) for one, other in zip(near, far, strict=True)]


def _of_near(
    kernels: Sequence[SplitKernel], columns: Columns, workspace: Workspace, weights: Array | None
) -> list[Statistics]:
    """Statistics about the old means of rows that are all near."""
    found = e_step_of_all([kernel.near for kernel in kernels], columns, workspace, weights)
    return [kernel.about_means(own) for kernel, own in zip(kernels, found, strict=True)]


def are_far(columns: Columns, squared_radius: float, workspace: Workspace) -> NDArray[np.bool_]:
    """Rows beyond a radius, (n,); of a row that lacks values, what there is counts.

    A norm that overflows is beyond any.
    """
    d, n = columns.shape
    norms, stored = workspace.array("norms", (n,)), columns.stored()
    if stored is None or not workspace.backend.squared_norms(stored, norms):
        for rows in steps(n, _ROWS_OF_NORMS):
            tile = workspace.array("tile", (d, len(range(*rows.indices(n)))))
            columns.write(rows, tile)
            np.copyto(tile, 0.0, where=np.isnan(tile))
            with np.errstate(over="ignore"):
                np.einsum("ij,ij->j", tile, tile, out=norms[rows])
    return norms > squared_radius
