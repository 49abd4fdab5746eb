"""Parts: where blocks are few, a pass of EM is cut finer, whoever computes it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgmm.reduction.blocks import BlockGrid, BlockRange
from dgmm.reduction.map_reduce import split_ranges


@given(st.integers(1, 3_000_000), st.integers(1, 200))
def test_parts_are_whole_parts_of_blocks(n: int, d: int) -> None:
    blocks = BlockGrid(n, d)
    parts = blocks.in_parts()
    assert parts.n_parts in {1, 2, 4}
    assert parts.rows_per_block * parts.n_parts == blocks.rows_per_block
    assert parts.rows_per_block >= 1024
    ends = [parts.rows(i) for i in range(parts.n_blocks)]
    assert ends[0][0] == 0
    assert ends[-1][1] == n
    assert all(stop == start for (_, stop), (start, _) in itertools.pairwise(ends))
    for i in range(min(parts.n_blocks, 50)):  # none crosses the end of a block
        first, last = (row // blocks.rows_per_block for row in (ends[i][0], ends[i][1] - 1))
        assert first == last


@given(st.integers(1, 3_000_000), st.integers(1, 200))
def test_only_few_blocks_are_cut(n: int, d: int) -> None:
    blocks = BlockGrid(n, d)
    is_cut = blocks.in_parts() != blocks
    assert is_cut == (1 < blocks.n_blocks < 6)


def test_large_blocks_stay_whole() -> None:
    """Tasks that share a block each read and hold it."""
    assert BlockGrid(12_000, 256).in_parts().n_parts > 1
    assert BlockGrid(12_000, 257).in_parts().n_parts == 1
    assert BlockGrid(12_000, 100_000).in_parts().n_parts == 1


@pytest.mark.parametrize(
    ("n", "d"),
    [
        *((400_000, 2), (400_000, 8), (200_000, 16), (65_536, 32), (100_000, 32), (50_000, 64)),
        *((20_000, 128), (100_000, 64), (40_000, 128)),
    ],
)
def test_two_threads_have_near_halves_of_every_shape_of_the_benchmark(n: int, d: int) -> None:
    """The longer of two tasks has at most 1/1.9 of the rows."""
    parts = BlockGrid(n, d).in_parts()
    rows = [np.diff(parts.rows_of_range(run))[0] for run in split_ranges(parts.n_blocks, 2)]
    assert n / max(rows) > 1.9


def test_five_blocks_as_they_are_would_not() -> None:
    blocks = BlockGrid(20_000, 128)
    assert blocks.n_blocks == 5
    assert 20_000 / np.diff(blocks.rows_of_range(BlockRange(2, 5)))[0] < 1.7
