"""How many bytes of decoded rows a process may cache for the next pass."""

from __future__ import annotations

from dgmm.data.dataset import Dataset
from dgmm.data.stored_dataset import StoredDataset
from dgmm.runtime.machine import free_memory

#: Tasks and cached rows take at most this share of a process's memory limit...
SHARE = 0.5
#: ...and the process with its libraries this much: Dask warns at 70 %.
PROCESS_SHARE = 0.7
#: Dask pauses a worker at this share of its limit; a paused worker is given no tasks. (That of a
#: local cluster; see execution/dask_configuration.py.)
PAUSE_SHARE = 0.8
#: Resident bytes of the driver, with the scheduler, before any data; compiled code (Numba) is
#: 120 MiB of it.
DRIVER_BASE = 250 * 1024 * 1024
#: Bands of chunks alive at once: in use, read ahead, being joined, and the codec's own copy.
BANDS = 4


def cache_budget(
    *, limit: int, n_bytes_held: int, base: int, usable_share: float = PAUSE_SHARE
) -> int:
    """Bytes of decoded rows that a process may cache: what is left beside everything else.

    Parameters
    ----------
    limit
        Bytes the process may use.
    n_bytes_held
        What its tasks (and the driver's work, where it runs them) hold at most.
    base
        What it holds before any data.
    usable_share
        Share of the limit at which the process would be paused: it stays an eighth below.
    """
    process_share = PROCESS_SHARE * min(usable_share / PAUSE_SHARE, 1.0)
    left = min(SHARE * limit, process_share * limit - base) - n_bytes_held
    return max(int(left), 0)


def with_cached_rows(dataset: Dataset, n_threads: int) -> Dataset:
    """The data set with its decoded rows cached by this process, within what is free now.

    For a fit without a job file, hence without a plan: of its tasks only the bands are counted, and
    half of what is free is left for the rest. Rows in memory are not cached again.
    """
    if not isinstance(dataset, StoredDataset):
        return dataset
    budget = cache_budget(
        limit=free_memory(),
        n_bytes_held=n_threads * BANDS * dataset.read_bytes,
        base=DRIVER_BASE,
    )
    return dataset.with_cache(budget)
