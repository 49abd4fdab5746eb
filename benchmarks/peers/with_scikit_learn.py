"""scikit-learn: an iteration is its own `_e_step` and `_m_step`. Runs in its environment."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from serving import clocked, numpy_kernels, serve
from sklearn.mixture import GaussianMixture
from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

_STATE = ("weights_", "means_", "covariances_", "precisions_cholesky_")


class ScikitLearn:
    """The estimator, held up after every iteration."""

    packages = ("scikit-learn", "scipy")

    def __init__(self) -> None:
        self.n_iterations = 0

    def prepare(self, X: Any, start: dict[str, Any], covariance_type: str) -> None:
        """Put the start where `fit` would have put its own, in the dtype of the rows."""
        self._X, self.n_iterations = X, 0
        k = len(start["weights"])
        self._model = GaussianMixture(k, covariance_type=covariance_type, reg_covar=0.0)
        covariances = start["covariances"].astype(X.dtype)
        self._model.weights_ = start["weights"].astype(X.dtype)
        self._model.means_ = start["means"].astype(X.dtype)
        self._model.covariances_ = covariances
        self._model.precisions_cholesky_ = _compute_precision_cholesky(covariances, covariance_type)

    def step(self, times: int) -> list[float]:
        """One iteration; the attributes it replaces are put back before it is done again."""
        before = {name: getattr(self._model, name) for name in _STATE}
        taken = []
        for _ in range(times):
            vars(self._model).update(before)
            taken.append(clocked(self._one)[0])
        self.n_iterations += 1
        return taken

    def _one(self) -> None:
        _, log_resp = self._model._e_step(self._X)
        self._model._m_step(self._X, log_resp)

    def mixture(self) -> dict[str, Any]:
        """The attributes of the estimator."""
        return {
            name: getattr(self._model, f"{name}_") for name in ("weights", "means", "covariances")
        }

    def kernels(self) -> str:
        """NumPy's: SciPy's own BLAS does no more than the triangular factors."""
        return numpy_kernels()

    def fit(self, X: Any, *, n_components: int, covariance_type: str, seed: int) -> dict[str, Any]:
        """A whole fit with its defaults: seconds, and the mean log-likelihood it ends with."""
        model = GaussianMixture(n_components, covariance_type=covariance_type, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            taken, _ = clocked(lambda: model.fit(X))
        return {
            "seconds": taken,
            "mean_log_likelihood": float(np.mean(model.score_samples(X.astype(np.float64)))),
            "n_iterations": int(model.n_iter_),
            "is_converged": bool(model.converged_),
        }


if __name__ == "__main__":
    serve(ScikitLearn())
