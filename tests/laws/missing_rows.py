"""Rows with missing values, and passes over them."""

from __future__ import annotations

from typing import Any

import numpy as np
from mixtures import Array

from dgmm.data.standardisation import Standardisation
from dgmm.fitting.em.data_pass import StandardisedRows
from dgmm.mixture.backends import compiled_backend, get
from dgmm.mixture.kernels import Guard, Workspace
from dgmm.mixture.marginal import MarginalKernel, PreparedParts, marginal_e_step
from dgmm.mixture.parameters import Parameters
from dgmm.mixture.sufficient_statistics import Statistics

BACKENDS = ["numpy", *(["numba"] if compiled_backend() is not None else [])]
KERNELS = {
    "product": lambda p: MarginalKernel.of(p, Guard(1.0)),
    "centred": lambda p: MarginalKernel.of(p, Guard(float("inf"))),
}


def with_gaps(Y: Array, share: float, seed: int = 0) -> Array:
    """Rows Y (d, n) that lack that share of their values at random; one of each row stays."""
    d, n = Y.shape
    rng = np.random.default_rng([seed, 99])
    gone = rng.uniform(size=Y.shape) < share
    gone[rng.integers(d, size=n), np.arange(n)] = False
    return np.where(gone, np.nan, Y)


def one_pass(
    kernel: MarginalKernel,
    Y: Array,
    backend: str = "numpy",
    weights: Array | None = None,
    units: Standardisation | None = None,
) -> Statistics:
    """Statistics of one block of rows Y (d, n)."""
    workspace = Workspace(get(backend))
    identity = Standardisation.identity(len(Y)) if units is None else units

    def columns(rows: Any, features: Any) -> StandardisedRows:
        own = identity if features is None else identity.of_features(features)
        return StandardisedRows.of(rows, own, kernel.dtype, workspace)

    rows = np.ascontiguousarray(Y.T)
    return marginal_e_step([kernel], rows, weights, columns, workspace, PreparedParts())[0]


def stepped(p: Parameters, Y: Array, kernel: Any, **options: Any) -> Statistics:
    """The same under a kernel of parameters."""
    return one_pass(kernel(p), Y, **options)
