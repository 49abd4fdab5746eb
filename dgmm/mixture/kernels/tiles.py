"""The E-step over the tiles of a block; nothing of size N×K ever exists.

A tile is held features-major, (d, b), so that every elementwise step runs along contiguous memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.backends import steps
from dgmm.mixture.covariance.family import Family
from dgmm.mixture.covariance.triangles import pack
from dgmm.mixture.kernels.workspace import Workspace
from dgmm.mixture.sufficient_statistics import Statistics

Array = NDArray[np.float64]
Tile = NDArray[Any]


class Columns(Protocol):
    """Standardised rows of a block, features first, that exist one tile at a time."""

    @property
    def shape(self) -> tuple[int, int]:
        """(d, n)."""

    def write(self, rows: slice, out: Tile) -> None:
        """Write some rows into out (d, b), in its dtype."""

    def stored(self) -> tuple[Tile, Tile, Tile] | None:
        """Rows (n, d) as stored, with factor and offset (d,) of standardising; None without."""

    def part(self, rows: slice) -> Columns:
        """Consecutive rows, of which nothing is copied."""

    def take(self, rows: NDArray[np.intp], workspace: Workspace) -> Columns:
        """Some rows (m,), in their order; good until others are taken."""


class InMemory:
    """Columns that are there already, (d, n)."""

    def __init__(self, Y: Tile) -> None:
        self._Y = Y

    @property
    def shape(self) -> tuple[int, int]:
        """(d, n)."""
        d, n = self._Y.shape
        return d, n

    def write(self, rows: slice, out: Tile) -> None:
        """Copy them."""
        np.copyto(out, self._Y[:, rows])

    def stored(self) -> None:
        """They are standardised already."""
        return

    def part(self, rows: slice) -> InMemory:
        """A view."""
        return InMemory(self._Y[:, rows])

    def take(self, rows: NDArray[np.intp], workspace: Workspace) -> InMemory:
        """A copy."""
        return InMemory(self._Y[:, rows])


class PassKernel(Protocol):
    """One candidate's parameters as a pass over blocks has them; picklable."""

    @property
    def name(self) -> str:
        """`product`, `centred`, or `split` where each row goes one of the two ways."""

    @property
    def is_exact(self) -> bool:
        """Whether it is right at any offset; otherwise the guard bounds its error."""

    @property
    def is_complete(self) -> bool:
        """Whether `weighted_log_prob` leaves nothing out."""

    @property
    def family(self) -> Family:
        """Covariance family."""

    @property
    def n_components(self) -> int:
        """Posteriors of a row: k, and one more with noise."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that tiles are computed in."""

    @property
    def squared_radius(self) -> float:
        """‖y‖² of rows, at most, that go by products; 0 where none does."""

    @property
    def reference(self) -> Array | None:
        """What moments are taken about."""

    @property
    def with_scatter(self) -> bool:
        """Whether the family's scatter is accumulated."""

    @property
    def sharing(self) -> tuple[Any, ...]:
        """Kernels with equal `sharing` prepare a tile alike: it is done once for all of them."""


class Kernel(PassKernel, Protocol):
    """The same, ready to be applied to tiles."""

    @property
    def has_noise(self) -> bool:
        """Whether the last of the components is uniform noise."""

    @property
    def tile_rows(self) -> int:
        """Rows of a tile."""

    def width(self, d: int) -> int:
        """Sums of a component, for d features."""

    def prepare(self, Y: Columns, rows: slice, workspace: Workspace) -> Tile:
        """What log densities and moments are computed from, for some rows of a block."""

    def weighted_log_prob(self, prepared: Tile, workspace: Workspace) -> Tile:
        """Log weight plus log density, (k, b), up to a term common to all components."""

    def accumulate(
        self,
        prepared: Tile,
        R: Tile,
        sums: Array,
        scatter: Array | None,
        workspace: Workspace,
        weights: Array | None = None,
    ) -> None:
        """Add the tile's moments, weighted by R (k, b), to sums (p, k) and scatter (s,).

        `weights` (b,) are those of the rows, by which R is multiplied already.
        """

    def common_log_prob(self, Y: Tile) -> Tile | float:
        """The term that `weighted_log_prob` leaves out, (b,) or 0."""

    def at_once(
        self, Y: Columns, sums: Array, workspace: Workspace, weights: Array | None = None
    ) -> float | None:
        """Do a whole block: add to sums (p, k), return Σ w log p; None where tiles do it.

        A scatter is left to `scatter_of_rows`.
        """


