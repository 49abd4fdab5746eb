"""SIGTERM, SIGHUP and Ctrl-C as errors in the main thread, so that the run records its status."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from dgmm.errors import StoppedError
from dgmm.runtime import stop_flag as stopping

#: What batch systems send before they kill, what a closed terminal sends, and Ctrl-C.
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Turn the first of these signals into an error in the main thread; a second one kills.

    SIGTERM and SIGHUP are a StoppedError, Ctrl-C the KeyboardInterrupt that Python makes of it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python takes signals in the main thread alone
        return
    before = {name: signal.getsignal(name) for name in _SIGNALS}
    stopping.requested.clear()
    try:
        for name in _SIGNALS:
            if before[name] is not signal.SIG_IGN:  # nohup: it is to be ignored
                signal.signal(name, _stop)
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
        stopping.requested.clear()  # this process may go on with something else


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    for name in _SIGNALS:
        if signal.getsignal(name) is _stop:
            signal.signal(name, signal.SIG_DFL)
    stopping.requested.set()
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise StoppedError(f"{signal.Signals(number).name} received")
