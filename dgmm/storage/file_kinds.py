"""What a path leads to, where a regular file or a folder was expected."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
}


class IrregularFileError(OSError):
    """The path leads to something that is no regular file, or is a link where none is followed."""

    def __init__(self, path: object, mode: int) -> None:
        text = f"it is {kind_of(mode)}; expected a regular file"
        super().__init__(errno.EINVAL, text, str(path))


class IrregularFolderError(OSError):
    """The path leads to something that is no folder, or is a link where none is followed."""

    def __init__(self, path: object, mode: int) -> None:
        text = f"it is {kind_of(mode)}; expected a directory of its own"
        super().__init__(errno.ENOTDIR, text, str(path))


def kind_of(mode: int) -> str:
    """The kind of file that a mode stands for, in words."""
    return _KINDS.get(stat.S_IFMT(mode), "no regular file")


def irregular(shown: Path, mode: int) -> OSError:
    """The error of opening what is no regular file."""
    if stat.S_ISDIR(mode):
        return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(shown))
    return IrregularFileError(shown, mode)


def opened_folder(
    shown: Path, opened: Callable[[], int], status: Callable[[], os.stat_result]
) -> int:
    """A folder's descriptor; the error says what is there in its place, a link to one included."""
    try:
        return opened()
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP, errno.EMLINK}:
            with suppress(FileNotFoundError):
                mode = status().st_mode
                if not stat.S_ISDIR(mode):
                    raise IrregularFolderError(shown, mode) from error
        raise
