"""A signal that ends a run is an error in the main thread, so that the run can say how it ended."""

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
            if before[name] is not signal.SIG_IGN:  # nohup: the run was asked to stay
                signal.signal(name, _stop)
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
        stopping.requested.clear()  # this process may go on with something else


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    for ending in _SIGNALS:
        if signal.getsignal(ending) is _stop:
            signal.signal(ending, signal.SIG_DFL)
    stopping.requested.set()
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    name = signal.Signals(number).name
    raise StoppedError(f"{name} received")
