"""AIC, BIC and ICL of a job are those of its rows and its model, computed here by SciPy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from clusters import gaussian_clusters, job, write_zarr
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import dgmm
from dgmm.events import SilentListener
from dgmm.job import run_job


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_criteria_of_a_job_are_those_of_its_posteriors(tmp_path: Path, backend: str) -> None:
    if backend == "numba":
        pytest.importorskip("numba", reason="Numba is not installed")
    X, _ = gaussian_clusters(600, 2, 3, spread=1.5)
    stored = write_zarr(tmp_path / "rows.zarr", X)
    run_job(job(stored, tmp_path / "run", compute={"backend": backend}), SilentListener())
    record = json.loads((tmp_path / "run/run.json").read_text())
    model = dgmm.load_model(tmp_path / "run")
    log_joint = np.stack(
        [
            np.log(w) + multivariate_normal(mean, model.component_covariance(j)).logpdf(X)
            for j, (w, mean) in enumerate(zip(model.weights, model.means, strict=True))
        ]
    )
    log_density = logsumexp(log_joint, axis=0)
    posterior = np.exp(log_joint - log_density)
    entropy = -float((posterior * (log_joint - log_density)).sum())
    assert entropy > 50.0  # clusters overlap: a wrong share of it shows
    log_likelihood, p = float(log_density.sum()), 2 + 3 * 2 + 3 * 3
    expected = {
        "aic": 2 * p - 2 * log_likelihood,
        "bic": p * np.log(len(X)) - 2 * log_likelihood,
        "icl": p * np.log(len(X)) - 2 * log_likelihood + 2 * entropy,
    }
    assert record["n_parameters"] == p
    # Rounding of densities, summed over the rows.
    allowed = len(X) * 1e3 * np.finfo(np.float64).eps * abs(log_density).max()
    assert abs(record["entropy"] - entropy) <= allowed
    for name, value in expected.items():
        assert abs(record["criteria"][name] - value) <= 2 * allowed, name
