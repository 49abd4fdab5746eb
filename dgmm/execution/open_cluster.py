"""From the settings of a job's `cluster:` section to the executor they ask for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal

from dgmm.errors import UsageError
from dgmm.execution.dask_sources import configuration_error
from dgmm.execution.threads import ThreadExecutor
from dgmm.reduction.executor import OpenExecutor
from dgmm.registry import Registry
from dgmm.runtime.row_cache import process_cache


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Where tasks shall run: exactly one of `kind`, `address` and `scheduler_file`.

    Parameters
    ----------
    kind : str, optional
        A name of `CLUSTERS`; "local" where all three are None.
    n_workers : int, optional
        Worker processes, by default one for each available CPU. With kind "threads" the number of
        threads is n_workers * threads_per_worker.
    threads_per_worker : int
        Tasks at a time in one worker.
    memory_limit : int, "auto" or None
        Of one worker: bytes, an equal share of the machine, or no limit.
    address : str, optional
        Of a running Dask scheduler, such as "tcp://10.0.0.1:8786".
    scheduler_file : str, optional
        What `dask scheduler --scheduler-file` wrote.
    wait_workers_s : float
        Seconds to wait for a first worker, at the start and when all have gone.
    """

    kind: str | None = None
    n_workers: int | None = None
    threads_per_worker: int = 1
    memory_limit: int | Literal["auto"] | None = "auto"
    address: str | None = None
    scheduler_file: str | None = None
    wait_workers_s: float = 60.0


@dataclass(frozen=True, slots=True)
class ClusterKind:
    """A kind of place where tasks run.

    Attributes
    ----------
    open : callable
        From `ClusterSettings` to a context manager of an `OpenExecutor`.
    where : str
        What the log calls it.
    is_this_process : bool
        Whether tasks share the memory of the process that opens it, n_workers at a time; else they
        run in n_workers processes of threads_per_worker threads.
    """

    open: Callable[[ClusterSettings], AbstractContextManager[OpenExecutor]]
    where: str
    is_this_process: bool = False


def open_executor(settings: ClusterSettings) -> AbstractContextManager[OpenExecutor]:
    """Open the executor that the settings ask for; leaving the context closes what was started.

    Raises
    ------
    UsageError
        If the settings name two places.
    DataError
        If there is no such kind.
    UnavailableError
        If no scheduler answers, no worker comes, or workers cannot run dgmm.
    """
    places = (settings.kind, settings.address, settings.scheduler_file)
    if sum(place is not None for place in places) > 1:
        raise UsageError("cluster: give one of kind, address and scheduler_file, not several")
    if settings.address is None and settings.scheduler_file is None:
        kind = CLUSTERS.named(settings.kind or "local")
        opened = kind.open(settings)
        return _rows_released(opened) if kind.is_this_process else opened
    _load_dask()
    from dgmm.execution import dask_cluster  # noqa: PLC0415 - see _load_dask

    return dask_cluster.existing_cluster(
        settings.address, settings.scheduler_file, wait_workers_s=settings.wait_workers_s
    )


@contextmanager
def _rows_released(opened: AbstractContextManager[OpenExecutor]) -> Iterator[OpenExecutor]:
    """An executor in this process; the rows that its threads have cached go when it closes."""
    try:
        with opened as executor:
            yield executor
    finally:
        process_cache.release(None)


def _threads(settings: ClusterSettings) -> AbstractContextManager[OpenExecutor]:
    n = settings.n_workers
    return ThreadExecutor(n and n * settings.threads_per_worker)


def _local(settings: ClusterSettings) -> AbstractContextManager[OpenExecutor]:
    _load_dask()
    from dgmm.execution import dask_cluster  # noqa: PLC0415 - see _load_dask

    return dask_cluster.local_cluster(
        settings.n_workers,
        settings.threads_per_worker,
        settings.memory_limit,
        wait_workers_s=settings.wait_workers_s,
    )


def _load_dask() -> None:
    """Load Dask, which reads the user's configuration files as it is imported.

    Raises
    ------
    UnavailableError
        If one of them is malformed, or holds values that Dask cannot start with.
    """
    try:
        importlib.import_module("dgmm.execution.dask_cluster")  # here: threads need no Dask (0.5 s)
    except ImportError:
        raise
    except Exception as error:
        raise configuration_error(error) from error


CLUSTERS: Registry[ClusterKind] = Registry(
    "cluster.kind",
    "dgmm.clusters",
    {
        "local": ClusterKind(_local, "worker processes on this machine"),
        "threads": ClusterKind(_threads, "threads of this process", is_this_process=True),
    },
    ClusterKind,
)
