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
        The cluster of each component.
    clusters : (n,) int32
        The most probable cluster. It need not hold the most probable component.
    entropy : (n,)
        −Σ p log p of the posteriors of clusters, nats.
    """

    of_component: NDArray[np.intp]
    clusters: NDArray[np.int32]
    entropy: Array

    @classmethod
    def empty(cls, of_component: NDArray[np.intp], n: int) -> Self:
        """For n rows."""
        return cls(of_component, np.empty(n, np.int32), np.empty(n))

    def write(self, rows: Rows, R: Array) -> None:
        """Write the clusters of some rows from their posteriors (k, b)."""
        P = np.zeros((int(self.of_component.max()) + 1, R.shape[1]))
        for cluster, r in zip(self.of_component, R, strict=True):
            P[cluster] += r
        self.clusters[rows] = P.argmax(axis=0)
        positive = np.maximum(P, np.finfo(np.float64).tiny)
        self.entropy[rows] = -np.einsum("cb,cb->b", P, np.log(positive))

    def write_certain(self, rows: NDArray[np.intp], labels: NDArray[Any]) -> None:
        """Write the clusters of rows that belong to one component."""
        self.clusters[rows] = self.of_component[labels]
        self.entropy[rows] = 0.0

    def take(self, rows: NDArray[np.intp], own: Self) -> None:
        """Copy what stands in arrays of some rows alone."""
        self.clusters[rows], self.entropy[rows] = own.clusters, own.entropy
