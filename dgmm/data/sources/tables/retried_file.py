"""A file as Arrow reads it, whose reads are tried again while they fail transiently."""

from __future__ import annotations

import io
import os
from contextvars import copy_context
from typing import Any

from dgmm.storage.retry import with_retries


class RetriedFile(io.RawIOBase):
    """A file that is read by place; the retry budget is that of the thread which opens it.

    Arrow reads ahead in threads of its own, which know of no budget.

    Parameters
    ----------
    path : str
        Of a regular file.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._context = copy_context()
        self._at = 0
        self._descriptor = with_retries(lambda: os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        self._size = os.fstat(self._descriptor).st_size

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Let the next read begin elsewhere."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = origin + offset
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, so many unless the file ends before."""
        wanted = self._size - self._at if size is None or size < 0 else size
        at = self._at
        content: bytes = self._context.copy().run(
            with_retries, lambda: _read_at(self._descriptor, wanted, at)
        )
        self._at += len(content)
        return content

    def readinto(self, buffer: Any, /) -> int:
        """As `read`, into a buffer."""
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def _read_at(descriptor: int, size: int, at: int) -> bytes:
    pieces = []
    while size > 0 and (piece := os.pread(descriptor, size, at)):
        pieces.append(piece)
        size, at = size - len(piece), at + len(piece)
    return b"".join(pieces)
