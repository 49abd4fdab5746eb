"""One run at a time in a run directory, also where several machines see it.

The system's lock (`flock`) goes with its process, however that ends, and is enough on one machine.
Some network file systems grant it to each machine by itself, or to nobody. So the file also says
who holds it, with a count that the holder raises every few seconds. A holder on another machine
whose count stands still for a lease is dead: the lock is taken over under the next number, and
should the old holder wake up, it finds another's words in the file, writes nothing more and stops.
Nobody's clock is compared with another's.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from dgmm.errors import OutputExistsError

NAME = "lock"
#: Seconds between two beats of a holder, and for which a count may stand still. File systems on a
#: network may show a write only after half a minute.
BEAT_S, LEASE_S = 5.0, 60.0
_SIZE = 512
_HELD_ELSEWHERE = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}


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


class Lock:
    """A lock that is held; `is_lost` once another run has taken it over."""

    def __init__(self, handle: int, holder: Holder) -> None:
        self._handle, self._holder = handle, holder
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    @property
    def is_lost(self) -> bool:
        """Whether the file says that somebody else holds the lock."""
        found = _read(self._handle)
        return found is not None and found.token != self._holder.token

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            if self.is_lost:
                os.kill(os.getpid(), signal.SIGTERM)  # another run goes on with our work
                return
            self._holder = replace(self._holder, beats=self._holder.beats + 1)
            with suppress(OSError):  # storage may fail for a while
                _write(self._handle, self._holder)

    def release(self) -> None:
        """Stop beating and say so: nobody has to wait for a lease."""
        self._ended.set()
        self._thread.join()
        if not self.is_lost:
            with suppress(OSError):
                _write(self._handle, replace(self._holder, is_released=True))


@contextmanager
def locked(
    directory: Path, shown: Path, warn: Callable[[str], None] = lambda _: None
) -> Iterator[Lock]:
    """Hold the directory's lock.

    Parameters
    ----------
    directory, shown
        The run directory, and how messages name it.
    warn
        Told when the lock of a dead holder is taken over.

    Raises
    ------
    OutputExistsError
        If another process holds it, with its host and process id; or if no lock can be made.
    """
    try:
        handle = os.open(directory / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _cannot(shown, error) from error
    try:
        lock = Lock(handle, _taken(handle, shown, warn))
        try:
            yield lock
        finally:
            lock.release()
    finally:
        os.close(handle)


def _taken(handle: int, shown: Path, warn: Callable[[str], None]) -> Holder:
    is_granted = _is_granted(handle, shown)
    before = _read(handle)
    if before is not None and not before.is_released:
        is_near = is_granted and before.machine == _machine()  # then the system knows it is dead
        if not is_near and _is_beating(handle, before):
            raise _in_use(shown, before)
        warn(
            f"the lock of {shown} is taken over from {before} (holder {before.number}): it ended "
            "without giving it back"
        )
    number = 1 if before is None else before.number + 1
    since = datetime.now(UTC).isoformat(timespec="seconds")
    names = socket.gethostname(), os.getpid(), since, _machine()
    holder = Holder(*names, number, uuid.uuid4().hex)
    try:
        _write(handle, holder)
    except OSError as error:
        raise _cannot(shown, error) from error
    found = _read(handle)
    if found is not None and found.token != holder.token:  # two newcomers: the later one has it
        raise _in_use(shown, found)
    return holder


def _is_granted(handle: int, shown: Path) -> bool:
    """Whether the system grants the lock; False where the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD_ELSEWHERE:
            raise _in_use(shown, _read(handle)) from error
        return False
    return True


def _cannot(shown: Path, error: OSError) -> OutputExistsError:
    return OutputExistsError(f"cannot lock {shown}: {error.strerror or error}")


def _in_use(shown: Path, holder: Holder | None) -> OutputExistsError:
    return OutputExistsError(f"{shown} is in use by a running job: {holder or 'another process'}")


def _is_beating(handle: int, before: Holder) -> bool:
    """Whether a holder raises its count within a lease, by our own clock."""
    deadline = time.monotonic() + LEASE_S
    while time.monotonic() < deadline:
        time.sleep(min(BEAT_S / 5, LEASE_S / 10))
        if _read(handle) != before:
            return True
    return False


def _machine() -> str:
    """What tells machines apart: their names repeat, in containers above all."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return socket.gethostname()


def _read(handle: int) -> Holder | None:
    with suppress(OSError, ValueError, TypeError):
        return Holder(**json.loads(os.pread(handle, _SIZE, 0)))
    return None


def _write(handle: int, holder: Holder) -> None:
    os.pwrite(handle, json.dumps(asdict(holder)).encode().ljust(_SIZE), 0)
    os.fsync(handle)
