"""Jobs over rows by formula, and the bits of what they leave; as a script, `dgmm` for such jobs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from formula_source import FORMULA, FormulaSource

from dgmm.cli.entry_point import main
from dgmm.data.formats import FORMATS

SIZES = (5000, 0, 12_000, 700, 9000, 1)
PRODUCTS = ("labels", "max_posterior", "log_density")


def job_of(folder: Path, data: Path, name: str = "run", /, **sections: dict[str, Any]) -> Path:
    tree: dict[str, Any] = {
        "data": {"path": str(data)},
        "model": {"n_components": 3, "max_iter": 5, "tol": 1e-3},
        "cluster": {"kind": "threads", "n_workers": 2},
        "output": {"path": str(folder / name), "report": False},
        "on_not_converged": "ignore",
    }
    for section, keys in sections.items():
        tree[section] = {**tree.get(section, {}), **keys}
    job = folder / f"{name}.yaml"
    job.write_text(json.dumps(tree), encoding="utf-8")
    return job


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def bits(directory: Path) -> list[bytes]:
    """Of the model and all outputs."""
    outputs = zarr.open_group(directory / "outputs.zarr", mode="r")
    arrays = (directory / "model" / "arrays.npz").read_bytes()
    return [arrays, *(np.asarray(outputs[name][:]).tobytes() for name in PRODUCTS)]


def by_hand(folder: Path, source: FormulaSource) -> Path:
    """The same rows written by a user."""
    rows = source.all_rows()
    path = folder / "by-hand.zarr"
    array = zarr.create_array(str(path), shape=rows.shape, chunks=(1000, 2), dtype=rows.dtype)
    array[...] = rows
    array.attrs["feature_names"] = list(source.description.feature_names)
    return path


if __name__ == "__main__":
    FORMATS["formula"] = FORMULA
    main(sys.argv[1:])
