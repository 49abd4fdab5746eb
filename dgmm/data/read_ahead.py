"""Reading one band of rows ahead in a thread, so that decoding overlaps with computing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray

Band = tuple[int, int]
Rows = NDArray[Any]


def bands(start: int, stop: int, size: int) -> Iterator[Band]:
    """Rows [start, stop) cut at the multiples of `size`."""
    while start < stop:
        end = min((start // size + 1) * size, stop)
        yield start, end
        start = end


def read_ahead(
    read: Callable[[int, int], Rows], wanted: Iterable[Band]
) -> Generator[Rows, None, None]:
    """Yield read(start, stop) of each band in order, with the next band on its way.

    Closing the generator waits for the read in progress, so none goes on in the background.
    """
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
    try:
        current: Future[Rows] | None = None
        for band in wanted:
            following = pool.submit(read, *band)
            if current is not None:
                yield current.result()
            current = following
        if current is not None:
            yield current.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
