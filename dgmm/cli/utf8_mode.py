"""Text as bytes: a process whose locale knows ASCII alone is started again in UTF-8 mode.

Names of files, words of the command line and standard streams have the locale's encoding. In an
ASCII one (`LC_ALL=C` where Python's own remedies are switched off) a path with another letter
cannot be opened. Other encodings stay: there the bytes of names are what the locale says.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

#: How a command is started; a script of somebody else's may have done other things before.
_COMMANDS = {"dgmm", "__main__.py"}
#: As an option and as a variable: `python -I` reads no variables, and worker processes inherit it.
_OPTION, _VARIABLE = ["-X", "utf8"], {"PYTHONUTF8": "1"}


def restart_in_utf8_mode() -> None:
    """Become the same command in UTF-8 mode where the locale's encoding is ASCII.

    Returns where it is not, where the command was started by another script, or where the system
    does not allow it: paths that cannot be named are refused later.
    """
    if sys.getfilesystemencoding().lower() not in {"ascii", "us-ascii", "646"}:
        return
    was_restarted = sys.orig_argv[1:3] == _OPTION  # to no avail: never twice
    if was_restarted or not sys.executable or Path(sys.argv[0]).name not in _COMMANDS:
        return
    words = [sys.executable, *_OPTION, *sys.orig_argv[1:]]
    with suppress(OSError):
        os.execve(sys.executable, words, os.environ | _VARIABLE)  # noqa: S606 - this program
