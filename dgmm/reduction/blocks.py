"""Blocks: the leaves of the reduction tree, fixed by the number of rows and features alone.

A block's size never follows chunking, memory or the cluster, so the same data give
bit-identical partial sums, however they are stored and whoever computes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

#: Every tile width divides this, so that a block is a whole number of tiles.
ROW_QUANTUM = 4096
_BLOCK_BYTES = 2 * 1024 * 1024
#: A pass of EM over fewer leaves than this is cut finer: three of five blocks on one of two threads
#: take 1.2 times as long as a half of all.
_FEW_LEAVES = 6
#: Parts of a block, at most: a power of two, so that a block stays a whole subtree.
_MOST_PARTS = 4
#: Bytes of float64 up to which a block is cut, those of 256 features: tasks that share a block each
#: read and hold it.
_MOST_CUT_BYTES = 8 * 1024 * 1024


class BlockRange(NamedTuple):
    """Consecutive blocks [start, stop): what one task works on."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class BlockGrid:
    """How `n_samples` rows are cut into blocks.

    Parameters
    ----------
    n_samples, n_features : int
        Size of the data set.
    n_parts : int
        Equal parts that each block is cut into; they are what this grid numbers. 1, 2 or 4.
    """

    n_samples: int
    n_features: int
    n_parts: int = 1

    @property
    def rows_per_block(self) -> int:
        """About 2 MiB of float64, a multiple of 4096 rows, at least 4096; of a part its share."""
        rows = _BLOCK_BYTES // (8 * max(self.n_features, 1))
        return max(rows // ROW_QUANTUM, 1) * ROW_QUANTUM // self.n_parts

    @property
    def n_blocks(self) -> int:
        """The number of blocks; the last may be shorter."""
        return -(-self.n_samples // self.rows_per_block)

    def in_parts(self) -> BlockGrid:
        """The leaves of a pass of EM: blocks, or halves or quarters of them where they are few.

        A function of rows and features alone, as blocks are. A single block stays whole: most small
        fits have one, and threads may take as long to be given its parts as these take. So do
        blocks of more than 8 MiB, which tasks that share them would each read and hold.

        Examples
        --------
        >>> grid = BlockGrid(20_000, 128)
        >>> grid.n_blocks, grid.in_parts().n_blocks
        (5, 10)
        >>> BlockGrid(10**6, 128).in_parts().n_parts
        1
        """
        grid = self
        if 8 * self.rows_per_block * self.n_features > _MOST_CUT_BYTES:
            return grid
        while 1 < grid.n_blocks < _FEW_LEAVES and grid.n_parts < _MOST_PARTS:
            grid = BlockGrid(self.n_samples, self.n_features, 2 * grid.n_parts)
        return grid

    def rows(self, block: int) -> tuple[int, int]:
        """First row and row after the last of a block."""
        start = block * self.rows_per_block
        return start, min(start + self.rows_per_block, self.n_samples)

    def rows_of_range(self, blocks: BlockRange) -> tuple[int, int]:
        """First row and row after the last of a range of blocks."""
        return self.rows(blocks.start)[0], self.rows(blocks.stop - 1)[1]

    def range_of_rows(self, start: int, stop: int) -> BlockRange:
        """The blocks that rows [start, stop) lie in; at least one row."""
        return BlockRange(start // self.rows_per_block, -(-stop // self.rows_per_block))
