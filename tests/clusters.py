"""Data that tests cluster: where the components are is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from dgmm.config import Job


def gaussian_clusters(
    n: int = 3000, d: int = 3, k: int = 3, *, seed: int = 0, spread: float = 6.0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Rows (n, d) of k clusters of unit variance whose centres lie `spread` apart, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    centres = spread * np.eye(k, d) + spread * np.arange(k)[:, None]
    return centres[labels] + rng.normal(size=(n, d)), labels


def write_zarr(path: Path, X: NDArray[Any], **options: Any) -> Path:
    """Store rows; every chunk is written, attributes and chunking by option."""
    attributes = options.pop("attributes", {})
    options.setdefault("chunks", (max(len(X) // 3, 1), X.shape[1]))
    array = zarr.create_array(
        store=str(path),
        shape=X.shape,
        dtype=X.dtype,
        config={"write_empty_chunks": True},
        attributes=attributes,
        **options,
    )
    array[...] = X
    return path


def job(rows: Path, directory: Path, /, **sections: dict[str, Any]) -> Job:
    """A job on threads without a report; sections are merged key by key."""
    tree: dict[str, Any] = {
        "data": {"path": str(rows)},
        "model": {"n_components": 3},
        "cluster": {"kind": "threads", "n_workers": 2},
        "output": {"path": str(directory), "report": False},
    }
    for name, section in sections.items():
        tree[name] = {**tree.get(name, {}), **section} if isinstance(section, dict) else section
    if "path" in tree["model"]:
        del tree["model"]["n_components"]
    if "address" in tree["cluster"] or "scheduler_file" in tree["cluster"]:
        tree["cluster"] = {
            k: v for k, v in tree["cluster"].items() if k in {"address", "scheduler_file"}
        }
    return Job.model_validate(tree)
