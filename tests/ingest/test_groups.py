"""Groups of parts: every part once and in order, by sizes alone."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.data.source_dataset import prepared_chunk_rows
from dgmm.data.sources.row_source import RowPart
from dgmm.ingest.groups import groups_of
from dgmm.reduction.blocks import BlockGrid


def parts_of(sizes):
    return [RowPart(i, int(size), f"part {i}") for i, size in enumerate(sizes)]


@pytest.mark.parametrize("seed", range(20))
def test_every_part_stands_in_one_group_in_its_order(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 10 ** rng.integers(1, 5), rng.integers(1, 300))
    parts = parts_of(sizes)
    groups = groups_of(parts, 1000)
    assert [part for group in groups for part in group.parts] == parts
    assert [group.index for group in groups] == list(range(len(groups)))
    reached = 0
    for group in groups:
        assert group.start == reached
        reached += sum(part.n_rows for part in group.parts)
        assert group.stop == reached


@pytest.mark.parametrize("seed", range(20))
def test_chunks_within_groups_and_those_that_straddle_them_are_all_chunks(seed):
    rng = np.random.default_rng(100 + seed)
    groups = groups_of(parts_of(rng.integers(0, 3000, 200)), 1000)
    n = groups[-1].stop
    inner = [range(*group.inner_chunks(1000, n)) for group in groups]
    for group, rows in zip(groups, inner, strict=True):
        assert rows.start % 1000 == 0 or not len(rows)
        assert rows.stop % 1000 == 0 or rows.stop == n or not len(rows)
        assert group.start <= rows.start <= rows.stop <= group.stop
    owned = sorted(start for rows in inner for start in range(rows.start, rows.stop, 1000))
    assert len(set(owned)) == len(owned)


def test_a_large_part_is_a_group_and_small_ones_share_groups_of_several_chunks():
    groups = groups_of(parts_of([1_000_000, *[100] * 9000]), 1000)
    assert [len(group.parts) for group in groups[:2]] == [1, 160]
    assert groups[0].name == "part 0"
    assert groups[1].name == "part 1 to part 160"


def test_few_rows_are_cut_into_groups_of_four_chunks():
    groups = groups_of(parts_of([100] * 54), 1000)
    assert [group.stop - group.start for group in groups] == [4000, 1400]


@pytest.mark.parametrize(("d", "dtype"), [(1, "f4"), (6, "f8"), (27, "f4"), (5000, "f4")])
def test_chunks_are_whole_blocks_of_four_mebibytes(d, dtype):
    grid = BlockGrid(10**9, d)
    rows = prepared_chunk_rows(grid, np.dtype(dtype))
    assert rows % grid.rows_per_block == 0
    n_bytes = rows * d * np.dtype(dtype).itemsize
    assert n_bytes >= 4 * 1024**2
    assert (rows - grid.rows_per_block) * d * np.dtype(dtype).itemsize < 4 * 1024**2
