"""Diagonal and spherical mixtures of very many features: whether a fit is linear in them.

A fit and a prediction run in a process of their own, on rows in memory, by NumPy (loading compiled
code takes more memory than the rows). Time is the processors', all threads together; memory is the
process's peak beyond the one before the fit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median
from typing import Any

from benchmarks.measuring import PROJECT
from benchmarks.results import Results

FAMILIES = ("diag", "spherical")
FEATURES = (2_000, 20_000)
_ROWS, _TRIAL_ROWS = 400, 40
_COMPONENTS, _ITERATIONS, _REPEATS = 2, 5, 1
#: Ten times the features may take so many times ten; rows of few features stay in a cache.
_SLACK = {"seconds": 2.0, "bytes": 1.3}

_FIT = """
import json, resource, sys, time, warnings
import numpy as np
from dgmm import GaussianMixture
family, n, d, k, iterations = sys.argv[1], *map(int, sys.argv[2:])
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X = rng.standard_normal((n, d), np.float32)
X += 3.0 * rng.integers(0, k, (n, 1))
def mixture():
    return GaussianMixture(
        k, covariance_type=family, max_iter=iterations, tol=0.0, random_state=0, backend="numpy"
    )
mixture().fit(X[:, :8])
def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, begun = peak(), time.process_time()
mixture().fit(X).predict(X)
print(json.dumps({"seconds": time.process_time() - begun, "bytes": peak() - before}))
"""


def run(results: Results) -> None:
    """Time and memory of both sizes, and the ratio of one to the other."""
    n_rows = _TRIAL_ROWS if results.is_trial else _ROWS
    for family in FAMILIES:
        few, many = (_fit(results, family, n_rows, d) for d in FEATURES)
        ratio = FEATURES[1] / FEATURES[0]
        for quantity in ("seconds", "bytes"):
            name = {"seconds": "time", "bytes": "peak memory"}[quantity]
            results.measured(
                family,
                f"{name}, {FEATURES[1]:,} over {FEATURES[0]:,} features",
                many[quantity] / few[quantity],
                "×",
                goal=_SLACK[quantity] * ratio,
                at_least=False,
            )


def _fit(results: Results, family: str, n_rows: int, d: int) -> dict[str, float]:
    """The medians of some fits; each in a process of its own."""
    found = [measure(family, n_rows, d) for _ in range(1 if results.is_trial else _REPEATS)]
    medians = {name: median(each[name] for each in found) for name in found[0]}
    what = f"{n_rows:,} × {d:,}, k = {_COMPONENTS}"
    rows = n_rows * d * 4
    results.measured(family, what, medians["seconds"], "s", detail={"seconds": found})
    results.measured(
        family,
        what,
        medians["bytes"] / 2**20,
        "MiB",
        note=f"{medians['bytes'] / rows:.1f} × the rows; d × d is {8 * d * d / 2**20:,.0f} MiB",
    )
    return medians


def measure(family: str, n_rows: int, d: int) -> dict[str, Any]:
    """Seconds of one fit and prediction, and the bytes by which the process's peak grew."""
    words = [family, *map(str, (n_rows, d, _COMPONENTS, _ITERATIONS))]
    done = subprocess.run(
        [sys.executable, "-c", _FIT, *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
