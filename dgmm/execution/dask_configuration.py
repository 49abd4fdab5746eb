"""Dask's configuration for the clusters that dgmm starts itself: Dask's defaults, not the user's.

A user's idle timeout, preloaded modules, memory thresholds, certificates or temporary directory are
meant for other clusters; any of them can stop or break workers that dgmm relies on.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import dask
import distributed  # noqa: F401 - registers its defaults with Dask

#: Dask pauses a worker of a local cluster above this share of its memory limit; `plan` counts
#: on it.
PAUSE_SHARE = 0.8
_PINNED: dict[str, Any] = {
    # Else a worker that is down again 15 s after an earlier death is given up for good, with the
    # process that is just restarting it.
    "distributed.deploy.lost-worker-timeout": "1 day",
    "distributed.worker.memory.pause": PAUSE_SHARE,
    "distributed.scheduler.idle-timeout": None,
    "distributed.scheduler.no-workers-timeout": None,
    # HTTP asks for no certificate: no pages with stacks, logs and files of this user.
    "distributed.scheduler.http.routes": ["distributed.http.statics"],
    "distributed.worker.http.routes": [],
    "temporary-directory": None,
    "scheduler-address": None,
}
_lock = Lock()
_holders = 0
_settings: list[dask.config.set] = []


@contextmanager
def own_configuration() -> Iterator[None]:
    """Put Dask's defaults, and what dgmm needs, in place of the user's configuration.

    Re-entrant: the configuration is the process's, so that each who enters sets it anew, and the
    last to leave restores what the first found.
    """
    global _holders  # noqa: PLW0603 - the configuration is the process's
    with _lock:
        _holders += 1
        defaults = dask.config.merge(*dask.config.defaults)["distributed"]
        _settings.append(dask.config.set({"distributed": copy.deepcopy(defaults)}))
        _settings.append(dask.config.set(copy.deepcopy(_PINNED)))
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0:
                while _settings:
                    _settings.pop().__exit__(None, None, None)
