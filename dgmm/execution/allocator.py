"""Memory that a worker frees stays with it for the next chunk, unless memory is short.

Dask starts workers so that what they free goes back to the system at once. A chunk that is decoded
then gets new pages each time, which the system has to clear first: reading takes 1.7 to 3 times as
long (docs/design/0003). All this is GNU's C library's on Linux; elsewhere nothing happens.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

_MIB = 2**20
#: A worker retains so much of what it has freed, takes pieces of up to 32 MiB (the library allows
#: no more) from that, and has one arena, since what one thread has freed in an arena of its own is
#: of no use to the others.
_ENVIRONMENT = {
    "MALLOC_TRIM_THRESHOLD_": str(64 * _MIB),
    "MALLOC_MMAP_THRESHOLD_": str(32 * _MIB),
    "MALLOC_ARENA_MAX": "1",
}
#: A worker gives back what it has freed from this share of its memory limit on, and before Dask
#: pauses it: for ever, since a worker that does nothing frees nothing.
_FULL, _BEFORE_PAUSE = 0.75, 0.95
#: Seconds between two checks of that.
_CHECK_S = 0.5


@contextmanager
def environment_of_workers() -> Generator[None]:
    """Let processes that are started meanwhile retain what they free; afterwards all is as before.

    Set in this process's environment, which Dask puts above its own configuration: there may be
    what it has left of a cluster that was started earlier.
    """
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def dask_setup(worker: Any) -> None:
    """Give freed memory back whenever this worker has too much (called by Dask, see `preload`)."""
    loop = asyncio.get_running_loop()

    def check() -> None:
        try:
            give_back_if_full(worker)
        finally:
            loop.call_later(_CHECK_S, check)

    loop.call_later(_CHECK_S, check)


def give_back_if_full(worker: Any) -> None:
    """Return freed memory to the system if a Dask worker has more than a share of its limit."""
    memory = worker.memory_manager
    share = min(_FULL, _BEFORE_PAUSE * (memory.memory_pause_fraction or 1.0))
    if memory.memory_limit and worker.monitor.get_process_memory() > share * memory.memory_limit:
        give_back()


def give_back() -> None:
    """Return the memory that this process has freed to the system."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        if hasattr(library, "malloc_trim"):  # musl has none
            library.malloc_trim(0)
