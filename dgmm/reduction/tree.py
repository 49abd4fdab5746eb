"""The fixed binary tree over block numbers: partial results in any order, merged bit-identically.

No library's reduction serves: Dask's and NumPy's order of additions follows the chunks, the workers
and what arrives first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from numpy.typing import NDArray

from dgmm.reduction.blocks import BlockRange


class Monoid(Protocol):
    """A value with an associative `merge`; its order of merging is fixed by the tree."""

    def merge(self, other: Self, /) -> Self:
        """Return this value followed by the other."""


M = TypeVar("M", bound=Monoid)


@dataclass(frozen=True, slots=True)
class Subtree(Generic[M]):
    """The merged value of blocks [index·2^level, (index + 1)·2^level), cut at the last block."""

    level: int
    index: int
    value: M

    def blocks(self, n_blocks: int) -> BlockRange:
        """The blocks it covers, of so many."""
        return BlockRange(self.index << self.level, min((self.index + 1) << self.level, n_blocks))


def merge_consecutive_sums(
    first: int, leaves: tuple[NDArray[Any], ...]
) -> Iterator[tuple[int, int, tuple[NDArray[Any], ...]]]:
    """Merge consecutive leaves, whose merge is addition, as far as whole subtrees go.

    Yields (level, index, values), level by level. Added to a `TreeReducer` they give the bits of
    the leaves added one by one; all pairs of a level are added in one operation.

    Parameters
    ----------
    first
        Number of the first leaf.
    leaves
        Arrays (l, …) of the leaves' values.
    """
    level, index = 0, first
    while n := len(leaves[0]):
        begin, end = index % 2, n - (index + n) % 2
        if begin:  # a right half, whose left one is elsewhere
            yield level, index, tuple(values[0] for values in leaves)
        if end < n:  # a left half, whose right one is elsewhere
            yield level, index + n - 1, tuple(values[-1] for values in leaves)
        leaves = tuple(values[begin:end:2] + values[begin + 1 : end : 2] for values in leaves)
        level, index = level + 1, (index + begin) // 2


class PassProgress(Protocol[M]):
    """Saves the finished subtrees of one pass, for the case that it is interrupted."""

    def finished(self) -> list[Subtree[M]]:
        """What an earlier attempt at this pass has finished."""

    def advanced(self, subtrees: Callable[[], list[Subtree[M]]]) -> None:
        """More is finished; `subtrees` gives what, if it is to be saved now."""

    def interrupted(self, subtrees: Callable[[], list[Subtree[M]]]) -> None:
        """The pass ends here, unfinished."""


class TreeReducer(Generic[M]):
    """Merges subtrees, in whatever order they arrive, into the one value of the fixed tree.

    Parameters
    ----------
    n_blocks : int
        Leaves of the tree.
    """

    def __init__(self, n_blocks: int) -> None:
        self._n_blocks = n_blocks
        self._height = max(n_blocks - 1, 0).bit_length()
        self._waiting: dict[tuple[int, int], M] = {}

    def add(self, subtree: Subtree[M]) -> None:
        """Take one subtree in and merge as far up as its siblings are there."""
        level, index, value = subtree.level, subtree.index, subtree.value
        while level < self._height:
            sibling = (level, index ^ 1)
            if (index | 1) << level < self._n_blocks:  # the pair's right half exists
                if sibling not in self._waiting:
                    break
                other = self._waiting.pop(sibling)
                value = other.merge(value) if index & 1 else value.merge(other)
            level, index = level + 1, index >> 1
        self._waiting[level, index] = value

    def subtrees(self) -> list[Subtree[M]]:
        """What is merged so far, leftmost first."""
        merged = sorted(self._waiting.items(), key=lambda item: item[0][1] << item[0][0])
        return [Subtree(level, index, value) for (level, index), value in merged]

    def missing(self) -> list[BlockRange]:
        """The blocks that are in no subtree yet, as ranges."""
        gaps, reached = [], 0
        for subtree in self.subtrees():
            start, stop = subtree.blocks(self._n_blocks)
            gaps.append(BlockRange(reached, start))
            reached = stop
        gaps.append(BlockRange(reached, self._n_blocks))
        return [gap for gap in gaps if gap.start < gap.stop]

    def result(self) -> M:
        """The value of the whole tree.

        Raises
        ------
        RuntimeError
            If a block is missing: the accounting of rows would be wrong.
        """
        if set(self._waiting) != {(self._height, 0)}:
            raise RuntimeError(f"reduction over {self._n_blocks} blocks is incomplete")
        return self._waiting[self._height, 0]
