"""Statistics of several leaves of the reduction in one call of compiled code.

What lies between two calls is Python's: a tenth of a millisecond, in which no other thread can have
its turn, and a third of a pass where a leaf takes a fifth of a millisecond. Leaves are summed apart
all the same, so that no bit follows how many go together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from dgmm.mixture.backends import steps
from dgmm.mixture.kernels.product_kernel import ProductKernel
from dgmm.mixture.kernels.tiles import Columns, PassKernel, Tile, statistics_of_sums, total_of
from dgmm.mixture.kernels.workspace import Workspace
from dgmm.mixture.sufficient_statistics import Statistics

#: Multiplications and additions of a call, at most: some milliseconds, after which what lies
#: between two calls does not matter.
_MOST_FLOPS = 2e8
#: Bytes of sums and log densities of the leaves that go together, at most.
_MOST_BYTES = 3 * 2**20


def leaves_together(
    kernel: PassKernel, Y: Columns, leaf_rows: int, workspace: Workspace
) -> Iterator[Statistics] | None:
    """Statistics of each leaf of so many rows, the last of which may have fewer, in order.

    None where that does not pay, or the backend cannot: each leaf then needs a call of its own.
    """
    (d, n), backend, stored = Y.shape, workspace.backend, Y.stored()
    if not isinstance(kernel, ProductKernel) or kernel.with_scatter or n <= leaf_rows:
        return None
    p = kernel.width(d)
    most = most_leaves(kernel.n_components * p, leaf_rows)
    can = backend.does_blocks(kernel.family.form, d, p) and _goes_uncopied(stored)
    return _by_calls(kernel, Y, leaf_rows, most, workspace) if can and most > 1 else None


def _goes_uncopied(stored: tuple[Tile, ...] | None) -> bool:
    """Whether compiled code takes the rows as they are: others are copied, and few at a time."""
    if stored is None:
        return False
    rows = stored[0]
    return rows.dtype in (np.float32, np.float64) and rows.flags.c_contiguous


def most_leaves(numbers: int, leaf_rows: int) -> int:
    """How many leaves of so many rows, with so many sums, go together at most."""
    by_time = _MOST_FLOPS / (4 * numbers * leaf_rows)
    return max(int(min(by_time, _MOST_BYTES / (8 * (numbers + leaf_rows)))), 1)


def _by_calls(
    kernel: ProductKernel, Y: Columns, leaf_rows: int, most: int, workspace: Workspace
) -> Iterator[Statistics]:
    """As few calls as go, of leaves as equal in number as goes."""
    n = Y.shape[1]
    n_leaves = -(-n // leaf_rows)
    n_calls = -(-n_leaves // most)
    bounds = [min(i * n_leaves // n_calls * leaf_rows, n) for i in range(n_calls + 1)]
    for first, last in itertools.pairwise(bounds):
        yield from _of_call(kernel, Y.part(slice(first, last)), leaf_rows, workspace)


def _of_call(
    kernel: ProductKernel, Y: Columns, leaf_rows: int, workspace: Workspace
) -> list[Statistics]:
    d, n = Y.shape
    leaves = list(steps(n, leaf_rows))
    sums = np.zeros((len(leaves), kernel.n_components, kernel.width(d)))
    lse = kernel.leaves_at_once(kernel.family.form, Y, sums, leaf_rows, workspace)
    if lse is None:
        raise RuntimeError(f"{workspace.backend.name} does no blocks of {kernel.family.name}")
    # A row so far out that its square overflows makes the log-likelihood non-finite.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        totals = [total_of(lse[rows], None, workspace) for rows in leaves]
    return [
        # A copy: a view would keep the sums of all.
        statistics_of_sums(kernel, rows.stop - rows.start, total, own.copy().T, None, None)
        for rows, total, own in zip(leaves, totals, sums, strict=True)
    ]
