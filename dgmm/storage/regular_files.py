"""Opening files that somebody else made: regular ones only, and no more bytes than are due.

Opening a FIFO waits until somebody writes to it, a device or a link to one never ends, and a sparse
file claims terabytes. None of that may hold up or fill a process.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from pathlib import Path
from typing import BinaryIO

from dgmm.storage.file_kinds import IrregularFileError, kind_of
from dgmm.storage.folders import Entry, Target

__all__ = [
    "MOST_METADATA_BYTES",
    "IrregularFileError",
    "OversizedFileError",
    "check_regular",
    "kind_of",
    "open_regular",
    "read_if_small",
    "read_regular",
    "read_regular_or_pipe",
]

#: More than any metadata: the names of a million features take 10 MB.
MOST_METADATA_BYTES = 16 * 1024 * 1024
#: Seconds for which a pipe that holds a job file may stay silent.
_PIPE_WAIT_S = 10.0
_PIPE_PART = 1 << 16


class OversizedFileError(OSError):
    """The file holds more bytes than are read of such files."""

    def __init__(self, path: object, most_bytes: int) -> None:
        text = f"it is larger than {most_bytes:,} bytes, more than such a file holds"
        super().__init__(errno.EFBIG, text, str(path))


def check_regular(path: str | Path) -> os.stat_result:
    """The status of a regular file, links followed.

    Raises
    ------
    OSError
        If there is no such file, or it is not regular (IrregularFileError; a directory is an
        IsADirectoryError, as when it is opened).
    """
    return _checked(path, os.stat(path))  # noqa: PTH116 - done for every chunk


def open_regular(path: Target, *, buffering: int = -1) -> BinaryIO:
    """Open a regular file for reading; never waits for a FIFO's writer.

    Of a folder that is held open, a name that is a link is refused.

    Raises
    ------
    OSError
        As `check_regular`, or if it cannot be opened.
    """
    if isinstance(path, Entry):
        return os.fdopen(path.reading(), "rb", buffering)
    check_regular(path)  # asked first: opening a device may already do something
    descriptor = os.open(path, _FLAGS)
    try:
        _checked(path, os.fstat(descriptor))
        return os.fdopen(descriptor, "rb", buffering)
    except BaseException:
        os.close(descriptor)
        raise


def read_if_small(path: str, most_bytes: int) -> bytes | None:
    """A regular file's content; None where it is larger. In as few calls to the system as can be.

    Raises
    ------
    OSError
        As `open_regular`; of a device, after it was opened.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        size = _checked(path, os.fstat(descriptor)).st_size
        if size > most_bytes:
            return None
        content = os.read(descriptor, size + 1)
        while part := os.read(descriptor, most_bytes) if len(content) < size else b"":
            content += part
        return content
    finally:
        os.close(descriptor)


def read_regular(path: Target, most_bytes: int) -> bytes:
    """A regular file's content.

    Raises
    ------
    OSError
        As `open_regular`, or if it holds more than `most_bytes`.
    """
    with open_regular(path, buffering=0) as file:
        if os.fstat(file.fileno()).st_size > most_bytes:
            raise OversizedFileError(path, most_bytes)
        parts, left = [], most_bytes + 1
        while left > 0 and (part := file.read(left)):
            parts.append(part)
            left -= len(part)
        if left <= 0:
            raise OversizedFileError(path, most_bytes)
        return b"".join(parts)


def read_regular_or_pipe(path: str | Path, most_bytes: int) -> bytes:
    """As `read_regular`; of a pipe that somebody writes to, what comes until it is closed.

    Shells hand the output of a command over as the path of a pipe: `dgmm run <(command)`.

    Raises
    ------
    OSError
        As `read_regular`; of a pipe, if nothing comes for ten seconds.
    """
    if not stat.S_ISFIFO(Path(path).stat().st_mode):
        return read_regular(path, most_bytes)
    descriptor = os.open(path, _FLAGS)
    try:
        return _read_pipe(path, descriptor, most_bytes)
    finally:
        os.close(descriptor)


def _read_pipe(path: str | Path, descriptor: int, most_bytes: int) -> bytes:
    content, deadline = b"", time.monotonic() + _PIPE_WAIT_S
    while len(content) <= most_bytes:
        if not select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))[0]:
            text = f"it is a FIFO that nobody has written to for {_PIPE_WAIT_S:g} s"
            raise OSError(errno.EINVAL, text, str(path))
        part = os.read(descriptor, _PIPE_PART)
        if not part:
            return content
        content, deadline = content + part, time.monotonic() + _PIPE_WAIT_S
    raise OversizedFileError(path, most_bytes)


#: Without waiting for a writer, without becoming this process's terminal; bytes as they are.
_FLAGS = os.O_RDONLY
for _name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)


def _checked(path: str | Path, status: os.stat_result) -> os.stat_result:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise IrregularFileError(path, status.st_mode)
    return status
