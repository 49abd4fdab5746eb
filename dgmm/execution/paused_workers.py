"""Workers that are there and take no runs: which, how full, and of whose data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dgmm.errors import UnavailableError
from dgmm.runtime.row_cache import process_cache

_SHOWN = 4


def kept_bytes() -> int:
    """Bytes of rows that dgmm keeps in this worker process (runs on the worker)."""
    return process_cache.n_bytes


def paused_error(
    address: str,
    workers: Mapping[str, Mapping[str, Any]],
    kept: Mapping[str, int],
    *,
    waited_s: float,
    is_own: bool,
) -> UnavailableError:
    """The end of a run whose workers were all paused.

    Parameters
    ----------
    address : str
        Of the scheduler.
    workers : mapping
        What the scheduler says of each worker that takes no runs, by address.
    kept : mapping
        Bytes of rows that dgmm keeps there, by address, where it answered.
    waited_s : float
        How long none of them took runs.
    is_own : bool
        Whether dgmm started these workers.
    """
    told = [_describe(a, worker, kept.get(a, 0)) for a, worker in workers.items()]
    more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return UnavailableError(
        f"all workers of the scheduler at {address} ({len(told)}) were paused or closing for "
        f"{waited_s:g} s and take no runs: {'; '.join(told[:_SHOWN])}{more}. "
        f"{_remedy(workers, kept, is_own=is_own)}"
    )


def _describe(address: str, worker: Mapping[str, Any], kept: int) -> str:
    metrics = worker.get("metrics", {})
    used, managed = int(metrics.get("memory", 0)), int(metrics.get("managed_bytes", 0))
    limit = worker.get("memory_limit")
    of = f" of {_size(int(limit))}" if limit else ""
    name = worker.get("name", address)
    known = address if name == address else f"{name} at {address}"
    return (
        f"worker {known} is {worker.get('status', 'unknown')} with {_size(used)}{of} in use "
        f"({_size(managed)} results that Dask keeps for its clients, {_size(kept)} rows that dgmm "
        f"keeps, {_size(max(used - managed - kept, 0))} other: libraries, tasks, freed memory)"
    )


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.2f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"


def _remedy(workers: Mapping[str, Any], kept: Mapping[str, int], *, is_own: bool) -> str:
    if is_own:
        return (
            "The memory is this job's own: raise cluster.memory_limit or lower cluster.n_workers, "
            "and run the same command again"
        )
    used = sum(int(worker.get("metrics", {}).get("memory", 0)) for worker in workers.values())
    if 2 * sum(kept.values()) > used:
        return "Most of it is dgmm's: give the workers more memory, and run the same command again"
    return (
        "Most of it is not this job's but belongs to other users of the cluster or to the workers "
        "themselves: have the results released or the workers restarted or given more memory, and "
        "run the same command again"
    )
