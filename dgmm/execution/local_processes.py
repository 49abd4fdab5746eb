"""The scheduler and workers of a local cluster, closed to all but the user who started them.

Everything listens on loopback alone; that excludes other machines, but not other users of this
one, and whoever reaches a Dask scheduler can run code as its owner. So all connections need a
certificate whose key is made for this cluster and stays in these processes' memory. OpenSSL loads a
key from a file alone: whenever a process does, Dask writes it into a new temporary folder that its
user alone may enter (mode 0700, under TMPDIR), and removes both at once; only a process killed in
between leaves them. Where Bokeh is installed, Dask's dashboard is served on loopback: whoever opens
it sees names and durations of tasks, and can run nothing.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from distributed import Client, LocalCluster
from distributed.security import Security

from dgmm.errors import UnavailableError
from dgmm.execution.allocator import environment_of_workers
from dgmm.execution.dask_configuration import own_configuration
from dgmm.execution.dask_logging import quiet_dask
from dgmm.execution.dask_sources import require_usable_configuration
from dgmm.execution.start_failure import refuse_where_no_process_can_start, start_error

#: Level above CRITICAL: workers of a local cluster write nothing to the user's terminal.
_SILENT = 60
_OPEN = (
    "the local cluster runs without encryption, because the package cryptography is not installed: "
    "every user of this machine can connect to its scheduler and run code as you. Install it (pip "
    "install cryptography), or use cluster.kind: threads"
)


@dataclass(frozen=True, slots=True)
class LocalProcesses:
    """A client of the cluster that was started, its dashboard, and what to warn of, if anything."""

    client: Any
    dashboard: str | None
    notice: str | None


def start_processes(
    n_workers: int, threads_per_worker: int, memory_limit: int | None, resources: ExitStack
) -> LocalProcesses:
    """Start them; `resources` takes what there is to stop.

    Raises
    ------
    UnavailableError
        If they do not start, with the cause.
    """
    refuse_where_no_process_can_start()
    require_usable_configuration()
    resources.enter_context(quiet_dask())
    resources.enter_context(own_configuration())
    resources.enter_context(environment_of_workers())
    security, notice = _security()
    has_dashboard = find_spec("bokeh") is not None
    try:
        cluster = LocalCluster(
            n_workers=n_workers,
            threads_per_worker=threads_per_worker,
            processes=True,
            host="127.0.0.1",
            security=security,
            # Given in any case: without it the scheduler serves port 8787 of every interface.
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": has_dashboard},
            memory_limit=memory_limit,
            local_directory=resources.enter_context(_folder()),
            silence_logs=_SILENT,
            preload=["dgmm.execution.worker_setup", "dgmm.execution.allocator"],
        )
    except Exception as error:
        raise start_error(n_workers, error) from error
    resources.callback(cluster.close, timeout=10)
    client = resources.enter_context(closing(Client(cluster, set_as_default=False)))
    dashboard = cluster.dashboard_link if has_dashboard else None
    return LocalProcesses(client, dashboard, notice)


def _security() -> tuple[Security | None, str | None]:
    try:
        return Security.temporary(), None
    except ImportError:
        return None, _OPEN


def _folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="dgmm-workers-", ignore_cleanup_errors=True)
    except OSError as error:
        raise UnavailableError(
            f"no temporary directory for worker processes: {error}. Point TMPDIR at a folder that "
            "can be written to"
        ) from error
