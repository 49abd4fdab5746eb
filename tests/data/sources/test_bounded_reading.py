"""Reading a file's rows holds no more than the source says, however many rows there are."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from cells import write_cells

from dgmm.data.data_source import DataSource
from dgmm.data.formats import open_format
from dgmm.data.sources import array_source, stored_arrays

D = 8


def rows_of(n: int) -> np.ndarray:
    return np.arange(n * D, dtype=np.float32).reshape(n, D)


def npy(path: Path, n: int) -> dict[str, str]:
    with path.open("wb") as file:
        np.save(file, np.asfortranarray(rows_of(n)))
    return {}


def npz(path: Path, n: int) -> dict[str, str]:
    with path.open("wb") as file:
        np.savez_compressed(file, a=rows_of(n))
    return {"array": "a"}


def hdf5(path: Path, n: int) -> dict[str, str]:
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=rows_of(n), chunks=(4096, 3), compression="lzf")
    return {"array": "a"}


def h5ad(path: Path, n: int) -> dict[str, str]:
    data = anndata.AnnData(obs=pd.DataFrame({"w": np.ones(n)}, index=np.arange(n).astype(str)))
    data.obsm["X_pca"] = rows_of(n)
    write_cells(path, data)
    return {"array": "obsm/X_pca", "weight_column": "w"}


WRITE: list[Callable[[Path, int], dict[str, str]]] = [npy, npz, hdf5, h5ad]


def peak_of(path: Path, **keys: str) -> tuple[int, int]:
    """Most bytes that reading all parts held, and what the source says of it."""
    source = open_format("auto", DataSource(str(path), **keys))
    total = 0
    gc.collect()  # what other tests have left is not this one's
    tracemalloc.start()
    for part in source.parts():
        for rows in source.read(part):
            total += len(rows.values)
        for columns in source.read_carried(part):
            assert len(columns["obs_names"]) > 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == sum(part.n_rows for part in source.parts())
    return peak, source.read_bytes


@pytest.mark.parametrize("write", WRITE, ids=lambda write: write.__name__)
def test_what_is_held_does_not_grow_with_the_rows(tmp_path, write, monkeypatch):
    monkeypatch.setattr(stored_arrays, "BATCH_BYTES", 4096 * 4 * D)
    monkeypatch.setattr(array_source, "_PART_BYTES", 3 * 4096 * 4 * D)
    few = peak_of(tmp_path / "few", **write(tmp_path / "few", 25_000))
    many = peak_of(tmp_path / "many", **write(tmp_path / "many", 100_000))
    assert many[0] <= 1.1 * few[0]
    assert many[1] == few[1]
    assert many[0] <= many[1]
