from __future__ import annotations

import numpy as np
import pytest

from dgmm.report import subsampling
from dgmm.report.label_maps import Layout
from dgmm.report.subsampling import CELL_LIMIT, read_at, read_subsample


class Counting:
    """A column whose value is its row number; remembers what was read."""

    def __init__(self, n: int, chunk_rows: int) -> None:
        self.shape = (n,)
        self.chunk_rows = chunk_rows
        self.reads: list[tuple[int, int]] = []

    def read(self, start: int, stop: int) -> np.ndarray:
        self.reads.append((start, stop))
        return np.arange(start, stop)


def test_a_short_column_is_read_whole() -> None:
    subsample = read_subsample(Counting(1000, 300))
    assert np.array_equal(subsample.values, np.arange(1000))
    assert subsample.description == "all 1,000 rows"


def test_a_long_column_is_subsampled_by_the_stride_that_is_said() -> None:
    subsample = read_subsample(Counting(12_000_000, 100_000))
    assert np.array_equal(subsample.values, np.arange(0, 12_000_000, 3))
    assert subsample.description == "every 3rd row of 12,000,000"
    assert subsample.values.size == CELL_LIMIT


@pytest.mark.parametrize("n", [999, 1000, 1001, 31_999, 64_000, 64_001, 10**7 + 3])
def test_no_more_cells_than_the_limit_are_read(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subsampling, "DECODE_LIMIT", 64_000)
    column = Counting(n, 512)
    values = read_subsample(column, limit=1000).values
    assert n < 1000 or 400 <= values.size <= 1000
    assert (np.diff(values) > 0).all()
    # Chunks are decoded whole: their number bounds the work.
    assert len(column.reads) * column.chunk_rows <= 64_000 + 2 * column.chunk_rows


def test_a_chunk_is_read_once_and_only_where_a_row_of_it_is_wanted() -> None:
    column = Counting(1000, 100)
    wanted = np.array([3, 7, 99, 100, 555, 999])
    assert np.array_equal(read_at(column, wanted), wanted)
    assert [start // 100 for start, _ in column.reads] == [0, 1, 5, 9]


def test_no_rows_read_nothing() -> None:
    assert read_at(Counting(10, 10), np.array([], dtype=np.int64)).size == 0


def test_images_are_read_pixel_by_pixel_in_their_own_order() -> None:
    layout = Layout(2, 3, 5)
    first, second = layout.read(Counting(30, 7))
    assert np.array_equal(first, np.arange(15).reshape(3, 5))
    assert np.array_equal(second, np.arange(15, 30).reshape(3, 5))


@pytest.mark.parametrize("shape", [(100, 3000, 2000), (1, 40_000, 50_000), (9, 10, 10)])
def test_images_are_subsampled_to_the_limits_and_the_caption_says_how(
    shape: tuple[int, int, int],
) -> None:
    layout = Layout(*shape)
    lines, pixels = -(-shape[1] // layout.stride), -(-shape[2] // layout.stride)
    assert layout.shown.size <= 8
    assert layout.shown.size * lines * pixels <= CELL_LIMIT
    assert max(lines, pixels) <= 1200
    assert ("images is shown" in layout.description) == (shape[0] > 8)
    assert ("line and pixel is shown" in layout.description) == (layout.stride > 1)
