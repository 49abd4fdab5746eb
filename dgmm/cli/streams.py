"""Writing to a terminal, a file or a pipe whose reader has gone, which ends no job."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO


class UnbreakableStream:
    """A text stream that ignores errors of writing: a closed stream, a pipe without a reader.

    Parameters
    ----------
    stream : TextIO
        Where the text goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write; characters that the stream has none of are spelled out."""
        safe = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        with suppress(OSError, ValueError):  # the reader is gone, or the stream is closed
            self._stream.write(safe)
        return len(text)

    def flush(self) -> None:
        """Pass on what is buffered."""
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        """Whether a person may be watching."""
        with suppress(OSError, ValueError):
            return self._stream.isatty()
        return False


def open_missing() -> None:
    """Connect standard streams that the caller has closed (`>&-`) to /dev/null.

    Otherwise the next file that is opened takes the number, and what is printed goes into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            mode = os.O_RDONLY if descriptor == 0 else os.O_WRONLY
            os.open(os.devnull, mode)  # the lowest free number, which is this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


def print_line(text: str, stream: TextIO) -> None:
    """Write text and a newline, at once."""
    unbreakable = UnbreakableStream(stream)
    unbreakable.write(f"{text}\n")
    unbreakable.flush()


def close_broken() -> None:
    """Flush both streams; one without a reader becomes /dev/null, or Python would exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, stream.fileno())
                os.close(nothing)
