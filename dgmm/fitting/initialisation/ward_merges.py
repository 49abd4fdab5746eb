"""Ward's merges of clusters by their means: the pair that adds least to the sum of squares first.

Ward, *Hierarchical grouping to optimize an objective function*, JASA 58 (1963). Merging clusters of
n and m rows adds n m / (n + m) ‖a − b‖², and what a merged cluster adds with others follows from
what its parts added (Lance & Williams, *A general theory of classificatory sorting strategies*,
Computer Journal 9, 1967). No cost ever falls by a merge, so that the least of a cluster is only
looked for again when it comes first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.fitting.initialisation.sample_rows import Array


def merged(means: Array, sizes: Array, k: int, distances: NDArray[Any]) -> Array:
    """Means (k, d) of the clusters that are left.

    Parameters
    ----------
    means : (n, d)
        Those of n ≥ k clusters.
    sizes : (n,)
        Their rows, or what these stand for: above 0.
    k
        Clusters wanted.
    distances : (n, n)
        ‖a − b‖²; overwritten.
    """
    merges = _Merges(means, sizes, distances)
    for _ in range(len(means) - k):
        merges.merge()
    return merges.left()


class _Merges:
    def __init__(self, means: Array, sizes: Array, distances: NDArray[Any]) -> None:
        self._means, self._sizes, self._costs = means.copy(), sizes / sizes.sum(), distances
        self._gone = np.zeros(len(sizes), dtype=distances.dtype)  # infinite for merged ones
        for i, size in enumerate(self._sizes):
            distances[i] *= size * self._sizes / (size + self._sizes)
        np.fill_diagonal(distances, np.inf)
        self._nearest = distances.argmin(axis=1)
        self._least = distances[np.arange(len(sizes)), self._nearest].astype(np.float64)

    def merge(self) -> None:
        """Merge the pair that costs least."""
        while True:
            a = int(self._least.argmin())
            b = int(self._nearest[a])
            if self._gone[b] == 0.0 and self._costs[a, b] == self._least[a]:
                break
            self._look(a)
        self._join(a, b)

    def left(self) -> Array:
        """Means of those that are not merged into others."""
        means: Array = self._means[self._gone == 0.0]
        return means

    def _join(self, a: int, b: int) -> None:
        sizes, costs = self._sizes, self._costs
        of_a, of_b = (sizes[a] + sizes) * costs[a], (sizes[b] + sizes) * costs[b]
        total = sizes[a] + sizes[b]
        new = (of_a + of_b - sizes * costs[a, b]) / (total + sizes)
        costs[a], costs[:, a] = new, new
        self._means[a] = (sizes[a] * self._means[a] + sizes[b] * self._means[b]) / total
        sizes[a] = total
        self._gone[b] = self._least[b] = np.inf
        self._look(a)

    def _look(self, a: int) -> None:
        own = self._costs[a] + self._gone
        self._nearest[a] = own.argmin()
        self._least[a] = own[self._nearest[a]]