def softmax(L: Tile, workspace: Workspace) -> Tile:
    """Turn weighted log densities (k, b) into responsibilities in place; return log-sum-exp."""
    top, total = (workspace.array(name, L.shape[1:], L.dtype) for name in ("top", "total"))
    return workspace.backend.softmax(L, top, total)


def e_step(
    kernels: Sequence[Kernel],
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
    first = kernels[0]
    columns = InMemory(Y) if isinstance(Y, np.ndarray) else Y
    d, n = columns.shape
    # Components side by side in memory, as statistics are; tiles add to rows of φ.
    sums = [np.zeros((kernel.n_components, kernel.width(d))).T for kernel in kernels]
    scatters = [
        kernel.family.empty_scatter(d) if kernel.with_scatter else None for kernel in kernels
    ]
    totals = [0.0] * len(kernels)
    # A row so far out that its square overflows makes the log-likelihood non-finite.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        by_tiles = []
        for i, kernel in enumerate(kernels):
            total = kernel.at_once(columns, sums[i], workspace, weights)
            if total is None:
                by_tiles.append(i)
                sums[i] = np.zeros(sums[i].shape)
            else:
                totals[i] = total
                if kernel.with_scatter:
                    scatters[i] = scatter_of_rows(kernel, columns, weights, workspace)
        for rows in steps(n if by_tiles else 0, first.tile_rows):
            prepared = first.prepare(columns, rows, workspace)
            own = None if weights is None else weights[rows]
            for i in by_tiles:
                L = kernels[i].weighted_log_prob(prepared, workspace)
                totals[i] += total_of(softmax(L, workspace), own, workspace)
                if own is not None:
                    np.multiply(L, own, out=L, casting="same_kind")
                kernels[i].accumulate(prepared, L, sums[i], scatters[i], workspace, own)
    weight = None if weights is None else float(weights.sum())
    return [
        statistics_of_sums(kernel, n, total, s, T, weight)
        for kernel, total, s, T in zip(kernels, totals, sums, scatters, strict=True)
    ]


def scatter_of_rows(
    kernel: Kernel, rows: Columns, weights: Array | None, workspace: Workspace
) -> Array:
    """The family's scatter (s,) of a block's rows about the origin, in float64."""
    (d, n), stored, family = rows.shape, rows.stored(), kernel.family
    if stored is not None and family.lifts_pairs:
        values, *affine = stored
        factor, offset = (np.asarray(part, np.float64) for part in affine)
        of_pairs = workspace.array("scatter of pairs", (d, d))
        if workspace.backend.scatter((values, factor, offset), of_pairs, weights):
            return pack(of_pairs)
    total = np.zeros(family.scatter_width(d))
    for some in steps(n, kernel.tile_rows):
        tile = workspace.array("scatter tile", (d, len(range(*some.indices(n)))), kernel.dtype)
        rows.write(some, tile)
        own = None if weights is None else weights[some]
        total += family.scatter(tile.astype(np.float64, copy=False), own)
    return total


def statistics_of_sums(
    kernel: Kernel,
    n: int,
    total: float,
    sums: Array,
    scatter: Array | None,
    weight: float | None,
) -> Statistics:
    """Sums (p, k) as statistics; of the noise, which comes last in them, the count alone."""
    noise = float(sums[-1, -1]) if kernel.has_noise else None
    own = sums[:, :-1] if kernel.has_noise else sums
    moments = np.ascontiguousarray(own.T)
    return Statistics(n, total, moments, scatter, kernel.reference, weight, noise=noise)


def total_of(lse: Tile, weights: Array | None, workspace: Workspace) -> float:
    """The sum of log densities, each times its row's weight."""
    values = lse if weights is None else lse * weights
    if values.dtype != np.float64:  # NumPy's sum in another type takes twice as long
        summed = workspace.array("log densities", lse.shape)
        np.copyto(summed, values)
        values = summed
    return float(np.add.reduce(values))
