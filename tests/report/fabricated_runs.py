"""Run directories as a job leaves them, made of invented mixtures."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from dgmm.data.standardisation import Standardisation
from dgmm.data.zarr.output_store import OutputArray, create_array, create_outputs
from dgmm.mixture.covariance import family_named
from dgmm.mixture.parameters import Parameters
from dgmm.model.mixture_model import MixtureModel
from dgmm.model.model_files import save_model
from dgmm.storage.array_files import write_arrays
from dgmm.storage.atomic_files import write_json

CHUNK_ROWS = 4096
CHANNELS_OF_3X3 = tuple(
    f"{channel}{row:+d}{column:+d}"
    for row in (-1, 0, 1)
    for column in (-1, 0, 1)
    for channel in "rgb"
)
DTYPES = {
    "labels": ("int32", -1),
    "max_posterior": ("float32", np.nan),
    "log_density": ("float64", np.nan),
    "anomaly": ("int8", -1),
}


def mixture(
    k: int,
    d: int,
    *,
    seed: int = 0,
    scale: float = 1.0,
    names: tuple[str, ...] | None = None,
    means: Any = None,
) -> MixtureModel:
    """A mixture of full covariances with spread-out means, in units of `scale`."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(k, d, d)) / np.sqrt(d)
    covariances = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(d)
    centres = 3.0 * rng.normal(size=(k, d)) if means is None else np.asarray(means) / scale
    weights = rng.dirichlet(np.full(k, 2.0))
    ones = np.ones(d)
    standardisation = Standardisation(0.0 * ones, scale * ones, ones, np.zeros(d, dtype=bool))
    parameters = Parameters.of(family_named("full"), weights, centres, covariances)
    return MixtureModel(parameters, standardisation, names or tuple(f"x{i}" for i in range(d)))


def facts(model: MixtureModel | None = None, n_rows: int = 0, **changes: Any) -> dict[str, Any]:
    """run.json of a run that ended well; `changes` replace entries, None removes them."""
    k, d = (model.n_components, model.n_features) if model else (3, 2)
    found: dict[str, Any] = {
        "schema_version": 1,
        "command": "run",
        "status": "done",
        "exit_code": 0,
        "outcome": "CONVERGED",
        "message": "done in 12 iterations",
        "started": "2026-01-02T03:04:05+00:00",
        "ended": "2026-01-02T03:05:17+00:00",
        "dgmm_version": "0.1.0",
        "job": {
            "data": {"path": "data/rows.zarr", "array": None},
            "model": {"n_components": k, "covariance_type": "full", "tol": 1e-4},
            "output": {"path": "runs/rows"},
            "seed": 0,
        },
        "job_fingerprint": "ab" * 32,
        "data": {
            "path": "data/rows.zarr",
            "array": None,
            "n_samples": n_rows,
            "n_features": d,
            "dtype": "float32",
            "feature_names": list(model.feature_names) if model else ["x0", "x1"],
            "attributes": {},
            "fingerprint": {},
        },
        "rows": {"total": n_rows, "read": n_rows, "dropped": 0},
        "mean_log_likelihood": -3.14159265358979,
        "log_likelihood": -3.14159265358979 * n_rows,
        "entropy": 12.5,
        "n_parameters": k * (d + 1) * (d + 2) // 2 - 1,
        "criteria": {"aic": 1234567.891, "bic": 1234999.123, "icl": 1235024.123},
        "n_iter": 12,
        "restarts": [
            {
                "restart": restart,
                "outcome": "CONVERGED",
                "n_iter": 12,
                "mean_log_likelihood": -3.14159265358979 - 0.1 * restart,
                "selected": restart == 0,
                "message": "",
            }
            for restart in range(3)
        ],
        "component_log": [],
        "warnings": [],
        "outputs": {},
        "anomaly": None,
        "timings": {"summary": 1.25, "initialise": 0.75, "em": 61.5, "outputs": 3.125},
        "environment": {"driver": {"python": "3.11.2", "numpy": "2.0.0"}, "workers": []},
        "seed": 0,
    }
    return {key: value for key, value in (found | changes).items() if value is not None}


def metrics(n_restarts: int = 3, n_iter: int = 12) -> str:
    """metrics.csv of restarts that converge."""
    lines = ["iteration,restart,mean_log_likelihood,change,kernel,dtype,seconds,rows"]
    for restart in range(n_restarts):
        for i in range(1, n_iter + 1):
            level = -3.0 - 0.1 * restart - 2.0 * 0.5**i
            lines.append(f"{i},{restart},{level!r},{2.0 * 0.5**i!r},product,float64,0.01,1000")
    return "\n".join(lines) + "\n"


def draw(model: MixtureModel, n: int, seed: int = 1) -> np.ndarray:
    """Rows of a mixture (n, d) in shuffled order."""
    rng = np.random.default_rng(seed)
    rows, _ = model.sample(n, rng)
    return rows[rng.permutation(n)]


def write_outputs(directory: Path, columns: dict[str, np.ndarray]) -> dict[str, Any]:
    """Write outputs.zarr and return what run.json says of it."""
    path = str(directory / "outputs.zarr")
    create_outputs(path, {})
    entries = {}
    for name, column in columns.items():
        dtype, fill = DTYPES[name]
        values = np.asarray(column, dtype=dtype)
        create_array(
            path,
            name,
            shape=values.shape,
            chunks=(CHUNK_ROWS,),
            dtype=dtype,
            dimension_names=("row",),
            fill_value=fill,
        )
        OutputArray(path, name).write(0, values)
        entries[name] = {
            "dtype": dtype,
            "shape": list(values.shape),
            "chunk_rows": CHUNK_ROWS,
            "bytes": values.nbytes,
            "sha256": hashlib.sha256(values.tobytes()).hexdigest(),
        }
    return entries


def sample_of(model: MixtureModel, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What sample.npz holds."""
    posteriors = model.predict_proba(rows)
    labels = posteriors.argmax(axis=1)
    k = model.n_components
    overlap = np.full((k, k), np.nan)
    for j in np.unique(labels):
        overlap[j] = posteriors[labels == j].mean(axis=0)
    return {"rows": rows, "overlap": overlap}


def run_directory(
    directory: Path,
    model: MixtureModel,
    n_rows: int = 5000,
    n_sample: int = 2000,
    **changes: Any,
) -> Path:
    """A whole run directory with every optional part."""
    directory.mkdir(parents=True, exist_ok=True)
    save_model(model, directory / "model")
    rows = draw(model, n_rows)
    posteriors = model.predict_proba(rows)
    log_density = model.score_samples(rows)
    threshold = float(np.quantile(log_density, 0.01))
    outputs = write_outputs(
        directory,
        {
            "labels": posteriors.argmax(axis=1),
            "max_posterior": posteriors.max(axis=1),
            "log_density": log_density,
            "anomaly": log_density < threshold,
        },
    )
    write_arrays(directory / "sample.npz", **sample_of(model, rows[:n_sample]))
    (directory / "metrics.csv").write_text(metrics())
    anomaly = {"quantile": 0.01, "threshold": threshold, "n_anomalies": n_rows // 100}
    given = {"outputs": outputs, "anomaly": anomaly} | changes
    write_json(directory / "run.json", facts(model, n_rows, **given))
    return directory
