"""Reading one band of rows ahead in a thread, so that decoding overlaps with computing."""

from __future__ import annotations

from collections import deque
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


def nothing_held(start: int, stop: int) -> Rows | None:  # noqa: ARG001 - a band's two ends
    """No band is held: each is read."""
    return None


def read_ahead(
    read: Callable[[int, int], Rows],
    wanted: Iterable[Band],
    held: Callable[[int, int], Rows | None] = nothing_held,
) -> Generator[Rows, None, None]:
    """Yield the rows of each band in order: held(start, stop), else read(start, stop).

    The next band that must be read is on its way while those before it are used, those held between
    the two included, so never more than one is ahead. Closing the generator waits for the read in
    progress, so none goes on in the background.
    """
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
    due: deque[Rows | Future[Rows]] = deque()
    try:
        for band in wanted:
            rows = held(*band)
            if rows is not None:
                due.append(rows)
                continue
            following = pool.submit(read, *band)
            while due:
                yield _rows(due.popleft())
            due.append(following)
        while due:
            yield _rows(due.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _rows(due: Rows | Future[Rows]) -> Rows:
    return due.result() if isinstance(due, Future) else due
