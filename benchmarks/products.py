"""What to hold a pass against: its pair of products alone, by NumPy, L = η Φ and S = Φ Rᵀ or R Φᵀ.

Nothing else is done: one tile per thread is multiplied again and again, as often as there are
tiles, in the width and the orientation that are fastest. Quicker than that is only who multiplies
less, or better than NumPy's BLAS does.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import N_THREADS, seconds
from dgmm.runtime.blas_threads import single_blas_thread

TILES = (256, 512, 1024, 2048, 4096)
#: Rows that each way is tried on: a few of the widest tiles for each thread.
_TRIED = 4 * N_THREADS * TILES[-1]

Tile = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


class Way(NamedTuple):
    """Columns of a tile, and whether S is R Φᵀ."""

    tile: int
    is_wide: bool


def features_wide(covariance_type: str, d: int) -> int:
    """Length p of φ: what a family's quadratic part has, y and 1."""
    quadratic = {"full": d * (d + 1) // 2, "diag": d, "spherical": 1, "tied": 0}
    return quadratic[covariance_type] + d + 1


class Products:
    """The products of n rows, k components and p features.

    Attributes
    ----------
    way : Way
        The fastest one here, unless it is given.
    """

    def __init__(self, n: int, k: int, p: int, dtype: Any, way: Way | None = None) -> None:
        self._n, self._k, self._p, self._dtype = n, k, p, np.dtype(dtype)
        self._blas = single_blas_thread()
        self._pool = ThreadPoolExecutor(N_THREADS)
        self._use(way or self._fastest())
        self.step()

    def _fastest(self) -> Way:
        """The way whose products of some of the rows take least."""
        found, n = {}, min(self._n, _TRIED)
        for way in (Way(*both) for both in product(TILES, (False, True))):
            self._use(way)
            found[way] = min(self._seconds_of(n) for _ in range(4))
        return min(found, key=lambda way: found[way])

    def _use(self, way: Way) -> None:
        rng = np.random.default_rng(0)
        k, p = self._k, self._p

        def made(*shape: int) -> NDArray[Any]:
            return rng.random(shape).astype(self._dtype)

        self.way = way
        sizes = ((k, p), (p, way.tile), (k, way.tile))
        self._tiles: list[Tile] = [
            (made(*sizes[0]), made(*sizes[1]), made(*sizes[2])) for _ in range(N_THREADS)
        ]

    def step(self, times: int = 1) -> list[float]:
        """Seconds of the products of all rows, `times` times."""
        return [self._seconds_of(self._n) for _ in range(times)]

    def _seconds_of(self, n: int) -> float:
        """Of n rows, from those of as many whole tiles as come nearest."""
        repeats = max(round(n / self.way.tile / N_THREADS), 1)

        def once() -> None:
            work = [self._pool.submit(_multiply, t, repeats, self.way) for t in self._tiles]
            for future in work:
                future.result()

        return seconds(once) * n / (repeats * self.way.tile * N_THREADS)

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


def _multiply(tile: Tile, repeats: int, way: Way) -> None:
    eta, Phi, L = tile
    left, right = (L, Phi.T) if way.is_wide else (Phi, L.T)
    S = np.empty((len(left), right.shape[1]), eta.dtype)
    for _ in range(repeats):
        np.matmul(eta, Phi, out=L)
        np.matmul(left, right, out=S)
