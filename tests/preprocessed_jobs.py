"""Jobs with `preprocess` over three clusters of two profiles each and a positive value."""

from __future__ import annotations

import json

import numpy as np
import zarr
from formula_jobs import job_of

RNG = np.random.default_rng(5)
N = 6000
CENTRES = np.array([[0.0, 0.0], [4.0, 1.0], [1.0, 5.0]])
LATENT = CENTRES[np.arange(N) % 3] + 0.3 * RNG.normal(size=(N, 2))
#: Two profiles of three depths each, and a value that is positive.
ROWS = np.column_stack(
    [
        LATENT @ RNG.normal(size=(2, 3)) + 0.05 * RNG.normal(size=(N, 3)) + 20.0,
        LATENT @ RNG.normal(size=(2, 3)) + 0.05 * RNG.normal(size=(N, 3)) - 5.0,
        np.exp(LATENT[:, :1]),
    ]
)
NAMES = [*(f"SR[depth={z}]" for z in (5, 10, 20)), *(f"dSA[depth={z}]" for z in (5, 10, 20)), "c"]


PROFILES = [
    {"log": {"offset": 0.0, "columns": ["c"]}},
    {"standardise": {}},
    {"pca": {"variables": ["SR", "dSA"], "n": 2, "whiten": True}},
    {"clip": {"quantiles": [0.001, 0.999], "columns": ["SR_pc1"]}},
]


def array(folder, rows=ROWS, name="rows.zarr", chunk=1000, names=NAMES):
    path = folder / name
    made = zarr.create_array(
        str(path), shape=rows.shape, chunks=(chunk, rows.shape[1]), dtype=rows.dtype
    )
    made[...] = rows
    made.attrs["feature_names"] = list(names)
    return path


def prepared(folder):
    return zarr.open_group(folder / "prepared.zarr", mode="r")["rows"]


def job_with(folder, data, steps, name="run", /, **sections):
    job = job_of(folder, data, name, **sections)
    tree = json.loads(job.read_text()) | {"preprocess": steps}
    job.write_text(json.dumps(tree))
    return job


def predict(folder, data, name="predicted", model="run"):
    job = job_of(folder, data, name)
    tree = json.loads(job.read_text()) | {"model": {"path": str(folder / model / "model")}}
    job.write_text(json.dumps(tree))
    return job
