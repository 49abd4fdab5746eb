"""Statistics of several leaves of the reduction in one call of compiled code.

What lies between two calls is Python's: a tenth of a millisecond, in which no other thread can have
its turn, and a third of a pass where a leaf takes a fifth of a millisecond. Leaves are summed apart
all the same, so that no bit follows how many go together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.mixture.kernels.product_kernel import ProductKernel
from dgmm.mixture.kernels.tiles import Array, Columns, PassKernel, Tile, statistics_of_sums
from dgmm.mixture.kernels.workspace import Workspace
from dgmm.mixture.sufficient_statistics import Statistics

#: Multiplications and additions of a call, at most: some milliseconds, after which what lies
#: between two calls does not matter.
_MOST_FLOPS = 2e8
#: Bytes of the sums of the leaves that go together, at most.
_MOST_BYTES = 3 * 2**20


#: Level and index of a subtree of the reduction, and its value.
Merged = tuple[int, int, Statistics]
#: Merges the arrays (l, …) of leaves from a first one on into subtrees: `subtrees_of_sums`.
Merge = Callable[
    [int, tuple[NDArray[Any], ...]], Iterator[tuple[int, int, tuple[NDArray[Any], ...]]]
]


def leaves_together(
    kernel: PassKernel, Y: Columns, leaf_rows: int, workspace: Workspace, first: int, merge: Merge
) -> Iterator[Merged] | None:
    """Statistics of leaves of so many rows, the last of which may have fewer, as subtrees.

    None where that does not pay, or the backend cannot: each leaf then needs a call of its own.

    Parameters
    ----------
    kernel, Y, workspace
        What is applied to which rows, and the buffers for it.
    leaf_rows, first
        Rows of a leaf, and the number of the first leaf.
    merge
        How leaves are merged.
    """
    (d, n), backend, stored = Y.shape, workspace.backend, Y.stored()
    if not isinstance(kernel, ProductKernel) or kernel.with_scatter or n <= leaf_rows:
        return None
    p = kernel.width(d)
    most = most_leaves(kernel.n_components * p, leaf_rows)
    can = backend.does_blocks(kernel.family.form, d, p) and _goes_uncopied(stored)
    if not can or most <= 1:
        return None
    return _by_calls(kernel, Y, leaf_rows, most, workspace, first, merge)


def _goes_uncopied(stored: tuple[Tile, ...] | None) -> bool:
    """Whether compiled code takes the rows as they are: others are copied, and few at a time."""
    if stored is None:
        return False
    rows = stored[0]
    return rows.dtype in (np.float32, np.float64) and rows.flags.c_contiguous


def most_leaves(numbers: int, leaf_rows: int) -> int:
    """How many leaves of so many rows, with so many sums, go together at most."""
    by_time = _MOST_FLOPS / (4 * numbers * leaf_rows)
    return max(int(min(by_time, _MOST_BYTES / (8 * numbers))), 1)


def _by_calls(
    kernel: ProductKernel,
    Y: Columns,
    leaf_rows: int,
    most: int,
    workspace: Workspace,
    first: int,
    merge: Merge,
) -> Iterator[Merged]:
    """As few calls as go, of leaves as equal in number as goes."""
    n = Y.shape[1]
    n_leaves = -(-n // leaf_rows)
    n_calls = -(-n_leaves // most)
    bounds = [min(i * n_leaves // n_calls * leaf_rows, n) for i in range(n_calls + 1)]
    for begin, end in itertools.pairwise(bounds):
        sums, totals = _of_call(kernel, Y.part(slice(begin, end)), leaf_rows, workspace)
        for level, index, (own, total) in merge(first + begin // leaf_rows, (sums, totals)):
            start, stop = ((i << level) - first for i in (index, index + 1))
            rows = min(stop * leaf_rows, end) - start * leaf_rows
            # A copy: a view would keep the sums of all.
            found = statistics_of_sums(kernel, rows, float(total), own.copy().T, None, None)
            yield level, index, found


def _of_call(
    kernel: ProductKernel, Y: Columns, leaf_rows: int, workspace: Workspace
) -> tuple[Array, Array]:
    """Sums (l, k, p) and totals (l,) of leaves."""
    d, n = Y.shape
    sums = np.zeros((-(-n // leaf_rows), kernel.n_components, kernel.width(d)))
    totals = kernel.leaves_at_once(kernel.family.form, Y, sums, leaf_rows, workspace)
    if totals is None:
        raise RuntimeError(f"{workspace.backend.name} does no blocks of {kernel.family.name}")
    return sums, totals
