"""What is done to worker processes of a local cluster: they ignore Ctrl-C. Imported by workers."""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(worker: Any) -> None:  # noqa: ARG001 - Dask's signature
    """Ignore SIGINT in a worker of a local cluster (Dask calls this, see `preload`).

    A terminal sends Ctrl-C to the whole process group; the driver decides when workers end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
