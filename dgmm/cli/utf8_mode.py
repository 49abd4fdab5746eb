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


def restart_in_utf8_mode() -> None:
    """Become the same command in UTF-8 mode where the locale's encoding is ASCII.

    Returns where it is not, where the command was started by another script, or where the system
    does not allow it: paths that cannot be named are refused later.
    """
    if sys.getfilesystemencoding().lower() not in {"ascii", "us-ascii", "646"}:
        return
    if sys.flags.utf8_mode or not sys.executable or Path(sys.argv[0]).name not in _COMMANDS:
        return
    with suppress(OSError):
        own = os.environ | {"PYTHONUTF8": "1"}  # worker processes inherit it
        # As an option too: `python -I` reads no variables.
        os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], own)  # noqa: S606 - this program
