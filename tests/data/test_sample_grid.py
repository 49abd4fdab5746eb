"""Rows that run chunk by chunk over a grid, and back to their places."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.data.sample_grid import SampleGrid, cut, overlapping

GRIDS = [
    SampleGrid(("x",), ((0, 3, 5),)),
    SampleGrid(("lat", "lon"), ((0, 2, 4, 5), (0, 3, 4))),
    SampleGrid(("time", "lat", "lon"), ((0, 1, 4), (0, 2, 5), (0, 1, 3, 7))),
]


@pytest.mark.parametrize("grid", GRIDS)
def test_rows_run_over_the_boxes_of_the_parts_one_after_another(grid: SampleGrid) -> None:
    numbers, row = np.full(grid.shape, -1), 0
    for part, size in enumerate(grid.part_sizes()):
        box = grid.box(part)
        assert grid.first_row(box) == row
        place = tuple(slice(a, b) for a, b in box)
        numbers[place] = row + np.arange(size).reshape(numbers[place].shape)
        row += int(size)
    assert row == grid.n_rows
    np.testing.assert_array_equal(grid.rows_of(np.indices(grid.shape)), numbers)
    for row in range(grid.n_rows):
        assert numbers[grid.place_of(row)] == row


def test_a_grid_is_found_again_in_the_attributes_it_gives() -> None:
    grid = GRIDS[2]
    assert SampleGrid.of(grid.attributes) == grid
    assert SampleGrid.of({}) is None
    assert SampleGrid.of(grid.attributes | {"sample_shape": [1, 2, 3]}) is None
    assert SampleGrid.of({"sample_dims": ["row", "column"], "sample_shape": [2, 3]}) is None
    assert SampleGrid.of(grid.attributes | {"sample_chunks": 3}) is None


def test_many_chunks_of_one_size_are_declared_in_few_words() -> None:
    grid = SampleGrid(("x",), ((*range(0, 10_000, 7), 10_000),))
    assert grid.attributes["sample_chunks"] == [[[7, 1428], [4, 1]]]
    assert SampleGrid.of(grid.attributes) == grid


def test_a_box_is_cut_into_consecutive_boxes_of_bounded_size() -> None:
    for most in (1, 2, 5, 12, 100):
        boxes = cut(((1, 4), (0, 2), (3, 7)), most)
        cells = [
            (i, j, k) for a, b, c in boxes for i in range(*a) for j in range(*b) for k in range(*c)
        ]
        assert cells == [(i, j, k) for i in range(1, 4) for j in range(2) for k in range(3, 7)]
        assert max(np.prod([b - a for a, b in box]) for box in boxes) <= most


def test_the_chunks_that_share_places_with_an_interval() -> None:
    edges = (0, 3, 5, 9)
    for start in range(9):
        for stop in range(start + 1, 10):
            shared = [i for i in range(3) if edges[i] < stop and edges[i + 1] > start]
            assert list(overlapping(edges, start, stop)) == shared
