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


def nothing_cached(start: int, stop: int) -> Rows | None:  # noqa: ARG001 - a band's two ends
    """No band is cached: each is read."""
    return None


def read_ahead(
    read: Callable[[int, int], Rows],
    wanted: Iterable[Band],
    cached: Callable[[int, int], Rows | None] = nothing_cached,
) -> Generator[Rows, None, None]:
    """Yield the rows of each band in order: cached(start, stop), else read(start, stop).

    The next band that must be read is on its way while those before it are used, cached ones
    between the two included, so never more than one is ahead. Closing the generator waits for the
    read in progress, so none goes on in the background.
    """
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
    pending: deque[Rows | Future[Rows]] = deque()
    try:
        for band in wanted:
            rows = cached(*band)
            if rows is not None:
                pending.append(rows)
                continue
            following = pool.submit(read, *band)
            while pending:
                yield _rows(pending.popleft())
            pending.append(following)
        while pending:
            yield _rows(pending.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _rows(pending: Rows | Future[Rows]) -> Rows:
    return pending.result() if isinstance(pending, Future) else pending
