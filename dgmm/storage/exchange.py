"""Two names in a folder change places in one step, where system and file system can do that."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets

_EXCHANGE = 2  # RENAME_EXCHANGE of Linux
#: Errors of a system or a file system that cannot do it.
_CANNOT = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM})


def exchanged(folder: int, one: str, other: str) -> bool:
    """Let two names of an open folder change places; False where that cannot be done in one step.

    Raises
    ------
    OSError
        If it could be done and was refused.
    """
    # Python's os has no renameat2.
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(folder, os.fsencode(one), folder, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), other)


def name_aside(name: str) -> str:
    """A name that nothing has, for what is going to take another one."""
    return f".{name}.{secrets.token_hex(8)}.tmp"
