"""Workers that are there and take no tasks: which, how full, and of whose data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dgmm.errors import UnavailableError
from dgmm.runtime.row_cache import process_cache
from dgmm.terminal_text import listed

_SHOWN = 4


def cached_bytes() -> int:
    """Bytes of rows that dgmm has cached in this worker process (runs on the worker)."""
    return process_cache.n_bytes


def paused_error(
    address: str,
    workers: Mapping[str, Mapping[str, Any]],
    cached: Mapping[str, int],
    *,
    waited_s: float,
    is_own: bool,
) -> UnavailableError:
    """The error of a job whose workers were all paused.

    Parameters
    ----------
    address : str
        Of the scheduler.
    workers : mapping
        What the scheduler reports of each worker that takes no tasks, by address.
    cached : mapping
        Bytes of rows that dgmm has cached there, by address, where the worker answered.
    waited_s : float
        How long none of them took tasks.
    is_own : bool
        Whether dgmm started these workers.
    """
    found = [_describe(a, worker, cached.get(a, 0)) for a, worker in workers.items()]
    return UnavailableError(
        f"all workers of the scheduler at {address} ({len(found)}) were paused or closing for "
        f"{waited_s:g} s and take no tasks: {listed(found, _SHOWN, '; ')}. "
        f"{_remedy(workers, cached, is_own=is_own)}"
    )


def _describe(address: str, worker: Mapping[str, Any], cached: int) -> str:
    metrics = worker.get("metrics", {})
    used, managed = int(metrics.get("memory", 0)), int(metrics.get("managed_bytes", 0))
    limit = worker.get("memory_limit")
    of = f" of {_size(int(limit))}" if limit else ""
    name = worker.get("name", address)
    known = address if name == address else f"{name} at {address}"
    return (
        f"worker {known} is {worker.get('status', 'unknown')} with {_size(used)}{of} in use "
        f"({_size(managed)} results that Dask has for its clients, {_size(cached)} rows that "
        f"dgmm has cached, {_size(max(used - managed - cached, 0))} other: libraries, tasks, freed "
        "memory)"
    )


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.2f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"


def _remedy(workers: Mapping[str, Any], cached: Mapping[str, int], *, is_own: bool) -> str:
    if is_own:
        return (
            "The memory is this job's own: raise cluster.memory_limit or lower cluster.n_workers, "
            "and run the same command again"
        )
    used = sum(int(worker.get("metrics", {}).get("memory", 0)) for worker in workers.values())
    if 2 * sum(cached.values()) > used:
        return "Most of it is dgmm's: give the workers more memory, and run the same command again"
    return (
        "Most of it is not this job's but belongs to other users of the cluster or to the workers "
        "themselves: have the results released or the workers restarted or given more memory, and "
        "run the same command again"
    )
