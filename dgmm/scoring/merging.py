"""Components merged into clusters, the pair whose merging lowers the entropy most first.

A cluster need not be Gaussian: a mixture fits one with several components. Baudry, Raftery, Celeux,
Lo and Gottardo, "Combining mixture components for clustering", J. Comput. Graph. Statist. 19 (2010)
332-353: the posterior of a merged cluster is the sum of its components', and each step merges the
pair that lowers −Σ r log r most. Two clusters that hardly overlap are not merged, however much
entropy all pairs have together: Hennig, "Methods for merging Gaussian mixture components", Adv.
Data Anal. Classif. 4 (2010) 3-34, asks the same of pairs, by their misclassification probabilities.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Components = tuple[int, ...]

#: A row counts for a pair where the first of the two has more than this of it: what is left out of
#: a gain is below ACTIVE · (1 − log ACTIVE) = 3e-11 nats per row.
ACTIVE = 1e-12
#: Gains closer than so many standard errors of their difference are a tie.
TIE_ERRORS = 2.0
#: Share of a cluster that no row of the sample is in; its gain is 0.
TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Merge:
    """One step: two clusters that become one.

    Attributes
    ----------
    left, right
        Their components; the lowest of all is in `left`.
    gain
        Entropy that goes, nats per row.
    standard_error
        Of the gain.
    overlap
        The gain per row of the smaller of the two: near 0 where its rows are surely not of the
        other; a component that lies inside another's rows has about 1.
    rivals
        The pair of the second largest gain where that cannot be told from this one on these rows.
    """

    left: Components
    right: Components
    gain: float
    standard_error: float
    overlap: float
    rivals: tuple[Components, Components] | None = None

    def record(self) -> dict[str, Any]:
        """For JSON."""
        rivals = None if self.rivals is None else [list(cluster) for cluster in self.rivals]
        return {
            "left": list(self.left),
            "right": list(self.right),
            "gain": self.gain,
            "standard_error": self.standard_error,
            "overlap": self.overlap,
            "rivals": rivals,
        }


@dataclass(frozen=True, slots=True)
class MergeTree:
    """k components down to one cluster.

    Attributes
    ----------
    n_components
        k.
    merges
        k − 1 of them, in their order.
    entropies
        Nats per row of k, k − 1, …, 1 clusters.
    """

    n_components: int
    merges: tuple[Merge, ...]
    entropies: tuple[float, ...]

    def n_clusters(self, max_entropy: float, min_overlap: float = 0.0) -> int:
        """The most clusters whose entropy is at most so many nats per row.

        More than these where the two that are to be merged next overlap by less than `min_overlap`.
        """
        sizes = range(self.n_components, 1, -1)
        for n, entropy, merge in zip(sizes, self.entropies[:-1], self.merges, strict=True):
            if entropy <= max_entropy or merge.overlap < min_overlap:
                return n
        return 1

    def clusters(self, n_clusters: int) -> NDArray[np.intp]:
        """The cluster (k,) of each component, numbered by its lowest component."""
        if not 1 <= n_clusters <= self.n_components:
            raise ValueError(f"{n_clusters} clusters of {self.n_components} components")
        lowest = np.arange(self.n_components)
        for merge in self.merges[: self.n_components - n_clusters]:
            lowest[list(merge.left + merge.right)] = merge.left[0]
        return np.asarray(np.unique(lowest, return_inverse=True)[1])


def merge_tree(
    posteriors: Array, weights: Array | None = None, total: float | None = None
) -> MergeTree:
    """Merge components until one cluster is left.

    Equal gains go to the pair of lowest components.

    Parameters
    ----------
    posteriors : (k, n)
        Of a sample of rows; each column sums to 1.
    weights : (n,)
        Of the rows; None where each weighs 1.
    total
        Weight that entropies are divided by, where it is not that of the rows.
    """
    state = _Clusters.of(posteriors, weights, total)
    entropies, merges = [state.entropy], []
    while len(state.members) > 1:
        merges.append(state.merge_best())
        entropies.append(state.entropy)
    return MergeTree(len(posteriors), tuple(merges), tuple(entropies))


@dataclass(slots=True, eq=False)
class _Clusters:
    """Clusters as they are at some step, by the number of their lowest component.

    R (k, n) holds their posteriors, H is R log R; gains (k, k) stand above the diagonal, and all
    else there is −inf, as are the rows and columns of clusters that are no more.
    """

    members: dict[int, Components]
    R: Array
    H: Array
    share: Array
    gains: Array = field(init=False)
    entropies: Array = field(init=False)

    def __post_init__(self) -> None:
        k = len(self.R)
        self.entropies = -(self.H @ self.share)
        self.gains = np.full((k, k), -np.inf)
        for a in range(k - 1):
            self.gains[a, a + 1 :] = self._gains_of(a, range(a + 1, k))

    @classmethod
    def of(cls, posteriors: Array, weights: Array | None, total: float | None) -> _Clusters:
        n = posteriors.shape[1]
        w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
        R = np.array(posteriors, dtype=np.float64)
        share = w / (w.sum() if total is None else total)
        return cls({k: (k,) for k in range(len(R))}, R, _x_log_x(R), share)

    @property
    def entropy(self) -> float:
        """Nats per row."""
        return max(float(self.entropies[list(self.members)].sum()), 0.0)

    def merge_best(self) -> Merge:
        """Merge the pair of the largest gain."""
        a, b = self._largest(self.gains)
        merge = self._merge_of(a, b)
        self._unite(a, b)
        return merge

    def _merge_of(self, a: int, b: int) -> Merge:
        best, rivals = self._row_gains(a, b), None
        others = self.gains.copy()
        others[a, b] = -np.inf
        if len(self.members) > 2:
            c, d = self._largest(others)
            difference = best - self._row_gains(c, d)
            mean = float(difference @ self.share)
            if mean <= TIE_ERRORS * self._error(difference, mean):
                rivals = self.members[c], self.members[d]
        gain = float(best @ self.share)
        smaller = max(min(float(self.R[j] @ self.share) for j in (a, b)), TINY)
        error = self._error(best, gain)
        return Merge(self.members[a], self.members[b], gain, error, gain / smaller, rivals)

    def _unite(self, a: int, b: int) -> None:
        """b becomes part of a; the gains of all pairs with a are found again."""
        self.R[a] += self.R[b]
        self.H[a] = _x_log_x(self.R[a])
        self.entropies[a] = -float(self.H[a] @ self.share)
        self.members[a] = tuple(sorted(self.members[a] + self.members.pop(b)))
        self.gains[b, :] = self.gains[:, b] = -np.inf
        others = [c for c in self.members if c != a]
        for c, gain in zip(others, self._gains_of(a, others), strict=True):
            self.gains[min(a, c), max(a, c)] = gain

    def _gains_of(self, a: int, others: Iterable[int]) -> list[float]:
        """Entropy that merging a with each of some clusters takes away, nats per row."""
        rows = np.flatnonzero(self.R[a] > ACTIVE)
        r, h, share = self.R[a, rows], self.H[a, rows], self.share[rows]
        return [
            float((_x_log_x(r + self.R[b, rows]) - h - self.H[b, rows]) @ share) for b in others
        ]

    def _row_gains(self, a: int, b: int) -> Array:
        """The same of each row (n,), for one pair."""
        return np.asarray(_x_log_x(self.R[a] + self.R[b]) - self.H[a] - self.H[b])

    def _error(self, values: Array, mean: float) -> float:
        """Standard error of a weighted mean."""
        return float(np.sqrt(((self.share * (values - mean)) ** 2).sum()))

    @staticmethod
    def _largest(gains: Array) -> tuple[int, int]:
        a, b = np.unravel_index(int(np.argmax(gains)), gains.shape)
        return int(a), int(b)


def merge_tree_without_noise(posteriors: Array, weights: Array | None = None) -> MergeTree:
    """Merge Gaussians; noise, the last of the posteriors (k + 1, n), is a cluster of its own.

    −Σ r log r is the entropy of noise or not, which no merge changes, and (1 − r₀) times that of
    the posteriors given that a row is no noise: the second is what is lowered, to 0.
    """
    w = np.ones(posteriors.shape[1]) if weights is None else weights
    gaussians = posteriors[:-1]
    share = gaussians.sum(axis=0)
    some = share > 0.0
    given = gaussians[:, some] / share[some]
    return merge_tree(given, w[some] * share[some], float(w.sum()))


def _x_log_x(x: Array) -> Array:
    """x log x, 0 at 0."""
    return np.asarray(x * np.log(np.maximum(x, np.finfo(np.float64).tiny)))
