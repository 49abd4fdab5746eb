"""What a job would write to its log, as warnings of Python."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from dgmm.listener import SilentListener


def warn(texts: Iterable[str]) -> None:
    """Warn the caller of the method that calls this."""
    for text in texts:
        warnings.warn(text, UserWarning, stacklevel=3)


class WarningListener(SilentListener):
    """Turns a fit's warnings into Python's."""

    def warning(self, text: str) -> None:
        """Warn the caller of the method that calls `fit`."""
        warnings.warn(text, UserWarning, stacklevel=4)
