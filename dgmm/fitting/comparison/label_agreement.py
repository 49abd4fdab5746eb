"""How far two labellings of the same rows agree, from their contingency table."""

from __future__ import annotations

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


def matched(table: Table) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Labels of the first and of the second (min(k, m),) that are paired with each other.

    The pairs are those in which most rows agree, by the Hungarian method (Kuhn 1955).
    """
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - slow to import

    first, second = linear_sum_assignment(table, maximize=True)
    return np.asarray(first, dtype=np.intp), np.asarray(second, dtype=np.intp)


def moved_share(table: Table) -> float:
    """Share of the rows whose labels differ once the labels are matched."""
    total = int(table.sum())
    return 1.0 - int(table[matched(table)].sum()) / total if total else 0.0


def contingency(
    first: NDArray[np.integer], second: NDArray[np.integer], n_labels: tuple[int, int]
) -> Table:
    """Rows (b,) that have each pair of labels, (k, m); rows that have none (below 0) are left out.

    Examples
    --------
    >>> contingency(np.array([0, 1, -1]), np.array([2, 2, 0]), (2, 3)).tolist()
    [[0, 0, 1], [0, 0, 1]]
    """
    both = (first >= 0) & (second >= 0)
    pairs = first[both].astype(np.int64) * n_labels[1] + second[both]
    found = np.bincount(pairs, minlength=n_labels[0] * n_labels[1])
    return found.reshape(n_labels).astype(np.int64)
