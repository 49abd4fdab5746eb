"""Whether this process was asked to end: what long tasks in other threads look at now and then."""

from __future__ import annotations

import os
import signal
import threading

#: Set by the first signal that ends a run.
requested = threading.Event()


def stop_this_process() -> None:
    """End what this process runs, from any thread.

    By a SIGTERM where the process takes one as a request to end; elsewhere that would kill it, and
    the tasks that it runs end by themselves.
    """
    if callable(signal.getsignal(signal.SIGTERM)):
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        requested.set()
