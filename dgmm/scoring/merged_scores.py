"""Clusters of rows where components are merged: a cluster's posterior is its components' sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = slice | NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class MergedScores:
    """Arrays that clusters of n rows are written to.

    Attributes
    ----------
    of_component : (k,)
        The cluster of each component, and with noise the noise's own, the last.
    clusters : (n,) int32
        The most probable cluster. It need not hold the most probable component.
    entropy : (n,)
        −Σ p log p of the posteriors of clusters, nats; with noise (1 − r₀) times that of the
        posteriors given that a row is no noise.
    has_noise
        Whether the last cluster is noise.
    """

    of_component: NDArray[np.intp]
    clusters: NDArray[np.int32]
    entropy: Array
    has_noise: bool = False

    @classmethod
    def empty(cls, of_component: NDArray[np.intp], n: int, *, has_noise: bool = False) -> Self:
        """For n rows."""
        return cls(of_component, np.empty(n, np.int32), np.empty(n), has_noise)

    def write(self, rows: Rows, R: Array) -> None:
        """Write the clusters of some rows from their posteriors (k, b)."""
        P = np.zeros((int(self.of_component.max()) + 1, R.shape[1]))
        for cluster, r in zip(self.of_component, R, strict=True):
            P[cluster] += r
        self.clusters[rows] = P.argmax(axis=0)
        tiny = np.finfo(np.float64).tiny
        own = P[:-1] if self.has_noise else P
        entropy = -np.einsum("cb,cb->b", own, np.log(np.maximum(own, tiny)))
        if self.has_noise:
            share = own.sum(axis=0)
            entropy = np.maximum(entropy + share * np.log(np.maximum(share, tiny)), 0.0)
        self.entropy[rows] = entropy

    def write_certain(self, rows: NDArray[np.intp], labels: NDArray[Any]) -> None:
        """Write the clusters of rows that belong to one component."""
        self.clusters[rows] = self.of_component[labels]
        self.entropy[rows] = 0.0

    def take(self, rows: NDArray[np.intp], own: Self) -> None:
        """Copy what stands in arrays of some rows alone."""
        self.clusters[rows], self.entropy[rows] = own.clusters, own.entropy
