"""Errors caused by this machine, not by the data or the job: no thread, no memory, no file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dgmm.errors import UnavailableError

#: What CPython reports where the system gives no further thread.
_NO_THREAD = ("can't start new thread", "can't create new thread", "can't allocate lock")


def shortage(error: BaseException) -> str | None:
    """What this machine lacks, and what to do; None where the error has another cause.

    Causes are looked at too: libraries wrap what happens in their threads.
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, RuntimeError) and str(cause).startswith(_NO_THREAD):
            return (
                f"this machine gives the process no further thread ({cause}). Raise the limit of "
                "processes (ulimit -u, the container's pids limit) or of memory (ulimit -v), or "
                "lower cluster.n_workers, and run the same command again"
            )
        if isinstance(cause, MemoryError):
            return (
                "this machine has too little memory, or a limit (ulimit -v) is too low. Lower "
                "cluster.n_workers, or write the array in smaller chunks, and run the same command "
                "again"
            )
        cause = cause.__cause__ or cause.__context__
    return None


@contextmanager
def shortages_named() -> Iterator[None]:
    """Raise what this machine lacks as an UnavailableError.

    Raises
    ------
    UnavailableError
        In place of an error for want of a thread or of memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = shortage(error)
        if text is None:
            raise
        raise UnavailableError(text) from error
