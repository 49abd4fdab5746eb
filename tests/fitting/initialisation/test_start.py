"""Every method starts EM with finite, usable parameters, the same for the same stream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dgmm.errors import ComponentError, DataError
from dgmm.fitting.initialisation import (
    INITIALISERS,
    parameters_from_labels,
    parameters_from_responsibilities,
    start,
)
from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.mixture.parameters import Parameters

Array = NDArray[np.float64]
EPS = float(np.finfo(np.float64).eps)
MAKING = tuple(
    name for name, one in INITIALISERS.items() if not one.is_given and one.draw_all is None
)

FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
METHOD = pytest.mark.parametrize("method", MAKING)


def _start(
    method: str, sample: Array, family: Family, k: int, seed: int = 0, regularisation: float = 0.0
) -> Parameters:
    added = np.full(sample.shape[1], regularisation)
    return start(method, sample, family, k, added, np.random.default_rng(seed))


def _clusters(
    n: int = 300, k: int = 4, d: int = 3, seed: int = 0
) -> tuple[Array, NDArray[np.intp]]:
    """Clusters of sd 1, 30 sd apart, and the truth."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n * k) % k)
    corners = 30.0 * np.stack([np.arange(k), np.arange(k) % 2, *[np.zeros(k)] * (d - 2)], axis=1)
    return corners[labels] + rng.normal(size=(n * k, d)), labels


def _assert_usable(p: Parameters, k: int, d: int) -> None:
    assert p.means.shape == (k, d)
    assert p.covariances.shape == p.family.covariance_shape(k, d)
    for values in (p.weights, p.means, p.covariances, p.precisions_cholesky):
        assert np.isfinite(values).all()
    assert (p.weights > 0.0).all()
    assert abs(p.weights.sum() - 1.0) <= 2 * k * EPS


@FAMILY
@METHOD
def test_a_start_is_usable(method: str, family: Family) -> None:
    sample, _ = _clusters()
    _assert_usable(_start(method, sample, family, 4), 4, 3)


