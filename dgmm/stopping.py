"""Whether this process was asked to end: what long tasks in other threads look at now and then."""

from __future__ import annotations

import threading

#: Set by the first signal that ends a run.
requested = threading.Event()
