"""oneDAL's EM, which is `daal4py.em_gmm` in scikit-learn-intelex. Runs in its environment."""

from __future__ import annotations

from typing import Any

import daal4py
import numpy as np
from serving import N_THREADS, clocked, serve

_STORAGE = {"full": "full", "diag": "diagonal"}


class OneDal:
    """One iteration is one call with `maxIterations=1`, from arrays to arrays."""

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
        k = len(self._state[1])
        taken = []
        for _ in range(times):
            algorithm = daal4py.em_gmm(
                k,
                maxIterations=1,
                accuracyThreshold=0.0,
                covarianceStorage=_STORAGE[self._type],
            )
            spent, result = clocked(lambda: algorithm.compute(self._X, *self._state))  # noqa: B023
            taken.append(spent)
        self._state = self._tables(result.weights, result.means, result.covariances)
        self.n_iterations += 1
        return taken

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
