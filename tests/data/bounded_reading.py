"""Most bytes that reading files of few and of many rows holds: python bounded_reading.py FOLDER.

A process of its own, since memory is counted for all threads of a process, whoever started them.
"""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
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


def main(folder: Path) -> int:
    """Print, for each kind of file, what `peak_of` finds for few and for many rows."""
    stored_arrays.BATCH_BYTES = 4096 * 4 * D
    array_source._PART_BYTES = 3 * 4096 * 4 * D
    found = {}
    for write in WRITE:
        paths = {n: folder / f"{write.__name__}-{n}" for n in (25_000, 100_000)}
        found[write.__name__] = [peak_of(path, **write(path, n)) for n, path in paths.items()]
    sys.stdout.write(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
