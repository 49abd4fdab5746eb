"""Reads that fail for a while are tried again, ever more slowly, up to a limit.

No library serves: tenacity and backoff would need these rules too, and their waits do not end when
the process is asked to.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from dgmm.runtime import stop_flag

T = TypeVar("T")

#: What a file system reports of a disk, a server or a network that may come back.
TRANSIENT = frozenset(
    getattr(errno, name)
    for name in (
        *("EIO", "EREMOTEIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EINTR", "EBUSY", "ENOLCK"),
        *("ECONNRESET", "ECONNABORTED", "ENOTCONN", "ESHUTDOWN", "ENETDOWN", "ENETUNREACH"),
        *("EHOSTDOWN", "EHOSTUNREACH", "EMFILE", "ENFILE", "ENOBUFS"),
    )
    if hasattr(errno, name)
)
_FIRST_WAIT_S, _LONGEST_WAIT_S, _GROWTH = 0.1, 30.0, 2.0
#: For how long reads of this thread are tried again.
_limit: ContextVar[float] = ContextVar("retry budget in seconds", default=0.0)


@contextmanager
def retry_budget(seconds: float) -> Iterator[None]:
    """Let reads inside be tried again for so long."""
    token = _limit.set(seconds)
    try:
        yield
    finally:
        _limit.reset(token)


def is_transient(error: BaseException) -> bool:
    """Whether an error may pass by itself."""
    return isinstance(error, OSError) and error.errno in TRANSIENT


def with_retries(read: Callable[[], T]) -> T:
    """What `read` gives, tried again while it fails transiently, within `retry_budget`.

    It is called at least once; the failure is raised as it is.
    """
    deadline, wait = time.monotonic() + _limit.get(), _FIRST_WAIT_S
    while True:
        try:
            return read()
        except OSError as error:
            if not is_transient(error) or time.monotonic() + wait > deadline:
                raise
            failure = error
        if stop_flag.requested.wait(wait):
            raise failure
        wait = min(wait * _GROWTH, _LONGEST_WAIT_S)
