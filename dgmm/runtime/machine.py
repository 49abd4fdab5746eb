"""How much memory this process may count on."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_CGROUP_USED = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")


def available_memory() -> int:
    """Bytes of the machine, cut by a container's limit (cgroup v2 or v1)."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_container_limits()])


def free_memory() -> int:
    """Bytes that no process uses at the moment, files cached by the system counted as free."""
    return max(min([_unused_of_the_machine(), *_unused_of_the_container()]), 0)


def _unused_of_the_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration):  # another system
        return available_memory()


def _unused_of_the_container() -> list[int]:
    """Its files count as used here: too little is better than too much."""
    return [limit - used for limit in _numbers(_CGROUP_LIMITS) for used in _numbers(_CGROUP_USED)]


def _container_limits() -> list[int]:
    return _numbers(_CGROUP_LIMITS)


def _numbers(paths: tuple[str, ...]) -> list[int]:
    numbers = []
    for path in paths:
        try:
            numbers.append(int(Path(path).read_text("ascii")))
        except (OSError, ValueError):  # another system, or "max": no limit
            continue
    return numbers
