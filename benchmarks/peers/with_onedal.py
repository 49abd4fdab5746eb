"""oneDAL's EM, which is `daal4py.em_gmm` in scikit-learn-intelex. Runs in its environment."""

from __future__ import annotations

from typing import Any

import daal4py
import numpy as np
from serving import N_THREADS, clocked, serve

_STORAGE = {"full": "full", "diag": "diagonal"}


class OneDal:
    """An iteration's seconds are half of what a call with three takes beyond a call with one.

    What a call does before and after its iterations, tables from arrays and back, is nobody's EM.
    """

    packages = ("scikit-learn-intelex", "daal")

    def __init__(self) -> None:
        daal4py.daalinit(N_THREADS)
        self.n_iterations = 0

    def prepare(self, X: Any, start: dict[str, Any], covariance_type: str) -> None:
        """Full covariances are k tables (d, d), diagonal ones k tables (1, d)."""
        if X.dtype != np.float64:
            raise ValueError("daal4py passes float64")
        self._X, self._type, self.n_iterations = X, covariance_type, 0
        self._state = self._tables(start["weights"], start["means"], start["covariances"])

    def _tables(self, weights: Any, means: Any, covariances: Any) -> tuple[Any, Any, Any]:
        k, d = means.shape
        each = (d, d) if self._type == "full" else (1, d)
        tables = [np.ascontiguousarray(np.reshape(c, each)) for c in covariances]
        return np.reshape(weights, (1, k)), np.ascontiguousarray(means), tables

    def step(self, times: int) -> list[float]:
        """One iteration."""
        taken = []
        for _ in range(times):
            whole, _ = self._run(3)
            first, result = self._run(1)
            taken.append(max(whole - first, 0.0) / 2.0)
        self._state = self._tables(result.weights, result.means, result.covariances)
        self.n_iterations += 1
        return taken

    def _run(self, n_iterations: int) -> tuple[float, Any]:
        """Seconds and result of one call."""
        algorithm = daal4py.em_gmm(
            len(self._state[1]),
            maxIterations=n_iterations,
            accuracyThreshold=0.0,
            covarianceStorage=_STORAGE[self._type],
        )
        return clocked(lambda: algorithm.compute(self._X, *self._state))

    def mixture(self) -> dict[str, Any]:
        """Without the extra axes."""
        weights, means, tables = self._state
        covariances = np.array(tables) if self._type == "full" else np.concatenate(tables)
        return {"weights": weights[0], "means": means, "covariances": covariances}

    def kernels(self) -> str:
        """oneMKL is linked in and does not tell its kernel."""
        return f"oneMKL inside oneDAL (kernel not told), {daal4py.num_threads()} threads"


if __name__ == "__main__":
    serve(OneDal())
