"""One run at a time in a run directory, also where several machines see it.

No library's lock serves: filelock and portalocker are `flock` or a file that a dead holder leaves.

The system's lock (`flock`) goes with its process, however that ends, and is enough on one machine.
Some network file systems grant it to each machine by itself, or to nobody. So the file also names
its holder, with a count that the holder raises every few seconds. A holder on another machine
whose count stands still for a lease is dead: the lock is taken over under the next number, and
should the old holder wake up, it finds another's words in the file, writes nothing more and stops.
Nobody's clock is compared with another's.

Each number is given once: whoever takes it creates the file `lock.NUMBER`, which succeeds for one
of two that ask at the same moment, on any file system. Then it looks at the lock again, where
another may have written and ended meanwhile, and writes. Whoever has waited a lease for the owner
of a number to write takes the next one, and the higher number holds the lock. So at last it looks
for higher ones, whose files are there while they are held: they write again at their next beat.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from dgmm.errors import DgmmError, OutputExistsError
from dgmm.job.lock_heartbeat import Lock
from dgmm.job.lock_holder import NAME, Holder, machine, read_holder, read_named, write_holder
from dgmm.storage.folders import Folder

#: Seconds between two beats of a holder, and for which a count may stand still. File systems on a
#: network may show a write only after half a minute.
BEAT_S, LEASE_S = 5.0, 60.0
_NUMBER = re.compile(NAME + r"(?:\.([0-9]+))?")
Say = Callable[[str], None]
_HELD_ELSEWHERE = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}


@contextmanager
def locked(
    directory: Path | Folder, shown: Path, warn: Say = lambda _: None, note: Say = lambda _: None
) -> Iterator[Lock]:
    """Hold the directory's lock.

    Parameters
    ----------
    directory, shown
        The run directory, and how messages name it.
    warn
        Called when the lock of a dead holder is taken over.
    note
        Called with why it waits, before it does.

    Raises
    ------
    OutputExistsError
        If another process holds it, with its host and process id; or if no lock can be made.
    """
    with ExitStack() as held:
        try:
            if isinstance(directory, Path):
                directory = held.enter_context(Folder(directory, shown, follow=True))
            handle = _opened(directory)
            held.callback(os.close, handle)
        except OSError as error:
            raise _cannot(shown, error) from error
        holder = _taken(directory, handle, shown, warn, note)
        lock = Lock(directory, handle, holder, beat_s=BEAT_S, lease_s=LEASE_S)
        try:
            yield lock
        finally:
            lock.release()
            _forget_numbers(directory, holder.number)


def _opened(directory: Folder) -> int:
    handle = directory.open(NAME, os.O_RDWR | os.O_CREAT)
    if os.fstat(handle).st_nlink > 1:  # what is written would be seen in another place too
        os.close(handle)
        raise OSError(errno.EMLINK, f"{NAME} has another name elsewhere (a hard link): remove it")
    return handle


def is_lock_file(name: str) -> bool:
    """Whether a file of that name belongs to the lock."""
    return _NUMBER.fullmatch(name) is not None


def _taken(directory: Folder, handle: int, shown: Path, warn: Say, note: Say) -> Holder:
    is_granted = _is_granted(handle, shown)
    before = read_holder(handle)
    if before is not None and not before.is_released:
        is_near = is_granted and before.machine == machine()  # then the system knows it is dead
        if not is_near and _is_beating(handle, before, f"{shown / NAME} names {before}", note):
            raise _in_use(shown, before)
        warn(
            f"the lock of {shown} is taken over from {before} (holder {before.number}): it ended "
            "without giving it back"
        )
    number = 1 if before is None else before.number + 1
    since = datetime.now(UTC).isoformat(timespec="seconds")
    names = socket.gethostname(), os.getpid(), since, machine()
    holder = Holder(*names, number, uuid.uuid4().hex)
    try:
        holder = _with_number(directory, handle, holder, before, note, is_granted=is_granted)
        write_holder(handle, holder)
        _yield_to_higher_numbers(directory, handle, holder)
    except OSError as error:
        raise _cannot(shown, error) from error
    _forget_numbers(directory, holder.number - 1)
    return holder


def _with_number(
    directory: Folder,
    handle: int,
    holder: Holder,
    before: Holder | None,
    note: Say,
    *,
    is_granted: bool,
) -> Holder:
    """The holder under the first number from its own on that nobody else has taken."""
    shown = directory.shown
    while not _has_taken_number(directory, holder):
        taken = _number_file(holder)
        if not (
            _is_left_over(directory, holder, is_granted=is_granted)
            or not _is_beating(handle, before, f"another run has made {shown / taken}", note)
        ):
            raise _in_use(shown, read_holder(handle))  # it has written into the lock meanwhile
        holder = replace(holder, number=holder.number + 1)  # it ended before it could
    # Opened anew: of an open file, a network file system may show what it remembers.
    if (found := read_named(directory, NAME)) != before:
        _forget_numbers(directory, holder.number, holder.number)
        raise _in_use(shown, found)
    return holder


def _yield_to_higher_numbers(directory: Folder, handle: int, holder: Holder) -> None:
    """Give up where a higher number is taken, unless its owner gives up first."""
    deadline = time.monotonic() + LEASE_S
    while True:
        found = read_named(directory, NAME)
        higher = [number for number in _numbers(directory) if number > holder.number]
        if not higher:
            if found != holder:  # of a lower number, late
                write_holder(handle, holder)
            return
        is_written = found is not None and found.number > holder.number
        if is_written or time.monotonic() > deadline:
            other = found if is_written else read_named(directory, f"{NAME}.{max(higher)}")
            if other is not None:
                write_holder(handle, other)  # ours may stand where it had written
            _forget_numbers(directory, holder.number, holder.number)
            raise _in_use(directory.shown, other)
        time.sleep(min(BEAT_S / 5, LEASE_S / 10))


def _number_file(holder: Holder) -> str:
    return f"{NAME}.{holder.number}"


def _is_left_over(directory: Folder, holder: Holder, *, is_granted: bool) -> bool:
    """Whether nobody is about to use a number that is taken: its file is a dead process's, or a
    link, which no run makes.
    """
    taken = _number_file(holder)
    other = read_named(directory, taken)
    if other is not None:
        return is_granted and other.machine == holder.machine
    return directory.holds(taken) and not _is_file(directory, holder.number)


def _has_taken_number(directory: Folder, holder: Holder) -> bool:
    try:
        handle = directory.open(_number_file(holder), os.O_RDWR | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return False
    try:
        write_holder(handle, holder, is_synced=False)
    finally:
        os.close(handle)
    return True


def _numbers(directory: Folder) -> list[int]:
    """The numbers that runs have taken: a folder or a link of such a name is no run's."""
    return [number for number in _named_numbers(directory) if _is_file(directory, number)]


