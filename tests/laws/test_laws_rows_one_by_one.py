"""Rows taken one by one where compiled code can: only where that loses no digits that matter."""

from __future__ import annotations

import mixtures
import numpy as np
import pytest
from missing_rows import BACKENDS, KERNELS, one_pass, with_gaps
from scipy.stats import multivariate_normal

from dgmm import GaussianMixture
from dgmm.mixture.backends import get
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.parameters import Parameters

pytestmark = pytest.mark.skipif("numba" not in BACKENDS, reason="Numba is optional")


@pytest.mark.filterwarnings("ignore")
def test_em_does_not_fall_where_features_are_nearly_the_same() -> None:
    """x_j = t + 1e-6 noise: one by one, the mean log-likelihood fell by 1.7e-4 in an iteration."""
    rng, d = np.random.default_rng(3), 5
    t, cluster = rng.normal(size=(600, 1)), rng.integers(2, size=600)
    X = np.where(cluster[:, None] == 0, t, t + 6.0) + 1e-6 * rng.normal(size=(600, d))
    gone = rng.random(X.shape) < 0.4
    gone[gone.all(axis=1)] = False
    X[gone] = np.nan
    precision = np.linalg.inv(np.ones((d, d)) + 1e-12 * np.eye(d))
    means = np.repeat([[0.0], [6.0]], d, axis=1)
    options = {"missing": "marginalise", "reg_covar": 0.0, "acceleration": "none", "tol": 1e-9}
    given = {"weights_init": [0.5, 0.5], "precisions_init": np.stack([precision] * 2)}
    found = [
        GaussianMixture(2, backend=name, max_iter=20, means_init=means, **options, **given).fit(X)
        for name in ("numpy", "numba")
    ]
    plain, compiled = (np.array(model.lower_bounds_) for model in found)
    assert np.diff(compiled).min() > -1e-5
    np.testing.assert_allclose(compiled, plain, atol=2e-5)


@pytest.mark.parametrize(("condition", "is_taken"), [(1e6, True), (1e10, False)])
def test_rows_of_narrow_components_go_by_patterns(monkeypatch, condition, is_taken) -> None:
    scene, taken = mixtures.scene(FAMILIES["full"], 300, 2, 5, condition=condition), []
    backend = type(get("numba"))
    expect = backend.expect_missing
    monkeypatch.setattr(
        backend, "expect_missing", lambda self, *given: taken.append(1) or expect(self, *given)
    )
    kernel = KERNELS["product"](scene.parameters)
    one_pass(kernel, with_gaps(scene.Y, 0.3), "numba")
    assert bool(taken) == is_taken == kernel.takes_rows
    assert (True in kernel.sharing) == is_taken  # candidates that differ in it are not taken alike


def test_many_missing_features_of_great_precision_do_not_underflow(monkeypatch) -> None:
    """119 features of standard deviation 1e-4: the product of the pivots' roots is 1e-476."""
    d = 120
    monkeypatch.setattr("dgmm.mixture.marginal.patterns._FEWEST_ROWS", 1e9)
    p = Parameters.of(FAMILIES["full"], np.ones(1), np.zeros((1, d)), 1e-8 * np.eye(d)[None])
    Y = np.full((d, 5), np.nan)
    Y[0] = 1e-4 * np.arange(5)
    Y[1, 0] = 0.0  # of another pattern
    expected = multivariate_normal(0.0, 1e-8).logpdf(Y[0]).sum()
    expected += float(multivariate_normal(0.0, 1e-8).logpdf(0.0))
    found = one_pass(KERNELS["centred"](p), Y, "numba")
    assert found.log_likelihood == pytest.approx(expected, rel=1e-12)
