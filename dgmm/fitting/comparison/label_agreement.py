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

    The pairs are those in which most rows agree, by the Hungarian method (Kuhn 1955).
    """
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - slow to import

    _, found = linear_sum_assignment(table, maximize=True)
    return np.asarray(found, dtype=np.intp)


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
