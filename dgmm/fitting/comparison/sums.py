"""What a read of all rows adds up of several mixtures and labellings."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dgmm.fitting.comparison.label_agreement import Table, contingency

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ComparisonSums:
    """Of M mixtures and A labellings (k-means has no density) of some rows; a monoid.

    Attributes
    ----------
    n_read, n_dropped
        Rows, and those among them that were left out.
    n_held_out
        Rows that no method was fitted to.
    log_likelihood, held_out : (M,)
        Sums over all rows and over those.
    squares : (M, M)
        Σ (log p_a − log p_b)² over the held-out rows.
    tables : (A·(A − 1)/2, k, k) int64
        Rows by their labels, for each pair of labellings (0, 1), (0, 2), …
    """

    n_read: int
    n_dropped: int
    n_held_out: int
    log_likelihood: Array
    held_out: Array
    squares: Array
    tables: NDArray[np.int64]

    @classmethod
    def of_rows(
        cls,
        log_density: Array,
        labels: NDArray[np.int64],
        is_held_out: NDArray[np.bool_],
        k: int,
        n_dropped: int,
    ) -> Self:
        """Of rows that count: log densities (M, b), labels (A, b), and which were not seen (b,)."""
        own = log_density[:, is_held_out]
        with np.errstate(invalid="ignore"):  # −∞ − (−∞): a density that is 0
            squares = np.array([[((a - b) ** 2).sum() for b in own] for a in own])
        tables = [contingency(a, b, (k, k)) for a, b in combinations(labels, 2)]
        n = labels.shape[1]
        return cls(
            n_read=n + n_dropped,
            n_dropped=n_dropped,
            n_held_out=int(is_held_out.sum()),
            log_likelihood=log_density.sum(axis=1),
            held_out=own.sum(axis=1),
            squares=squares.reshape(len(own), len(own)),
            tables=np.array(tables, dtype=np.int64).reshape(len(tables), k, k),
        )

    def merge(self, other: Self) -> Self:
        """These rows and the others."""
        return type(self)(
            self.n_read + other.n_read,
            self.n_dropped + other.n_dropped,
            self.n_held_out + other.n_held_out,
            self.log_likelihood + other.log_likelihood,
            self.held_out + other.held_out,
            self.squares + other.squares,
            self.tables + other.tables,
        )

    def table(self, first: int, second: int) -> Table:
        """Rows by the labels of two labellings, (k, k)."""
        n = 1
        while n * (n - 1) // 2 < len(self.tables):
            n += 1
        pairs = list(combinations(range(n), 2))
        if first < second:
            return np.asarray(self.tables[pairs.index((first, second))])
        return np.asarray(self.tables[pairs.index((second, first))].T)
