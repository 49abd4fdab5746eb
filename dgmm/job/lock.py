"""One run at a time in a run directory, also where several machines see it.

The system's lock (`flock`) goes with its process, however that ends, and is enough on one machine.
Some network file systems grant it to each machine by itself, or to nobody. So the file also says
who holds it, with a count that the holder raises every few seconds. A holder on another machine
whose count stands still for a lease is dead: the lock is taken over under the next number, and
should the old holder wake up, it finds another's words in the file, writes nothing more and stops.
Nobody's clock is compared with another's.

Each number is given once: whoever takes it creates the file `lock.NUMBER`, which succeeds for one
of two that ask at the same moment, on any file system, and looks at the lock again before writing.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
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
_NUMBER = re.compile(NAME + r"(?:\.([0-9]+))?")
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
        holder = _taken(directory, handle, shown, warn)
        lock = Lock(handle, holder)
        try:
            yield lock
        finally:
            lock.release()
            _forget_numbers(directory, holder.number)
    finally:
        os.close(handle)


def is_lock_file(name: str) -> bool:
    """Whether a file of that name belongs to the lock."""
    return _NUMBER.fullmatch(name) is not None


def _taken(directory: Path, handle: int, shown: Path, warn: Callable[[str], None]) -> Holder:
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
        holder = _with_number(directory, handle, holder, before, shown, is_granted=is_granted)
        _write(handle, holder)
    except OSError as error:
        raise _cannot(shown, error) from error
    _forget_numbers(directory, holder.number - 1)
    return holder


def _with_number(
    directory: Path,
    handle: int,
    holder: Holder,
    before: Holder | None,
    shown: Path,
    *,
    is_granted: bool,
) -> Holder:
    """The holder under the first number from its own on that nobody else has taken."""
    while not _has_taken_number(directory, holder):
        with _opened(directory / f"{NAME}.{holder.number}", os.O_RDONLY) as taken:
            other = _read(taken)
        is_dead = is_granted and other is not None and other.machine == holder.machine
        if not is_dead and _is_beating(handle, before):  # it has written into the lock meanwhile
            raise _in_use(shown, _read(handle))
        holder = replace(holder, number=holder.number + 1)  # it ended before it could
    with _opened(directory / NAME, os.O_RDONLY) as again:  # anew: what is open may be remembered
        found = _read(again)
    if found != before:
        _forget_numbers(directory, holder.number, holder.number)
        raise _in_use(shown, found)
    return holder


def _has_taken_number(directory: Path, holder: Holder) -> bool:
    path = directory / f"{NAME}.{holder.number}"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    try:
        _write(handle, holder)
    finally:
        os.close(handle)
    return True


def _forget_numbers(directory: Path, last: int, first: int = 0) -> None:
    """Remove the files of numbers that nobody takes any more."""
    with suppress(OSError):
        for path in list(directory.iterdir()):
            match = _NUMBER.fullmatch(path.name)
            if match and match[1] and first <= int(match[1]) <= last:
                path.unlink(missing_ok=True)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """A descriptor; one that reads nothing where there is no such file."""
    try:
        handle = os.open(path, flags)
    except FileNotFoundError:
        yield -1
        return
    try:
        yield handle
    finally:
        os.close(handle)


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


def _is_beating(handle: int, before: Holder | None) -> bool:
    """Whether the lock says something else within a lease, by our own clock."""
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
