"""What is done to worker processes: one BLAS thread each; those on this machine ignore Ctrl-C.

This module is imported by workers; the driver sends `worker_plugin()` by value.
"""

from __future__ import annotations

import signal
from typing import Any

from distributed import WorkerPlugin


def worker_plugin() -> Any:
    """A plugin for the length of a job: BLAS has one thread in each worker process until it is
    unregistered, and then the rows that the process kept are dropped.

    Its class is local so that it travels by value: unpacked on a worker that joins a shared cluster
    without dgmm, a class sent by reference would end that worker.
    """

    class JobPlugin(WorkerPlugin):  # type: ignore[misc] # distributed ships no types
        def setup(self, worker: Any) -> None:  # noqa: ARG002 - Dask's signature
            self.limit = None
            try:
                from dgmm.execution.blas import single_blas_thread  # noqa: PLC0415 - may be absent
            except ImportError:
                return  # such a worker is refused by name before it gets a run
            self.limit = single_blas_thread()

        def teardown(self, worker: Any) -> None:  # noqa: ARG002 - Dask's signature
            if self.limit is None:
                return
            from dgmm.data.decoded_cache import decoded_cache  # noqa: PLC0415 - as above

            decoded_cache.drop()
            self.limit.restore()

    return JobPlugin()


def dask_setup(worker: Any) -> None:  # noqa: ARG001 - Dask's signature
    """Ignore SIGINT in a worker of a local cluster (Dask calls this, see `preload`).

    A terminal sends Ctrl-C to the whole process group; the driver decides when workers end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
