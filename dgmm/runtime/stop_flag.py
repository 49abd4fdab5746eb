"""Whether this process was asked to end: what long tasks in other threads look at now and then."""

from __future__ import annotations

import os
import signal
import threading

#: Set by the first signal that ends a run.
requested = threading.Event()


def stop_tasks() -> bool:
    """End what this process runs, from any thread; whether the next run has to clear `requested`.

    By a SIGTERM where the process takes one as a request to end. Elsewhere that would kill it: its
    tasks end by themselves.
    """
    if callable(signal.getsignal(signal.SIGTERM)):
        os.kill(os.getpid(), signal.SIGTERM)
        return False
    requested.set()
    return True