@METHOD
def test_equal_streams_give_equal_bits_and_others_do_not(method: str) -> None:
    sample = np.random.default_rng(0).normal(size=(6000, 3))
    one, same, other = (_start(method, sample, FAMILIES["full"], 5, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.means, same.means)
    np.testing.assert_array_equal(one.covariances, same.covariances)
    assert not np.array_equal(one.means, other.means)


@FAMILY
@pytest.mark.parametrize("method", ["kmeans", "k-means++", "hierarchical"])
def test_clusters_that_stand_apart_are_found(method: str, family: Family) -> None:
    sample, labels = _clusters()
    found = _start(method, sample, family, 4)
    truth = parameters_from_labels(family, sample, labels, 4, np.zeros(3))
    order = found.means[:, 0].argsort()
    allowed = 16 * len(sample) * EPS
    assert np.abs(found.weights[order] - truth.weights).max() <= allowed
    assert np.abs(found.means[order] - truth.means).max() <= allowed * 100
    own = family.take(found.covariances, order)
    assert np.abs(own - truth.covariances).max() <= allowed * 100


@METHOD
@FAMILY
@settings(deadline=None, max_examples=10)
@given(
    n=st.integers(1, 60),
    k=st.integers(1, 8),
    d=st.integers(1, 6),
    distinct=st.integers(1, 10),
    seed=st.integers(0, 10**6),
    regularisation=st.sampled_from([0.0, 1e-6]),
)
def test_few_equal_and_constant_rows_start_usable(
    method: str,
    family: Family,
    n: int,
    k: int,
    d: int,
    distinct: int,
    seed: int,
    regularisation: float,
) -> None:
    rng = np.random.default_rng(seed)
    sample = rng.normal(size=(distinct, d))[rng.integers(distinct, size=n)]
    sample[:, : seed % (d + 1)] = 0.1
    if n < k:
        with pytest.raises(ComponentError, match=f"{n} rows for {k} components"):
            _start(method, sample, family, k, seed, regularisation)
        return
    _assert_usable(_start(method, sample, family, k, seed, regularisation), k, d)


@METHOD
@FAMILY
@pytest.mark.parametrize("outlier", [9.97e36, 1e308, -1e200])
def test_fill_values_leave_the_start_usable(method: str, family: Family, outlier: float) -> None:
    sample, _ = _clusters()
    sample[[5, 400, 800], 1] = outlier
    _assert_usable(_start(method, sample, family, 6), 6, 3)


@pytest.mark.parametrize("method", ["kmeans", "k-means++", "hierarchical"])
def test_repeated_fill_values_take_one_component_only(method: str) -> None:
    """The rounding of 9.97e36² must not look like a distance, nor hide those of all other rows."""
    sample, _ = _clusters()
    sample[::50] = 9.97e36
    found = _start(method, sample, FAMILIES["diag"], 5)
    far = np.abs(found.means).max(axis=1) > 1e30
    assert far.sum() == 1
    assert found.weights[far] == pytest.approx(
        len(sample[::50]) / len(sample), abs=len(sample) * EPS
    )


@METHOD
@FAMILY
def test_an_offset_moves_means_and_leaves_covariances(method: str, family: Family) -> None:
    sample = np.round(_clusters()[0] * 2**20) / 2**20
    near, far = (_start(method, rows, family, 4) for rows in (sample, sample + 2.0**26))
    # Rows move exactly; a mean far out is held to ε·2²⁶, and enters the covariance squared.
    held = 4 * EPS * 2.0**26
    assert np.abs(far.means - 2.0**26 - near.means).max() <= held
    assert np.abs(far.covariances - near.covariances).max() <= 2000.0 * held


@METHOD
def test_regularisation_is_added_to_the_variances(method: str) -> None:
    sample, family = _clusters()[0], FAMILIES["diag"]
    bare, held = (_start(method, sample, family, 4, regularisation=r) for r in (0.0, 0.25))
    np.testing.assert_allclose(held.covariances, bare.covariances + 0.25, rtol=4 * EPS)


def test_responsibilities_give_weighted_moments() -> None:
    rng, family = np.random.default_rng(3), FAMILIES["full"]
    sample = 100.0 + rng.normal(size=(700, 3))
    R = rng.dirichlet(np.ones(4), size=700).T
    found = parameters_from_responsibilities(family, sample, R, 4, np.zeros(3))
    allowed = 700 * EPS * 100.0
    for k, r in enumerate(R):
        mean = np.average(sample, axis=0, weights=r)
        covariance = np.cov(sample.T, aweights=r, bias=True)
        assert abs(found.weights[k] - r.mean()) <= allowed
        assert np.abs(found.means[k] - mean).max() <= allowed
        assert np.abs(found.covariances[k] - covariance).max() <= 10 * allowed


@FAMILY
def test_labels_are_responsibilities_of_zero_and_one(family: Family) -> None:
    sample, labels = _clusters()
    R = (labels == np.arange(4)[:, None]).astype(np.float64)
    one = parameters_from_labels(family, sample, labels, 4, np.zeros(3))
    two = parameters_from_responsibilities(family, sample, R, 4, np.zeros(3))
    allowed = 100 * len(sample) * EPS
    for left, right in ((one.weights, two.weights), (one.covariances, two.covariances)):
        assert np.abs(left - right).max() <= allowed
    assert np.abs(one.means - two.means).max() <= allowed


def test_a_component_of_few_rows_starts_with_the_pooled_covariance() -> None:
    sample, labels = _clusters(k=3)
    family, alone = FAMILIES["full"], 3
    labels[:2] = alone
    found = parameters_from_labels(family, sample, labels, 4, np.full(3, 1e-9))
    sizes = np.bincount(labels)
    scatter = sum(sizes[k] * np.cov(sample[labels == k].T, bias=True) for k in range(4)) / len(
        sample
    )
    expected = scatter + 1e-9 * np.eye(3)
    assert np.abs(found.covariances[alone] - expected).max() <= len(sample) * EPS * 100
    own = np.cov(sample[labels == 0].T, bias=True) + 1e-9 * np.eye(3)
    assert np.abs(found.covariances[0] - own).max() <= len(sample) * EPS * 100


def test_a_component_without_rows_is_placed_at_the_row_farthest_from_its_mean() -> None:
    sample, labels = _clusters(k=2)
    sample[17] += 500.0
    found = parameters_from_labels(FAMILIES["diag"], sample, labels, 3, np.zeros(3))
    np.testing.assert_array_equal(found.means[2], sample[17])
    assert found.weights[2] == pytest.approx(1.0 / (len(sample) + 1), rel=4 * EPS)


def test_a_constant_feature_leaves_the_others_their_own_covariances() -> None:
    sample, labels = _clusters()
    sample[:, 2] = 7.0
    found = parameters_from_labels(FAMILIES["full"], sample, labels, 4, np.full(3, 1e-6))
    for k in range(4):
        own = np.cov(sample[labels == k].T, bias=True) + 1e-6 * np.eye(3)
        assert np.abs(found.covariances[k] - own).max() <= len(sample) * EPS * 100


def test_an_unknown_method_is_named_with_its_choices() -> None:
    with pytest.raises(DataError, match="'kmean'; expected one of kmeans, k-means"):
        _start("kmean", np.zeros((5, 2)), FAMILIES["full"], 2)


@METHOD
def test_rows_that_are_not_finite_are_refused(method: str) -> None:
    sample = _clusters()[0]
    sample[3, 1] = np.nan
    with pytest.raises(DataError, match="not finite"):
        _start(method, sample, FAMILIES["full"], 2)


def test_given_parameters_are_taken_as_they_are() -> None:
    sample, family = _clusters()[0], FAMILIES["full"]
    own = _start("kmeans", sample, family, 4)
    taken = start("given", sample[:1], family, 4, np.ones(3), np.random.default_rng(0), given=own)
    assert taken is own


def test_given_parameters_that_do_not_fit_are_refused() -> None:
    sample, full = _clusters()[0], FAMILIES["full"]
    own, rng = _start("kmeans", sample, full, 4), np.random.default_rng(0)
    flat = Parameters.of(full, own.weights, own.means, np.zeros((4, 3, 3)))
    lost = Parameters.of(full, own.weights, np.nan * own.means, own.covariances)
    with pytest.raises(DataError, match="no parameters or model"):
        start("given", sample, full, 4, np.zeros(3), rng)
    with pytest.raises(DataError, match="n_components 4; this fit has 5"):
        start("given", sample, full, 5, np.zeros(3), rng, given=own)
    with pytest.raises(DataError, match="n_features 3; this fit has 2"):
        start("given", sample[:, :2], full, 4, np.zeros(2), rng, given=own)
    with pytest.raises(DataError, match="covariance_type full; this fit has diag"):
        start("given", sample, FAMILIES["diag"], 4, np.zeros(3), rng, given=own)
    with pytest.raises(DataError, match="not finite"):
        start("given", sample, full, 4, np.zeros(3), rng, given=lost)
    lopsided = own.covariances + np.array([[0.0, 0.1, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    other = Parameters.of(full, own.weights, own.means, lopsided)
    with pytest.raises(DataError, match="given covariances are not symmetric"):
        start("given", sample, full, 4, np.zeros(3), rng, given=other)
    with pytest.raises(ComponentError, match="component 0 cannot be inverted"):
        start("given", sample, full, 4, np.zeros(3), rng, given=flat)
