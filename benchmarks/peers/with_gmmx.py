"""gmmx, on JAX; float32, full and diag. Runs in its environment."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from gmmx import EMFitter, GaussianMixtureModelJax
from serving import clocked, serve


class Gmmx:
    """One iteration is one compiled fit with `max_iter=1`."""

    packages = ("gmmx", "jax")

    def __init__(self) -> None:
        self._fitter = EMFitter(max_iter=1, tol=0.0, reg_covar=0.0)
        self.n_iterations = 0

    def prepare(self, X: Any, start: dict[str, Any], covariance_type: str) -> None:
        """Everything as float32: gmmx refuses float64."""
        if X.dtype != np.float32:
            raise ValueError("gmmx works in float32")
        self._type, self.n_iterations = covariance_type, 0
        self._X = jax.numpy.asarray(X)
        self._model = GaussianMixtureModelJax.from_squeezed(
            means=start["means"].astype(np.float32),
            covariances=start["covariances"].astype(np.float32),
            weights=start["weights"].astype(np.float32),
            covariance_type=covariance_type,
        )

    def step(self, times: int) -> list[float]:
        """One iteration."""
        taken = []
        for _ in range(times):
            spent, result = clocked(self._one)
            taken.append(spent)
        self._model = result.gmm
        self.n_iterations += 1
        return taken

    def _one(self) -> Any:
        return jax.block_until_ready(self._fitter.fit(self._X, self._model))

    def mixture(self) -> dict[str, Any]:
        """Without the extra axes."""
        return {
            "weights": self._model.weights_numpy,
            "means": self._model.means_numpy,
            "covariances": self._model.covariances.values_numpy,
        }

    def kernels(self) -> str:
        """XLA brings its own."""
        return f"XLA on {jax.devices()[0].platform}"


if __name__ == "__main__":
    serve(Gmmx())
