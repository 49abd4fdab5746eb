"""Log densities are those of scipy.stats.multivariate_normal."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.mixture.kernels import CentredKernel, Kernel, ProductKernel, Workspace
from dgmm.mixture.kernels.guard import TOLERANCE
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.kernels.tiles import InMemory
from dgmm.mixture.parameters import Parameters

Array = NDArray[np.float64]
AGREEMENT = 1e-9


def _mixture(family: Family, k: int, d: int) -> Parameters:
    rng = np.random.default_rng([k, d])
    roots = rng.normal(size=(k, d, d)) / np.sqrt(d) + np.eye(d)
    full = roots @ np.swapaxes(roots, 1, 2)
    covariances = {
        "full": full,
        "tied": full.mean(axis=0),
        "diag": np.ascontiguousarray(np.diagonal(full, axis1=1, axis2=2)),
        "spherical": np.trace(full, axis1=1, axis2=2) / d,
        "tied_diag": np.diagonal(full.mean(axis=0)).copy(),
        "tied_spherical": np.trace(full.mean(axis=0)).reshape(1) / d,
    }[family.name]
    return Parameters.of(family, rng.dirichlet(np.ones(k)), rng.normal(size=(k, d)), covariances)


def _expected(p: Parameters, Y: Array) -> Array:
    return np.stack(
        [
            np.log(p.weights[j])
            + multivariate_normal(
                p.means[j], p.family.full_covariance(p.covariances, j, p.n_features)
            ).logpdf(Y.T)
            for j in range(p.n_components)
        ]
    )


def _relative(found: Array, expected: Array) -> float:
    return float((np.abs(found - expected) / np.maximum(1.0, np.abs(expected))).max())


@pytest.mark.parametrize(("k", "d"), [(1, 2), (3, 2), (4, 8), (5, 32), (2, 100)])
@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
def test_log_densities_are_those_of_scipy(family: Family, k: int, d: int) -> None:
    p = _mixture(family, k, d)
    Y = 3.0 * np.random.default_rng(0).normal(size=(d, 400))
    expected = _expected(p, Y)
    kernels: tuple[Kernel, ...] = (ProductKernel.of(p), CentredKernel.of(p))
    for kernel in kernels:
        workspace = Workspace()
        L = kernel.weighted_log_prob(kernel.prepare(InMemory(Y), slice(None), workspace), workspace)
        assert _relative(L + kernel.common_log_prob(Y), expected) <= AGREEMENT
    mixture = np.logaddexp.reduce(expected, axis=0)
    assert _relative(Scorer(p).log_density(Y), mixture) <= AGREEMENT


@pytest.mark.parametrize("offset", [1e4, 1e6])
@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
def test_log_densities_far_from_the_origin_are_those_of_scipy(
    family: Family, offset: float
) -> None:
    """The scorer takes the products up to what the guard tolerates, then the centred kernel."""
    p = _mixture(family, 3, 4)
    far = Parameters.of(family, p.weights, p.means + offset, p.covariances)
    Y = offset + 3.0 * np.random.default_rng(0).normal(size=(4, 400))
    guarded = offset < 1e6  # above, the error of the products is more than the guard's tolerance
    allowed = TOLERANCE[np.dtype(np.float64)] if guarded else AGREEMENT
    expected = np.logaddexp.reduce(_expected(far, Y), axis=0)
    assert _relative(Scorer(far).log_density(Y), expected) <= allowed


def test_rows_in_the_far_tail_have_their_log_density() -> None:
    """Where every density underflows, the logarithm of the mixture is still right."""
    p = _mixture(FAMILIES["full"], 3, 4)
    Y = np.array([[60.0], [-80.0], [100.0], [40.0]]) * np.ones((1, 3))
    expected = np.logaddexp.reduce(_expected(p, Y), axis=0)
    assert expected.max() < -745.0
    assert _relative(Scorer(p).log_density(Y), expected) <= AGREEMENT
