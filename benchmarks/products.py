"""What to hold a pass against: its pair of products alone, by NumPy, L = η Φ and S = R Φᵀ.

Nothing else is done: one tile per thread is multiplied again and again, as often as there are
tiles, at the width that is fastest. Quicker than that is only who multiplies less, or better than
NumPy's BLAS does.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import N_THREADS, seconds
from dgmm.execution.blas import single_blas_thread

TILES = (256, 512, 1024, 2048, 4096)

Tile = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]


def features_wide(covariance_type: str, d: int) -> int:
    """Length p of φ: what a family's quadratic part has, y and 1."""
    quadratic = {"full": d * (d + 1) // 2, "diag": d, "spherical": 1, "tied": 0}
    return quadratic[covariance_type] + d + 1


class Products:
    """The products of n rows, k components and p features.

    Attributes
    ----------
    tile : int
        The width: the fastest one here, unless it is given.
    """

    def __init__(self, n: int, k: int, p: int, dtype: Any, tile: int | None = None) -> None:
        self._n, self._k, self._p, self._dtype = n, k, p, np.dtype(dtype)
        self._blas = single_blas_thread()
        self._pool = ThreadPoolExecutor(N_THREADS)
        self._use(tile or self._fastest())
        self._once()

    def _fastest(self) -> int:
        found = {}
        for tile in TILES:
            self._use(tile)
            self._once()
            found[tile] = min(seconds(self._once) for _ in range(3))
        return min(found, key=lambda tile: found[tile])

    def _use(self, tile: int) -> None:
        rng = np.random.default_rng(0)
        k, p = self._k, self._p

        def made(*shape: int) -> NDArray[Any]:
            return rng.random(shape).astype(self._dtype)

        self.tile = tile
        self._tiles: list[Tile] = [
            (made(k, p), made(p, tile), made(k, tile), made(k, p)) for _ in range(N_THREADS)
        ]

    def step(self, times: int = 1) -> list[float]:
        """Seconds of the products of all rows, `times` times."""
        return [seconds(self._once) for _ in range(times)]

    def _once(self) -> None:
        repeats = max(round(self._n / self.tile / N_THREADS), 1)
        for future in [self._pool.submit(_multiply, tile, repeats) for tile in self._tiles]:
            future.result()

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()
        self._blas.restore()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _multiply(tile: Tile, repeats: int) -> None:
    eta, Phi, L, S = tile
    for _ in range(repeats):
        np.matmul(eta, Phi, out=L)
        np.matmul(L, Phi.T, out=S)
