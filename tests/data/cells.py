"""AnnData written for tests, in a file or in Zarr of either version."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import anndata
import numpy as np
import pandas as pd


def write_cells(
    path: Path, data: anndata.AnnData, form: Literal["h5ad", 2, 3] = "h5ad", **how: object
) -> str:
    """Write it; what anndata and zarr warn of their own future defaults is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if form == "h5ad":
            data.write_h5ad(path, **how)
        else:
            with anndata.settings.override(zarr_write_format=form):
                data.write_zarr(path, **how)
    return str(path)


def cells(n: int = 50) -> anndata.AnnData:
    """Cells with a column of each kind in obs, and embeddings of the three kinds in obsm."""
    names = [f"cell{i:03d}" for i in range(n)]
    odd = [i if i % 2 else None for i in range(n)]
    obs = pd.DataFrame(
        {
            "kind": pd.Categorical([None if i == 3 else "aμb"[i % 3] for i in range(n)]),
            "area": np.arange(n) / 4,
            "count": np.arange(n),
            "is_big": np.arange(n) % 3 == 0,
            "batch": [f"b{i % 4}" for i in range(n)],
            "odd": pd.array(odd, dtype="Int64"),
            "flag": pd.array([None if i == 5 else i % 2 == 0 for i in range(n)], dtype="boolean"),
            "w": np.arange(n) % 7 + 0.5,
        },
        index=names,
    )
    data = anndata.AnnData(
        np.arange(n * 3, dtype=np.float32).reshape(n, 3),
        obs=obs,
        var=pd.DataFrame(index=["CD4", "CD8", "MS4A1"]),
    )
    data.obsm["X_pca"] = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    data.layers["counts"] = np.arange(n * 3).reshape(n, 3)
    return data
