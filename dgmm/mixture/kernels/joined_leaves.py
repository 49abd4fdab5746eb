"""Statistics of several leaves of the reduction in one call of compiled code.

What lies between two calls is Python's: a tenth of a millisecond, in which no other thread can have
its turn, and a third of a pass where a leaf takes a fifth of a millisecond. Leaves are summed apart
all the same, so that no bit follows how many go together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, eq=False)
class LeafSums:
    """What one call has found of consecutive leaves.

    Attributes
    ----------
    kernel
        Whose sums they are.
    first
        Number of the first leaf.
    n_rows : (l,)
        Of each leaf.
    log_likelihoods : (l,)
        Over the rows of each leaf.
    sums : (l, k, p)
    """

    kernel: ProductKernel
    first: int
    n_rows: NDArray[np.int64]
    log_likelihoods: Array
    sums: Array

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Rows, log-likelihoods and sums: what is added where leaves are merged."""
        return self.n_rows, self.log_likelihoods, self.sums

    def statistics(self, arrays: tuple[NDArray[Any], ...]) -> Statistics:
        """One leaf's `arrays`, or those of several merged, as statistics."""
        n_rows, total, sums = arrays
        # A copy: a view would keep the sums of all.
        own = sums.copy().T
        return statistics_of_sums(self.kernel, int(n_rows), float(total), own, None, None)


def leaves_together(
    kernel: PassKernel, Y: Columns, leaf_rows: int, workspace: Workspace, first: int
) -> Iterator[LeafSums] | None:
    """Sums of leaves of so many rows, the last of which may have fewer, call by call.

    None where that does not pay, or the backend cannot: each leaf then needs a call of its own.
    Leaf numbers begin with `first`.
    """
    (d, n), backend, stored = Y.shape, workspace.backend, Y.stored()
    if not isinstance(kernel, ProductKernel) or kernel.with_scatter or n <= leaf_rows:
        return None
    p = kernel.width(d)
    most = most_leaves(kernel.n_components * p, leaf_rows)
    can = backend.does_blocks(kernel.family.form, d, p) and _goes_uncopied(stored)
    if not can or most <= 1:
        return None
    return _by_calls(kernel, Y, leaf_rows, most, workspace, first)


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
    kernel: ProductKernel, Y: Columns, leaf_rows: int, most: int, workspace: Workspace, first: int
) -> Iterator[LeafSums]:
    """As few calls as go, of leaves as equal in number as goes."""
    n = Y.shape[1]
    n_leaves = -(-n // leaf_rows)
    n_calls = -(-n_leaves // most)
    bounds = [min(i * n_leaves // n_calls * leaf_rows, n) for i in range(n_calls + 1)]
    for begin, end in itertools.pairwise(bounds):
        own = Y.part(slice(begin, end))
        yield _of_call(kernel, own, leaf_rows, workspace, first + begin // leaf_rows)


def _of_call(
    kernel: ProductKernel, Y: Columns, leaf_rows: int, workspace: Workspace, first: int
) -> LeafSums:
    d, n = Y.shape
    n_rows = np.full(-(-n // leaf_rows), leaf_rows)
    n_rows[-1] = n - leaf_rows * (len(n_rows) - 1)
    sums = np.zeros((len(n_rows), kernel.n_components, kernel.width(d)))
    found = kernel.leaves_at_once(kernel.family.form, Y, sums, leaf_rows, workspace)
    if found is None:
        raise RuntimeError(f"{workspace.backend.name} does no blocks of {kernel.family.name}")
    return LeafSums(kernel, first, n_rows, found, sums)
