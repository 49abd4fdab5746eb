"""The E-step over the tiles of a block; nothing of size N×K ever exists.

A tile is held features-major, (d, b), so that every elementwise step runs along contiguous memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dgmm.covariance.family import Family
from dgmm.covariance.full import pack
from dgmm.statistics import Statistics

Array = NDArray[np.float64]
Tile = NDArray[Any]

_TILE_BYTES = 4 * 1024 * 1024
_MIN_TILE, _MAX_TILE = 256, 4096


def tile_rows(numbers_per_row: int, itemsize: int) -> int:
    """Rows of a tile: a power of two that keeps a tile's work near 4 MiB; it divides every block.

    A pure function of family, kernel, d, k and dtype (through `numbers_per_row`), since bits follow
    it.
    """
    fitting = max(_TILE_BYTES // (itemsize * numbers_per_row), 1)
    return int(min(max(1 << (fitting.bit_length() - 1), _MIN_TILE), _MAX_TILE))


class Workspace:
    """Buffers of one task, made once and used for every tile."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, np.dtype[Any]], NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: Any = np.float64) -> NDArray[Any]:
        """A C-contiguous array over the buffer of that name; its content is undefined."""
        size = int(np.prod(shape))
        key = (name, np.dtype(dtype))
        buffer = self._buffers.get(key)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[key] = np.empty(size, dtype)
        return buffer[:size].reshape(shape)


class Kernel(Protocol):
    """One candidate's parameters, ready to be applied to tiles; picklable."""

    @property
    def name(self) -> str:
        """`product` or `centred`."""

    @property
    def family(self) -> Family:
        """Covariance family."""

    @property
    def n_components(self) -> int:
        """k."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that tiles are computed in."""

    @property
    def tile_rows(self) -> int:
        """Rows of a tile."""

    @property
    def reference(self) -> Array | None:
        """What moments are taken about."""

    @property
    def with_scatter(self) -> bool:
        """Whether the pooled scatter is accumulated."""

    @property
    def sharing(self) -> tuple[Any, ...]:
        """Kernels with equal `sharing` prepare a tile alike: it is done once for all of them."""

    def prepare(self, Y: Tile, workspace: Workspace) -> Tile:
        """What log densities and moments are computed from, for a tile Y (d, b)."""

    def weighted_log_prob(self, prepared: Tile, workspace: Workspace) -> Tile:
        """Log weight plus log density, (k, b), up to a term common to all components."""

    def accumulate(
        self, prepared: Tile, R: Tile, sums: Array, scatter: Array | None, workspace: Workspace
    ) -> None:
        """Add the tile's moments, weighted by R (k, b), to sums (k, p) and scatter (d, d)."""

    def common_log_prob(self, Y: Tile) -> Tile | float:
        """The term that `weighted_log_prob` leaves out, (b,) or 0."""


def softmax(L: Tile, workspace: Workspace) -> Tile:
    """Turn weighted log densities (k, b) into responsibilities in place; return log-sum-exp."""
    top = np.max(L, axis=0, out=workspace.array("top", (L.shape[1],), L.dtype))
    np.subtract(L, top, out=L)
    np.exp(L, out=L)
    total = L.sum(axis=0)
    np.divide(L, total, out=L)
    return np.asarray(np.log(total, out=total) + top)


def tiles(n_rows: int, width: int) -> Iterator[slice]:
    """Cut n_rows into tiles; the last may be narrower."""
    for start in range(0, n_rows, width):
        yield slice(start, min(start + width, n_rows))


def e_step(kernels: Sequence[Kernel], Y: Tile, workspace: Workspace) -> list[Statistics]:
    """Statistics of a block's rows under each kernel; kernels must agree in `sharing`.

    Parameters
    ----------
    kernels
        Candidates that share preparation (never a product: a candidate's bits are those of its run
        alone).
    Y : (d, b)
        Standardised rows of the kernels' dtype.
    workspace
        Buffers to use.
    """
    first = kernels[0]
    d, n = Y.shape
    sums = [np.zeros((kernel.n_components, kernel.family.width(d))) for kernel in kernels]
    scatters = [np.zeros((d, d)) if kernel.with_scatter else None for kernel in kernels]
    totals = [0.0] * len(kernels)
    # A row so far out that its square overflows makes the log-likelihood non-finite.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for tile in tiles(n, first.tile_rows):
            prepared = first.prepare(Y[:, tile], workspace)
            for i, kernel in enumerate(kernels):
                L = kernel.weighted_log_prob(prepared, workspace)
                totals[i] += float(softmax(L, workspace).sum(dtype=np.float64))
                kernel.accumulate(prepared, L, sums[i], scatters[i], workspace)
    return [
        Statistics(n, total, s, None if T is None else pack(T), kernel.reference)
        for kernel, total, s, T in zip(kernels, totals, sums, scatters, strict=True)
    ]
