"""What a job would write to its log, as warnings of Python."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable

from dgmm.events import SilentListener
from dgmm.parameter_names import in_python


def warn(texts: Iterable[str], category: type[Warning] = UserWarning) -> None:
    """Warn whoever called into the package, in Python's words."""
    for text in texts:
        warnings.warn(in_python(text), category, stacklevel=_frames_of_the_package())


class WarningListener(SilentListener):
    """Turns a fit's warnings into Python's."""

    def warning(self, text: str) -> None:
        """Warn whoever called into the package."""
        warn([text])


def _frames_of_the_package() -> int:
    """What `stacklevel` of a warning given by the caller points at code that is not dgmm's."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "dgmm":
        frame, level = frame.f_back, level + 1
    return level
