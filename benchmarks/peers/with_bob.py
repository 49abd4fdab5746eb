"""bob.learn.em: diag, float64; two Dask tasks, as its fit has one a chunk. Runs on its own."""

from __future__ import annotations

from typing import Any

import dask
import numpy as np
from bob.learn.em import GMMMachine
from bob.learn.em.gmm import e_step, m_step
from serving import N_THREADS, clocked, numpy_kernels, serve


class Bob:
    """One iteration is `e_step` of two chunks on two threads, then `m_step`."""

    packages = ("bob.learn.em", "dask")

    def __init__(self) -> None:
        self.n_iterations = 0

    def prepare(self, X: Any, start: dict[str, Any], covariance_type: str) -> None:
        """A machine that updates all its parameters."""
        if covariance_type != "diag" or X.dtype != np.float64:
            raise ValueError("bob.learn.em has diagonal covariances, in float64")
        self._chunks, self.n_iterations = np.array_split(X, N_THREADS), 0
        self._machine = GMMMachine(
            len(start["weights"]),
            weights=start["weights"],
            update_means=True,
            update_variances=True,
            update_weights=True,
        )
        self._machine.means, self._machine.variances = start["means"], start["covariances"]

    def step(self, times: int) -> list[float]:
        """One iteration."""
        before = self.mixture()
        taken = []
        for _ in range(times):
            self._machine.weights, self._machine.means = before["weights"], before["means"]
            self._machine.variances = before["covariances"]
            taken.append(clocked(self._one)[0])
        self.n_iterations += 1
        return taken

    def _one(self) -> None:
        tasks = [dask.delayed(e_step)(chunk, self._machine) for chunk in self._chunks]
        statistics = dask.compute(*tasks, scheduler="threads", num_workers=N_THREADS)
        m_step(statistics, self._machine)

    def mixture(self) -> dict[str, Any]:
        """Copies: the machine may be changed in place."""
        m = self._machine
        return {
            "weights": np.array(m.weights),
            "means": np.array(m.means),
            "covariances": np.array(m.variances),
        }

    def kernels(self) -> str:
        """NumPy's."""
        return numpy_kernels()


if __name__ == "__main__":
    serve(Bob())
