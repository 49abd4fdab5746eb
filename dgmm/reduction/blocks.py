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
    """

    n_samples: int
    n_features: int

    @property
    def rows_per_block(self) -> int:
        """About 2 MiB of float64, a multiple of 4096 rows, at least 4096."""
        rows = _BLOCK_BYTES // (8 * max(self.n_features, 1))
        return max(rows // ROW_QUANTUM, 1) * ROW_QUANTUM

    @property
    def n_blocks(self) -> int:
        """The number of blocks; the last may be shorter."""
        return -(-self.n_samples // self.rows_per_block)

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
