"""Blocks of another grid from those that cover their rows: all that rows have stays theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dgmm.data.row_block import RowBlock, cut_again
from dgmm.data.row_labels import RowLabels
from dgmm.reduction.blocks import BlockGrid, BlockRange

N, D = 9000, 2
NUMBERS = np.arange(N)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)


def _blocks(heights: list[int], everything: bool) -> Iterator[RowBlock]:
    start = 0
    for i, height in enumerate(heights):
        rows = NUMBERS[start : start + height]
        of_rows: dict[str, Any] = {}
        if everything:
            labels = RowLabels(rows.astype(np.int32), rows * 2, (rows * 3).astype(np.int32))
            of_rows = {"weights": rows + 0.5, "residuals": rows[:, None] + 0.25, "labels": labels}
        yield RowBlock(i, start, np.stack([rows, -rows], axis=1), **of_rows)
        start += height


@pytest.mark.parametrize("heights", [[N], [4096, 4096, 808], [1000] * 9, [5000, 4000]])
@pytest.mark.parametrize("n_parts", [1, 4])
@pytest.mark.parametrize("everything", [False, True])
def test_rows_keep_their_weights_residuals_and_labels(
    heights: list[int], n_parts: int, everything: bool
) -> None:
    grid = BlockGrid(N, D, n_parts)
    found = list(cut_again(_blocks(heights, everything), grid, BlockRange(0, grid.n_blocks)))
    assert [block.index for block in found] == list(range(grid.n_blocks))
    for block in found:
        rows = NUMBERS[slice(*grid.rows(block.index))]
        assert block.start == rows[0]
        np.testing.assert_array_equal(block.values[:, 0], rows)
        if not everything:
            assert (block.weights, block.residuals, block.labels) == (None, None, None)
            continue
        assert block.weights is not None
        assert block.residuals is not None
        assert block.labels is not None
        np.testing.assert_array_equal(block.weights, rows + 0.5)
        np.testing.assert_array_equal(block.residuals[:, 0], rows + 0.25)
        np.testing.assert_array_equal(block.labels.classes, rows)
        np.testing.assert_array_equal(block.labels.groups, rows * 2)
        np.testing.assert_array_equal(block.labels.folds, rows * 3)
