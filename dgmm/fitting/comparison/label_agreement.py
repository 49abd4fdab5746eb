"""How far two labellings of the same rows agree, from their contingency table."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.int64]


def adjusted_rand_index(table: Table) -> float:
    """The adjusted Rand index (Hubert & Arabie 1985): 1 for equal partitions, 0 by chance.

    Parameters
    ----------
    table : (k, m)
        Rows that have one label of the first and one of the second labelling.

    Examples
    --------
    >>> adjusted_rand_index(np.array([[0, 5], [7, 0]]))
    1.0
    """
    counts = [[int(n) for n in row] for row in table]  # Python's integers: n² of 10¹¹ rows
    own, other = ([sum(row) for row in part] for part in (counts, zip(*counts, strict=True)))
    total = _pairs(sum(own))
    together = sum(_pairs(n) for row in counts for n in row)
    first, second = (sum(map(_pairs, part)) for part in (own, other))
    if not total or first == second == together:
        return 1.0
    expected = first * second / total
    return float((together - expected) / ((first + second) / 2 - expected))


def _pairs(n: int) -> int:
    return n * (n - 1) // 2


def matched(table: Table) -> NDArray[np.intp]:
    """For each label of the first (k,) the label of the second (k,) that it is paired with.

    The pairs are those in which most rows agree (Kuhn 1955; shortest augmenting paths after
    Jonker & Volgenant 1987), k³ steps.
    """
    cost = (table.max(initial=0) - table).astype(np.float64)
    k = len(cost)
    u, v = np.zeros(k + 1), np.zeros(k + 1)
    row_of, way = np.zeros(k + 1, dtype=np.intp), np.zeros(k + 1, dtype=np.intp)
    for row in range(1, k + 1):
        _augment(cost, row, u, v, row_of, way)
    found = np.empty(k, dtype=np.intp)
    found[row_of[1:] - 1] = np.arange(k)
    return found


def _augment(cost: NDArray[np.float64], row: int, u: Any, v: Any, row_of: Any, way: Any) -> None:
    """Add one row to a matching of least cost; column 0 stands for no column."""
    k = len(cost)
    row_of[0], column = row, 0
    least, used = np.full(k + 1, np.inf), np.zeros(k + 1, dtype=bool)
    while row_of[column]:
        used[column] = True
        own = row_of[column]
        free = np.flatnonzero(~used[1:]) + 1
        reduced = cost[own - 1, free - 1] - u[own] - v[free]
        better = reduced < least[free]
        least[free[better]], way[free[better]] = reduced[better], column
        nearest = free[np.argmin(least[free])]
        step = least[nearest]
        u[row_of[used]] += step
        v[used] -= step
        least[free] -= step
        column = nearest
    while column:
        row_of[column] = row_of[way[column]]
        column = way[column]


def moved_share(table: Table) -> float:
    """Share of the rows whose labels differ once the labels are matched."""
    total = int(table.sum())
    if not total:
        return 0.0
    return 1.0 - int(table[np.arange(len(table)), matched(table)].sum()) / total


def contingency(first: NDArray[Any], second: NDArray[Any], k: int) -> Table:
    """Rows (b,) that have each pair of labels, (k, k)."""
    pairs = first.astype(np.int64) * k + second
    return np.bincount(pairs, minlength=k * k).reshape(k, k).astype(np.int64)
