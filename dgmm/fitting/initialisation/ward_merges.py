"""Ward's merges of clusters by their means: the pair that adds least to the sum of squares first.

Ward, *Hierarchical grouping to optimize an objective function*, JASA 58 (1963). Merging clusters a
and b of n_a and n_b rows adds n_a n_b / (n_a + n_b) ‖a − b‖², which their means and sizes give: no
matrix of all pairs is kept, and memory is that of the means. No cost ever falls by a merge
(Lance & Williams, *A general theory of classificatory sorting strategies*, Computer Journal 9,
1967), so that the least of a cluster is only looked for again when it comes first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgmm.fitting.initialisation.distance_rows import Array, Labels
from dgmm.fitting.initialisation.sample_rows import CentredRows

#: Clusters of which the distances to all are taken at a time.
_BLOCK = 8


def merged(means: Array, sizes: Array, k: int) -> Array:
    """Means (k, d) of the clusters that are left.

    Parameters
    ----------
    means : (n, d)
        Those of n ≥ k clusters.
    sizes : (n,)
        Their rows, or what these stand for: above 0.
    k
        Clusters wanted.
    """
    merges = _Merges(means, sizes)
    for _ in range(len(means) - k):
        merges.merge()
    return merges.left()


class _Merges:
    def __init__(self, means: Array, sizes: Array) -> None:
        n = len(sizes)
        self._rows = CentredRows.about_origin(means.T.copy())
        self._sizes = sizes / sizes.sum()
        self._gone = np.zeros(n)  # infinite for merged ones
        self._nearest, self._least = np.empty(n, dtype=np.intp), np.empty(n)
        # In which step a cluster became what it is, and its nearest was looked for.
        self._changed, self._seen, self._step = np.zeros(n, np.int64), np.zeros(n, np.int64), 0
        for first in range(0, n, _BLOCK):
            self._look(np.arange(first, min(first + _BLOCK, n)))

    def merge(self) -> None:
        """Merge the pair that costs least."""
        while True:
            a = int(self._least.argmin())
            b = int(self._nearest[a])
            if self._gone[b] == 0.0 and self._seen[a] >= self._changed[b]:
                break
            self._look(np.array([a]))
        self._step += 1
        self._join(min(a, b), max(a, b))

    def left(self) -> Array:
        """Means of those that are not merged into others."""
        return self._rows.take(np.flatnonzero(self._gone == 0.0))

    def _join(self, a: int, b: int) -> None:
        sizes, columns = self._sizes, self._rows.values
        total = sizes[a] + sizes[b]
        columns[:, a] = (sizes[a] * columns[:, a] + sizes[b] * columns[:, b]) / total
        self._rows.squares[a] = columns[:, a] @ columns[:, a]
        sizes[a], self._changed[a] = total, self._step
        self._gone[b] = self._least[b] = np.inf
        self._offer(a, self._look(np.array([a]))[0])

    def _look(self, some: Labels) -> Array:
        """Find which larger one each of some clusters would be merged with first.

        Returns
        -------
        (len(some), n)
            What merging with each cluster costs, be it larger or smaller.
        """
        costs = self._rows.squared_distances(self._rows.take(some))
        own = self._sizes[some, None]
        costs *= own * (self._sizes / (own + self._sizes))
        costs += self._gone
        each = np.arange(len(some))
        of_larger = np.where(self._are_larger(some), costs, np.inf)
        self._nearest[some] = of_larger.argmin(axis=1)
        self._least[some] = of_larger[each, self._nearest[some]]
        self._seen[some] = self._step
        return costs

    def _are_larger(self, some: Labels) -> NDArray[np.bool_]:
        """Which clusters are larger than some, or of equal size and further on, (len(some), n)."""
        own, number = self._sizes[some, None], np.arange(len(self._sizes))
        is_further = (self._sizes == own) & (number > some[:, None])
        found: NDArray[np.bool_] = (self._sizes > own) | is_further
        return found

    def _offer(self, a: int, costs: Array) -> None:
        """Note a, which has grown, as nearest of the smaller ones that it is nearest of now."""
        is_nearest = (costs < self._least) & ~self._are_larger(np.array([a]))[0]
        is_nearest[a] = False
        self._least[is_nearest] = costs[is_nearest]
        self._nearest[is_nearest], self._seen[is_nearest] = a, self._step
