"""What a path leads to, where a regular file or a folder was expected."""

from __future__ import annotations

import errno
import stat

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
    """What a file's mode says that it is, in words."""
    return _KINDS.get(stat.S_IFMT(mode), "no regular file")
