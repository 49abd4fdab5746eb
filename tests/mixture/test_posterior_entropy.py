"""The entropy of posteriors from the sums of an E-step is that of the posteriors themselves."""

from __future__ import annotations

import mixtures
import numpy as np
import pytest
from scipy.special import xlogy

from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.kernels import CentredKernel, Kernel, ProductKernel, Workspace, e_step
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.parameters import Parameters
from dgmm.mixture.posterior_entropy import posterior_entropy

N, K, D = 700, 4, 3


def _kernel(name: str, parameters: Parameters) -> Kernel:
    if name == "centred":
        return CentredKernel.of(parameters)
    return ProductKernel.of(parameters, with_scatter=True)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("kernel", ["product", "centred"])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_sums_of_an_e_step_give_the_entropy(family: str, kernel: str, is_weighted: bool) -> None:
    rng = np.random.default_rng(3)
    parameters = mixtures.mixture(FAMILIES[family], K, D, rng, separation=1.5)
    Y = rng.normal(size=(D, N)) * 2.0
    weights = rng.uniform(0.5, 3.0, N) if is_weighted else None
    own = _kernel(kernel, parameters)
    statistics = e_step([own], Y, Workspace(), weights)[0]

    R = np.concatenate([r for _, _, r in Scorer(parameters).score(Y, Workspace())], axis=1)
    w = np.ones(N) if weights is None else weights
    plain = float(-(w * xlogy(R, R).sum(axis=0)).sum())
    found = posterior_entropy(parameters, statistics, is_complete=own.is_complete)

    assert plain > 0.05 * N
    assert found is not None
    # Both are differences of sums of n log densities of some tens of nats.
    assert abs(found - plain) <= 1e3 * N * np.finfo(float).eps * abs(statistics.log_likelihood) / N


def test_a_component_of_weight_0_adds_nothing() -> None:
    rng = np.random.default_rng(1)
    p = mixtures.mixture(FAMILIES["diag"], 3, D, rng, separation=1.5)
    weights = np.array([0.5, 0.5, 0.0])
    with_empty = Parameters(p.family, weights, p.means, p.covariances, p.precisions_cholesky)
    Y = rng.normal(size=(D, 200))
    kernel = ProductKernel.of(with_empty)
    statistics = e_step([kernel], Y, Workspace())[0]
    two = Parameters.of(p.family, weights[:2], p.means[:2], p.covariances[:2])
    expected = posterior_entropy(
        two, e_step([ProductKernel.of(two)], Y, Workspace())[0], is_complete=True
    )
    found = posterior_entropy(with_empty, statistics, is_complete=True)
    assert found is not None
    assert expected is not None
    assert abs(found - expected) <= 1e-9 * abs(statistics.log_likelihood)
