"""Freed memory stays with a worker: reading would spend more time on new pages than on decoding."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import time
from types import SimpleNamespace

import psutil
import pytest

from dgmm.execution import allocator
from dgmm.execution.dask_cluster import local_cluster

pytestmark = pytest.mark.timeout(120)
#: Pages of one of the pieces that are allocated and freed, and how many there are.
PAGES, PIECES = 8 * 2**20 // resource.getpagesize(), 20


def new_pages() -> int:
    """Pages that the system gives this process for pieces which are freed at once."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(PIECES):
        b"x" * (8 * 2**20)  # written, hence in memory, and freed
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="GNU's C library alone")
def test_workers_keep_what_they_free_and_the_drivers_environment_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")  # what an earlier cluster leaves
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    before = {name: os.environ.get(name) for name in allocator._ENVIRONMENT}
    with local_cluster(1) as executor:
        [found] = executor._client.run(new_pages).values()
    assert found <= 2 * PAGES
    assert {name: os.environ.get(name) for name in allocator._ENVIRONMENT} == before


@pytest.mark.parametrize(
    ("used", "pause", "is_given_back"),
    [(74, 0.8, False), (76, 0.8, True), (95, False, True), (56, 0.6, False), (58, 0.6, True)],
)
def test_freed_memory_goes_back_where_memory_is_short(
    monkeypatch: pytest.MonkeyPatch, used: int, pause: float, is_given_back: bool
) -> None:
    given = []
    monkeypatch.setattr(allocator, "give_back", lambda: given.append(True))
    for limit in (100, None):
        allocator.give_back_if_full(
            SimpleNamespace(
                memory_manager=SimpleNamespace(memory_limit=limit, memory_pause_fraction=pause),
                monitor=SimpleNamespace(get_process_memory=lambda: used),
            )
        )
    assert len(given) == is_given_back


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="GNU's C library alone")
def test_a_worker_that_is_full_of_freed_memory_gets_work_again() -> None:
    """Such a worker would be paused for ever: Dask waits until it has less, and it does nothing."""
    limit = 400 * 2**20
    with local_cluster(1, memory_limit=limit) as executor:
        client = executor._client
        before = client.submit(fill_and_free, int(0.85 * limit), pure=False).result(timeout=60)
        assert before > 0.8 * limit
        deadline = time.monotonic() + 30
        while client.submit(resident, pure=False).result(timeout=60) > 0.7 * limit:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_looks_go_on_when_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def look(_: object) -> None:
        looks.append(True)
        raise RuntimeError("one fails")

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        allocator.dask_setup(object())
        while len(looks) < 3:
            await asyncio.sleep(0.01)

    monkeypatch.setattr(allocator, "_CHECK_S", 0.01)
    monkeypatch.setattr(allocator, "give_back_if_full", look)
    asyncio.run(asyncio.wait_for(watched(), 30))


def fill_and_free(n_bytes: int) -> int:
    """Resident bytes when so much is in memory in small pieces; the last of them stays."""
    pieces = [b"x" * 100_000 for _ in range((n_bytes - resident()) // 100_000)]
    _last.append(b"y" * 100_000)  # at the end of the heap, which cannot be cut off then
    found = resident()
    del pieces
    return found


_last: list[bytes] = []


def resident() -> int:
    """Resident bytes of this process."""
    return int(psutil.Process().memory_info().rss)
