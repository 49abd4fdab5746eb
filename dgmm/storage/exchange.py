"""Two names in a folder change places in one step, where system and file system can do that."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
from contextlib import suppress

_OLD = re.compile(r"\.(.+)\.[0-9a-f]{16}\.old")
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


def replaced_in_two_steps(folder: int, name: str, new: str) -> str:
    """Rename what has the name `new` in an open folder, and give that name to another.

    Returns
    -------
    str
        What the old one is called now. It keeps its name where the second step fails.
    """
    old = f".{new}.{secrets.token_hex(8)}.old"
    os.rename(new, old, src_dir_fd=folder, dst_dir_fd=folder)
    try:
        os.rename(name, new, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)
        raise
    return old


def name_before(old: str) -> str | None:
    """The name that `replaced_in_two_steps` took away from an old one; None of other names."""
    found = _OLD.fullmatch(old)
    return found and found[1]


def name_aside(name: str) -> str:
    """A name that nothing has, for what is going to take another one."""
    return f".{name}.{secrets.token_hex(8)}.tmp"
