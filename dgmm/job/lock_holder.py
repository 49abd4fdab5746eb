"""Who holds a lock, as its file records."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from dgmm.storage.folders import Folder

#: The file in a run directory.
NAME = "lock"
_SIZE = 512


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock.

    Attributes
    ----------
    host, pid, since
        For people.
    machine
        Tells machines apart whose names are equal, and one machine from itself before a restart.
    number
        Grows with every holder.
    token
        Unlike any other holder's.
    beats
        Grows while the holder lives.
    is_released
        Whether it gave the lock back.
    """

    host: str
    pid: int
    since: str
    machine: str
    number: int
    token: str
    beats: int = 0
    is_released: bool = False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


def machine() -> str:
    """What tells machines apart: their names repeat, in containers above all."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return socket.gethostname()


def read_holder(handle: int) -> Holder | None:
    """The holder in an open file; None where none can be read."""
    with suppress(OSError, ValueError, TypeError):
        return Holder(**json.loads(os.pread(handle, _SIZE, 0)))
    return None


def write_holder(handle: int, holder: Holder, *, is_synced: bool = True) -> None:
    """Write it to an open file, whose content it replaces, and to disk."""
    os.pwrite(handle, json.dumps(asdict(holder)).encode().ljust(_SIZE), 0)
    if is_synced:
        os.fsync(handle)


def read_named(directory: Folder, name: str) -> Holder | None:
    """The holder in a file of a folder; None where none can be read."""
    try:
        handle = directory.open(name, os.O_RDONLY)
    except OSError:
        return None
    try:
        return read_holder(handle)
    finally:
        os.close(handle)
