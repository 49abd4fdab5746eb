"""One run at a time in a run directory."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dgmm.errors import OutputExistsError

NAME = "lock"


@contextmanager
def locked(directory: Path, shown: Path) -> Iterator[None]:
    """Hold the directory's lock; the system frees it with the process, however that ends.

    Parameters
    ----------
    directory, shown
        The run directory, and how messages name it.

    Raises
    ------
    OutputExistsError
        If another process holds it, with its host and process id; or if no lock can be made.
    """
    try:
        handle = os.open(directory / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputExistsError(f"cannot lock {shown}: {error.strerror or error}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 200, 0).decode(errors="replace") or "another process"
            raise OutputExistsError(f"{shown} is in use by a running job: {holder}") from error
        os.ftruncate(handle, 0)
        os.pwrite(
            handle, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode(), 0
        )
        yield
    finally:
        os.close(handle)