def _named_numbers(directory: Folder) -> list[int]:
    names = [name for name in directory.names() if name != NAME and is_lock_file(name)]
    return [int(name.removeprefix(f"{NAME}.")) for name in names]


def _is_file(directory: Folder, number: int) -> bool:
    name = f"{NAME}.{number}"
    return directory.holds(name) and stat.S_ISREG(directory.status(name).st_mode)


def _forget_numbers(directory: Folder, last: int, first: int = 0) -> None:
    """Remove the files of numbers that nobody takes any more; a folder is somebody's."""
    with suppress(OSError, DgmmError):  # where the lock is lost, they are another run's to remove
        for number in _named_numbers(directory):
            name = f"{NAME}.{number}"
            if first <= number <= last and not directory.holds_folder(name):
                directory.remove(name)


def _is_granted(handle: int, shown: Path) -> bool:
    """Whether the system grants the lock; False where the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD_ELSEWHERE:
            raise _in_use(shown, read_holder(handle)) from error
        return False
    return True


def _cannot(shown: Path, error: OSError) -> OutputExistsError:
    return OutputExistsError(f"cannot lock {shown}: {error.strerror or error}")


def _in_use(shown: Path, holder: Holder | None) -> OutputExistsError:
    return OutputExistsError(f"{shown} is in use by a running job: {holder or 'another process'}")


def _is_beating(handle: int, before: Holder | None, why: str, note: Say) -> bool:
    """Whether the lock's content changes within a lease and a beat, by our own clock.

    A beat more than a lease: a holder that gives the lock back just then is not overtaken.
    """
    longest_s = LEASE_S + min(BEAT_S, LEASE_S)
    note(f"{why}: waiting {longest_s:g} s at most, to see whether that run still lives")
    deadline = time.monotonic() + longest_s
    while time.monotonic() < deadline:
        time.sleep(min(BEAT_S / 5, LEASE_S / 10))
        if read_holder(handle) != before:
            return True
    return False
