"""From what a Python user has in hand (an array, a path, a Zarr array) to a data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.dataset import Dataset
from dgmm.data.zarr_dataset import open_zarr


def as_dataset(X: Any) -> Dataset:
    """Rows of X.

    Parameters
    ----------
    X
        A path of a Zarr array, a `zarr.Array`, a pandas DataFrame, or anything NumPy makes an (n,
        d) array of. A Zarr array in a folder is read block by block, one that lives elsewhere at
        once.

    Raises
    ------
    DataError, InputNotFoundError
        If X cannot be read as rows of numbers.
    """
    if isinstance(X, str | os.PathLike):
        return open_zarr(str(Path(X).absolute()))
    if isinstance(X, zarr.Array):
        root = getattr(X.store, "root", None)
        if isinstance(root, Path):
            return open_zarr(str((root / X.path).absolute()))
        return ArrayDataset(np.asarray(X[...]))
    columns = getattr(X, "columns", None)
    if columns is not None and all(isinstance(name, str) for name in columns):
        return ArrayDataset(np.asarray(X), [str(name) for name in columns])
    return ArrayDataset(X)
