"""Compiled conditioning, lifts and scatters are what the families and NumPy make of the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dgmm.mixture.covariance import Moments, family_named
from dgmm.mixture.covariance.marginals import Conditional
from dgmm.mixture.parameters import Parameters

compiled = pytest.importorskip("dgmm.mixture.backends.numba_backend", reason="Numba is optional")

Array = NDArray[np.float64]
BACKEND = compiled.NumbaBackend()
SHAPES = [(1, 3, 1), (2, 1, 0), (8, 3, 2), (27, 4, 27), (40, 2, 11)]  # d, k, observed


def _parameters(name: str, d: int, k: int) -> Parameters:
    rng = np.random.default_rng([d, k])
    roots = rng.normal(size=(k, d, 2 * d))
    covariances = roots @ np.swapaxes(roots, 1, 2) / (2 * d)
    covariances = covariances[0] if name == "tied" else covariances
    means = rng.normal(size=(k, d))
    return Parameters.of(family_named(name), np.full(k, 1 / k), means, covariances)


def _both(p: Parameters, q: int) -> tuple[Parameters, Conditional, Array, Conditional]:
    """By the family, and factors and conditional by compiled code."""
    d, k = p.n_features, p.n_components
    order = np.random.default_rng(q).permutation(d)
    o, m = np.sort(order[: max(q, 1)]), np.sort(order[max(q, 1) :])
    known = p.marginal(o)
    given = p.family.conditional(p.covariances, known.precisions_cholesky, k, o, m)
    U, lift = BACKEND.condition(p.covariances.reshape(-1, d, d), o, m)
    own = Conditional.of_lift(lift, p.covariances, k)
    return known, given, U.reshape(known.precisions_cholesky.shape), own


@pytest.mark.parametrize("name", ["full", "tied"])
@pytest.mark.parametrize(("d", "k", "q"), SHAPES)
def test_what_is_missing_is_conditioned_alike(name: str, d: int, k: int, q: int) -> None:
    known, given, U, own = _both(_parameters(name, d, k), q)
    scale = np.abs(known.precisions_cholesky).max()
    np.testing.assert_allclose(U, known.precisions_cholesky, rtol=1e-10, atol=1e-12 * scale)
    assert (np.tril(U, -1) == 0).all()
    for expected, found in (
        (given.regression, own.regression),
        (given.covariance, own.covariance),
        (given.variances, own.variances),
    ):
        assert expected is not None
        assert found is not None
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-11)
    np.testing.assert_array_equal(own.places, given.places)


def test_a_singular_covariance_of_what_is_observed_is_nan_and_others_are_not() -> None:
    p = _parameters("full", 4, 3)
    covariances = p.covariances.copy()
    covariances[1, :, 1] = covariances[1, :, 0]
    covariances[1, 1, :] = covariances[1, 0, :]
    U, lift = BACKEND.condition(covariances, np.array([0, 1, 3]), np.array([2]))
    for found in (U, lift.regression, lift.covariance):
        assert np.isnan(found[1]).all()
        assert np.isfinite(found[[0, 2]]).all()


@pytest.mark.parametrize("about_means", [True, False])
@pytest.mark.parametrize("name", ["full", "tied"])
@pytest.mark.parametrize(("d", "k", "q"), SHAPES)
def test_moments_are_lifted_alike_and_added(
    name: str, d: int, k: int, q: int, about_means: bool
) -> None:
    p = _parameters(name, d, k)
    known, given, _, _ = _both(p, q)
    family, rng, n = p.family, np.random.default_rng(5), known.n_features
    Y, R = rng.normal(size=(n, 30)), rng.dirichlet(np.ones(k), size=30).T
    second = np.stack([family.second_moment(Y, r) for r in R])
    scatter = family.scatter(Y) if name == "tied" else None
    moments = Moments(R.sum(axis=1), R @ Y.T, second, scatter)
    expected = family.lifted(moments, given, None if about_means else known.means)
    _, lift = BACKEND.condition(p.covariances.reshape(-1, d, d), given.observed, given.missing)
    if not about_means:
        lift = replace(lift, points=np.ascontiguousarray(known.means))
    out, total = np.ones((k, family.width(d))), np.ones(family.scatter_width(d))
    BACKEND.lift(lift, (moments.sums, scatter), (out, total if scatter is not None else None))
    np.testing.assert_allclose(out - 1.0, expected.sums, rtol=1e-9, atol=1e-9)
    if expected.scatter is not None:
        np.testing.assert_allclose(total - 1.0, expected.scatter, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("n", "d"), [(1, 1), (95, 8), (97, 13), (400, 27)])
def test_a_scatter_is_that_of_standardised_rows(n: int, d: int, dtype: type) -> None:
    rng = np.random.default_rng(n)
    rows = rng.normal(size=(n, d)).astype(dtype)
    factor, offset = np.full(d, 2.0), rng.normal(size=d)
    found = np.full((d, d), np.nan)
    assert BACKEND.scatter((rows, factor, offset), found)
    Y = (rows * factor - offset).T
    np.testing.assert_allclose(found, Y @ Y.T, rtol=1e-12, atol=1e-12 * n)


def test_a_scatter_in_a_narrow_type_is_left_to_tiles() -> None:
    narrow = np.ones((3, 2), np.float32), np.ones(2, np.float32), np.zeros(2, np.float32)
    assert not BACKEND.scatter(narrow, np.empty((2, 2)))
