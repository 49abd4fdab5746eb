"""How many bytes of rows a process may cache, by arithmetic of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clusters import write_zarr

from dgmm.data import cache_budget as module
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.cache_budget import cache_budget, with_cached_rows
from dgmm.data.zarr.dataset import ZarrDataset, open_zarr

MIB = 2**20


@pytest.mark.parametrize(
    ("limit", "usable_share", "left"),
    [
        (10_007 * MIB, 0.8, 0.5 * 10_007 * MIB),
        (1009 * MIB, 0.8, 0.7 * 1009 * MIB - 250 * MIB),
        (1009 * MIB, 0.9, 0.7 * 1009 * MIB - 250 * MIB),
        (1009 * MIB, 0.6, 0.525 * 1009 * MIB - 250 * MIB),
    ],
)
def test_rows_are_cached_in_what_half_the_limit_and_the_process_leave(
    limit: int, usable_share: float, left: float
) -> None:
    sizes = {"limit": limit, "base": 250 * MIB, "usable_share": usable_share}
    for held in (0, 10_007):
        assert cache_budget(n_bytes_held=held, **sizes) == pytest.approx(left - held, abs=1)
    assert cache_budget(n_bytes_held=limit, **sizes) == 0
    by_default = cache_budget(limit=limit, base=250 * MIB, n_bytes_held=7)
    assert by_default == cache_budget(n_bytes_held=7, **sizes | {"usable_share": 0.8})


def test_a_fit_without_a_plan_caches_what_half_of_free_memory_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_zarr(tmp_path / "rows.zarr", np.ones((101, 3)), chunks=(101, 3))
    monkeypatch.setattr(module, "free_memory", lambda: 10_007 * MIB)
    cached = with_cached_rows(open_zarr(str(path)), n_threads=5)
    assert isinstance(cached, ZarrDataset)
    assert cached.cache_bytes == int(0.5 * 10_007 * MIB) - 5 * 4 * cached.read_bytes
    monkeypatch.setattr(module, "free_memory", lambda: 1009 * MIB)
    cached = with_cached_rows(open_zarr(str(path)), n_threads=5)
    left = int(0.7 * 1009 * MIB - 250 * MIB - 5 * 4 * 101 * 3 * 8)
    assert isinstance(cached, ZarrDataset)
    assert cached.cache_bytes == left


def test_rows_in_memory_are_not_cached() -> None:
    rows = ArrayDataset(np.ones((5, 2)), ("a", "b"))
    assert with_cached_rows(rows, 3) is rows
