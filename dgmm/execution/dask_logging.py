"""Keeps Dask's log lines off the user's terminal, where Dask writes them unasked."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import distributed  # noqa: F401 - sets up the handlers that are replaced here
from distributed.versions import VersionMismatchWarning

#: What dgmm itself logs of workers that come, leave and are late.
logger = logging.getLogger("dgmm.execution.dask")
logger.addHandler(logging.NullHandler())  # a library stays silent unless its user listens

_lock = threading.Lock()
_holders = 0
_replaced: dict[str, tuple[list[logging.Handler], bool]] = {}


@contextmanager
def quiet_dask() -> Iterator[None]:
    """Make Dask log as a library does: to whatever handlers the user set up, and nowhere else.

    Re-entrant; the last to leave restores Dask's own handlers. Dead workers and lost connections
    are dgmm's to report: it recovers from most of them.
    """
    global _holders  # noqa: PLW0603 - loggers are the process's
    with _lock:
        _holders += 1
        if _holders == 1:
            _replace_handlers()
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0:
                _restore_handlers()


def _replace_handlers() -> None:
    """Dask gives handlers on stderr to its root loggers and to some of their children."""
    for name in _loggers_with_handlers():
        target = logging.getLogger(name)
        _replaced[name] = (target.handlers[:], target.propagate)
        target.handlers[:], target.propagate = [logging.NullHandler()], True


def _loggers_with_handlers() -> list[str]:
    return [
        name
        for name, found in logging.root.manager.loggerDict.items()
        if name.split(".")[0] in {"distributed", "tornado", "bokeh"}
        and isinstance(found, logging.Logger)
        and found.handlers
    ]


def _restore_handlers() -> None:
    for name, (handlers, propagate) in _replaced.items():
        target = logging.getLogger(name)
        target.handlers[:], target.propagate = handlers, propagate
    _replaced.clear()


@contextmanager
def quiet_version_warnings() -> Iterator[None]:
    """Silence Dask's table of versions: dgmm compares environments itself, in a sentence each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionMismatchWarning)
        yield
