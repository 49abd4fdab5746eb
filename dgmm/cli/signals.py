"""A signal that ends a run is an error in the main thread, so that the run can say how it ended."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from dgmm.errors import StoppedError

#: What batch systems send before they kill, and what a closed terminal sends.
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into StoppedError; a second one kills. Ctrl-C stays as it is."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python takes signals in the main thread alone
        return
    before = {name: signal.getsignal(name) for name in _SIGNALS}
    try:
        for name in _SIGNALS:
            if before[name] is not signal.SIG_IGN:  # nohup: the run was asked to stay
                signal.signal(name, _stop)
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    for ending in _SIGNALS:
        if signal.getsignal(ending) is _stop:
            signal.signal(ending, signal.SIG_DFL)
    name = signal.Signals(number).name
    raise StoppedError(f"{name} received")
