"""One command in process: how it ended, what it said, and which files it opened for writing."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from dgmm.cli import entry_point
from dgmm.exit_codes import ExitCode
from dgmm.storage.folders import Folder

#: Every end of a command but the one that nobody meant.
DOCUMENTED = frozenset(int(code) for code in ExitCode) - {int(ExitCode.INTERNAL)}
#: Seconds after which an attempt counts as hung.
_LIMIT_S = 60
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_TRACE = re.compile(r"Traceback \(most recent call last\)|^  File \".*\", line \d+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one command ended.

    Attributes
    ----------
    command
        Its words.
    exit_code, stdout, stderr
        What it returned and said.
    written
        Absolute paths of all files opened for writing and folders made, in this process.
    """

    command: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str
    written: frozenset[str]

    def faults(self, directory: Path | None) -> list[str]:
        """What no command may do; `directory` is the one place where it may write."""
        found = []
        if self.exit_code not in DOCUMENTED:
            found.append(f"exit code {self.exit_code}")
        if _TRACE.search(self.stderr):
            found.append("traceback")
        if self.exit_code and not self.stderr.strip():
            found.append("failed without a word")
        strays = sorted(p for p in self.written if not _is_within(p, directory))
        return found + [f"wrote {stray}" for stray in strays[:3]]


def _is_within(path: str, directory: Path | None) -> bool:
    if directory is None:
        return False
    try:
        place = os.path.realpath(directory)
    except ValueError:  # no path at all
        return False
    return f"{path}/".startswith(f"{place}/") or place.startswith(f"{path}/")  # or leads there


def attempt(*command: str) -> Attempt:
    """Run `dgmm` with these words, in the current directory; warnings are errors."""
    stdout, stderr, written = io.StringIO(), io.StringIO(), set[str]()
    with (
        _watched(written),
        _limited_time(),
        warnings.catch_warnings(),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
    ):
        warnings.simplefilter("error")
        code = entry_point.run(list(command))
    return Attempt(command, code, stdout.getvalue(), stderr.getvalue(), frozenset(written))


class HangError(BaseException):
    """An attempt took far longer than any should."""


@contextmanager
def _limited_time() -> Iterator[None]:
    def give_up(_number: int, _frame: FrameType | None) -> NoReturn:
        raise HangError(f"no end after {_LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, give_up)
    begun = time.monotonic()
    left, _ = signal.setitimer(signal.ITIMER_REAL, _LIMIT_S)  # pytest-timeout's own, or 0
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
        elapsed = time.monotonic() - begun
        signal.setitimer(signal.ITIMER_REAL, max(left - elapsed, 0.01) if left else 0)


_watching: list[set[str]] = []


@contextmanager
def _watched(written: set[str]) -> Iterator[None]:
    if not _hooked:
        sys.addaudithook(_note)
        _hooked.append(True)
    _watching.append(written)
    try:
        yield
    finally:
        _watching.remove(written)


_hooked: list[bool] = []
#: Interpreter and compiler keep their caches wherever they like.
_NOT_OURS = ("/dev/", "__pycache__")


def _note(event: str, arguments: Sequence[Any]) -> None:
    """Note a path that is about to be written or made (an audit hook cannot be taken back)."""
    if not _watching:
        return
    folder = -1
    if event == "open":
        path, mode, flags = arguments
        if not _opens_for_writing(mode, flags):
            return
        folder = _folder_of(sys._getframe(1))
    elif event == "os.mkdir":
        path, _, folder = arguments
    elif event in {"os.symlink", "os.link"}:
        path = arguments[1]
    elif event == "os.rename":
        _, path, _, folder = arguments
    else:
        return
    if isinstance(path, int | type(None)):
        return
    base = f"/proc/self/fd/{folder}" if folder >= 0 else ""
    place = os.path.realpath(os.path.join(base, os.fsdecode(path)))  # noqa: PTH118 - a hook is fast
    is_ours = not any(part in place for part in _NOT_OURS)
    if is_ours and (event != "os.mkdir" or not os.path.isdir(place)):  # noqa: PTH112 - a hook is fast
        for written in _watching:
            written.add(place)


def _folder_of(frame: FrameType) -> int:
    """The folder held open that a name is looked up in, which the event does not say."""
    if frame.f_code is not Folder.open.__code__:
        return -1
    return int(frame.f_locals["self"]._descriptor)


def _opens_for_writing(mode: str | None, flags: int) -> bool:
    return any(c in mode for c in "wax+") if mode is not None else bool(flags & _WRITES)


def command_options(overrides: Sequence[str]) -> list[str]:
    """Overrides as words of the command line."""
    return [word for override in overrides for word in ("--set", override)]
