"""Whole jobs on fixed data, run as a user runs them, and the digests of all that they store.

Nothing of dgmm is imported here: command line, job file, model and output files are the interface.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

PROJECT = Path(__file__).resolve().parents[2]
FAMILIES = {"full": "f4", "tied": "f8", "diag": "f4", "spherical": "f8"}
CLUSTERS: dict[str, dict[str, Any]] = {
    kind: {"kind": kind, "n_workers": 2, "memory_limit": "1 GiB"} for kind in ("threads", "local")
}
BACKENDS = ("numpy", "numba")
D, K = 5, 4
#: Steps of a feature's unit; all values are whole numbers of them until they are rounded to f4.
_UNIT = 2**15
_CENTRES = _UNIT * np.array(
    [[0, 0, 0, 0, 0], [1, -1, 0, 2, 1], [-2, 1, 1, 0, -1], [3, 2, -1, -1, 0]]
)  # fmt: skip
_LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 3])
#: Two features lie far from zero; float32 has eighths left there.
_OFFSETS = np.array([0, 0, 2**20, 0, -(2**20)]) * _UNIT


def rows(n: int, dtype: str) -> NDArray[Any]:
    """Rows of four correlated clusters, some with NaN; integer arithmetic, one rounding at the end.

    PCG64's raw integers are the one stream that NumPy promises never to change.
    """
    raw = np.random.PCG64(20_240_229).random_raw(n * (D + 1)).reshape(n, D + 1)
    label = _LABELS[(raw[:, 0] >> np.uint64(61)).astype(np.int64)]
    pieces = [(raw[:, 1:] >> np.uint64(s)) & np.uint64(0xFFFF) for s in (0, 16, 32, 48)]
    steps = sum(piece.astype(np.int64) for piece in pieces) - 2 * 0xFFFF
    steps[:, 1] += label * steps[:, 0]
    X = (steps + _CENTRES[label] + _OFFSETS) / _UNIT
    X[raw[:, 0] % np.uint64(512) == 0, 3] = np.nan
    return X.astype(dtype)


def write_rows(path: Path, X: NDArray[Any]) -> None:
    """Store them in chunks that no block ends with; what lay there goes."""
    array = zarr.create_array(
        store=str(path), shape=X.shape, chunks=(30_011, D), dtype=X.dtype, overwrite=True
    )
    array[...] = X


#: The sizes that were recorded: from 4,000,000 numbers `auto` selects Numba as well.
_ROWS_FOR_NUMBA = {"full": 165_000, "tied": 405_000, "diag": 270_000, "spherical": 370_000}


def n_rows(family: str, backend: str) -> int:
    """Rows of the job whose passes are computed by that backend: several blocks of 49,152."""
    return {"numpy": 60_000, "numba": _ROWS_FOR_NUMBA[family]}[backend]


def backend_of(record: dict[str, Any]) -> str:
    """The backend that a run recorded."""
    return str(record["backend"])


def job(data: Path, family: str, backend: str, cluster: dict[str, Any]) -> dict[str, Any]:
    """A job in `run/` beside its file, all outputs on."""
    return {
        "data": {"path": str(data), "missing": "drop"},
        "model": {
            "n_components": K,
            "covariance_type": family,
            "n_init": 2,
            "max_iter": 5,
            "tol": 1e-7,
        },
        "initialisation": {"sample_rows": 10_000, "n_sample_starts": 2},
        "cluster": cluster,
        "compute": {"backend": backend},
        "output": {
            "path": "run",
            "anomaly_quantile": 0.01,
            "responsibilities": True,
            "report": False,
        },
        "on_not_converged": "ignore",
        "seed": 7,
    }


def dgmm(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line of this checkout, run in a folder."""
    path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "dgmm", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def run_job(folder: Path, data: Path, family: str, backend: str, cluster: dict[str, Any]) -> Path:
    """Run the job in an empty folder; its run directory."""
    folder.mkdir(parents=True)
    (folder / "job.yaml").write_text(
        json.dumps(job(data, family, backend, cluster))
    )  # JSON is YAML
    ended = dgmm(folder, "run", "--quiet", "job.yaml")
    assert ended.returncode == 0, ended.stderr
    return folder / "run"


def digest(array: NDArray[Any]) -> str:
    """SHA-256 of an array's type, shape and values."""
    head = f"{array.dtype.newbyteorder('<').str} {array.shape};".encode()
    values = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    return hashlib.sha256(head + values.tobytes()).hexdigest()


def stored_arrays(run: Path) -> dict[str, NDArray[Any]]:
    """Every array of a run's model and of its outputs, decoded."""
    with np.load(run / "model" / "arrays.npz", allow_pickle=False) as stored:
        arrays = {f"model/{name}": stored[name] for name in stored.files}
    group = zarr.open_group(str(run / "outputs.zarr"), mode="r")
    return arrays | {f"outputs/{name}": np.asarray(array[...]) for name, array in group.arrays()}


def stored_digests(run: Path) -> dict[str, str]:
    """The digest of each of them."""
    return {name: digest(array) for name, array in sorted(stored_arrays(run).items())}


def record_of(run: Path) -> dict[str, Any]:
    """run.json."""
    record: dict[str, Any] = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return record
