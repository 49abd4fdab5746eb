"""The rows that are clustered, where both sides start, and a judge of what they found.

The judge is NumPy alone and float64: it tells the mean log-likelihood of any side's parameters, so
that nobody's own sums, or precision, decide whether two sides agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
#: ½ log |Λ| − ½ (x − μ)ᵀΛ(x − μ) of rows (b, d), as (b, k).
Exponents: TypeAlias = Callable[[Array], Array]

_JUDGED_AT_A_TIME = 4 * 2**20  # numbers that a tile of rows becomes, all components


@dataclass(frozen=True, eq=False)
class Mixture:
    """Weights (k,), means (k, d) and covariances of the family's shape, in the data's units."""

    covariance_type: str
    weights: Array
    means: Array
    covariances: Array

    def save(self, path: Path) -> Path:
        """Write the arrays as npz."""
        np.savez(path, weights=self.weights, means=self.means, covariances=self.covariances)
        return path

    @classmethod
    def load(cls, path: Path, covariance_type: str) -> Mixture:
        """Read what `save`, or a peer, has written."""
        with np.load(path, allow_pickle=False) as arrays:
            parts = (arrays[name] for name in ("weights", "means", "covariances"))
            return cls(covariance_type, *(np.asarray(part, np.float64) for part in parts))

    @property
    def precisions(self) -> Array:
        """Inverses of the covariances, of the family's shape."""
        if self.covariance_type in {"full", "tied"}:
            return np.linalg.inv(self.covariances)
        return 1.0 / self.covariances

    def mean_log_likelihood(self, X: NDArray[Any]) -> float:
        """Nats per row, in float64."""
        k, d = self.means.shape
        is_along_axes = self.covariance_type in {"diag", "spherical"}
        exponents = self._along_axes() if is_along_axes else self._by_factors()
        constants = np.log(self.weights) - 0.5 * d * np.log(2.0 * np.pi)
        rows = max(_JUDGED_AT_A_TIME // (k if is_along_axes else k * d), 16)
        total = 0.0
        for begin in range(0, len(X), rows):
            Y = X[begin : begin + rows].astype(np.float64)
            total += _log_sum_exp(constants + exponents(Y)).sum()
        return float(total / len(X))

    def _along_axes(self) -> Exponents:
        """By two products: rows lie near the origin, where differences of squares keep digits."""
        k, d = self.means.shape
        precisions = np.broadcast_to(self.precisions.reshape(k, -1), (k, d))
        scaled = self.means * precisions
        constants = 0.5 * (np.log(precisions) - self.means * scaled).sum(axis=1)
        return lambda Y: constants + Y @ scaled.T - 0.5 * (Y * Y) @ precisions.T

    def _by_factors(self) -> Exponents:
        """By rows that each component's factor makes white: Uᵀ(x − μ)."""
        k, d = self.means.shape
        full = self.covariances if self.covariance_type == "full" else self.covariances[None]
        factors = np.linalg.inv(np.linalg.cholesky(full)).transpose(0, 2, 1)
        factors = np.broadcast_to(factors, (k, d, d))
        whitened_means = np.einsum("kd,kde->ke", self.means, factors)
        log_det = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
        side_by_side = factors.transpose(1, 0, 2).reshape(d, k * d)

        def exponents(Y: Array) -> Array:
            Z = (Y @ side_by_side).reshape(len(Y), k, d) - whitened_means
            found: Array = log_det - 0.5 * np.einsum("bkd,bkd->bk", Z, Z)
            return found

        return exponents


def _log_sum_exp(L: Array) -> Array:
    top = L.max(axis=1)
    log_sums: Array = top + np.log(np.exp(L - top[:, None]).sum(axis=1))
    return log_sums


def clustered_rows(n: int, d: int, k: int, seed: int = 0) -> tuple[Array, Array]:
    """Rows (n, d) about k centres (k, d); both are standard normal, so that clusters overlap."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, d))
    X = rng.normal(size=(n, d))
    X += centres[rng.integers(k, size=n)]
    return X, centres


def overlapping_rows(n: int, d: int, k: int, seed: int, *, tied: bool) -> Array:
    """Rows (n, d) of k clusters with covariances of their own (or one), close to one another.

    Covariances are Wishart with 2d degrees of freedom, mean I. Means are drawn so that two of them
    are 1.4 standard deviations apart in each direction: no cluster stands alone, and EM takes tens
    of iterations.
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, d))
    factors = np.linalg.cholesky(_wishart(rng, 1 if tied else k, d))
    labels = rng.choice(k, size=n, p=rng.dirichlet(np.full(k, 5.0)))
    X = rng.normal(size=(n, d))
    for j in range(k):
        members = np.flatnonzero(labels == j)
        X[members] = X[members] @ factors[0 if tied else j].T + centres[j]
    return X


def _wishart(rng: np.random.Generator, k: int, d: int) -> Array:
    G = rng.normal(size=(k, d, 2 * d))
    S: Array = G @ G.transpose(0, 2, 1) / (2 * d)
    return S


def start_near(centres: Array, covariance_type: str, seed: int = 1) -> Mixture:
    """Equal weights, means 0.3 sd beside the centres, spheres of variance 1.5."""
    k, d = centres.shape
    means = centres + 0.3 * np.random.default_rng(seed).normal(size=(k, d))
    covariances = {
        "full": np.repeat(1.5 * np.eye(d)[None], k, axis=0),
        "tied": 1.5 * np.eye(d),
        "diag": np.full((k, d), 1.5),
        "spherical": np.full(k, 1.5),
    }[covariance_type]
    return Mixture(covariance_type, np.full(k, 1.0 / k), means, covariances)
