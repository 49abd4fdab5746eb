"""Both kernels give the same parameters after the M-step, whatever the order and cut of rows."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

import em_runs
import mixtures
import numpy as np
import pytest
from families import ALL_FAMILIES
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from mixtures import EPS, Scene

from dgmm.data.standardisation import Standardisation
from dgmm.fitting.em.standardised_rows import StandardisedRows
from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.mixture.kernels import (
    CentredKernel,
    Guard,
    Kernel,
    ProductKernel,
    SplitKernel,
    Workspace,
    choose,
    e_step,
)
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.kernels.tiles import InMemory, softmax
from dgmm.mixture.parameters import Parameters, m_step
from dgmm.mixture.sufficient_statistics import Statistics

FAMILY = pytest.mark.parametrize("family", ALL_FAMILIES.values(), ids=lambda f: f.name)


def _product(parameters: Parameters, dtype: type = np.float64) -> ProductKernel:
    return ProductKernel.of(parameters, dtype, with_scatter=True)


def _log_density(kernel: Kernel, Y: mixtures.Array) -> mixtures.Array:
    """Log density of rows (d, b) as the kernel computes it."""
    workspace, tile = Workspace(), Y.astype(kernel.dtype)
    L = kernel.weighted_log_prob(kernel.prepare(InMemory(tile), slice(None), workspace), workspace)
    return softmax(L, workspace) + kernel.common_log_prob(tile)


@FAMILY
@settings(deadline=None, max_examples=25)
@given(
    n=st.integers(60, 600),
    k=st.integers(1, 6),
    d=st.integers(1, 8),
    seed=st.integers(0, 10**6),
    condition=st.sampled_from([2.0, 100.0, 1e4]),
    separation=st.sampled_from([0.0, 1.0, 10.0]),
)
def test_both_kernels_give_the_same_parameters_after_the_m_step(
    family: Family, n: int, k: int, d: int, seed: int, condition: float, separation: float
) -> None:
    scene = mixtures.scene(family, n, k, d, seed, condition=condition, separation=separation)
    product, centred = em_runs.em_step(scene), em_runs.em_step(scene, centred=True)
    assume(product.kernel == "product-float64")  # where the guard allows it
    assert centred.kernel == "centred-float64"
    allowed = 10 * scene.allowed()
    assert abs(product.mean_log_likelihood - centred.mean_log_likelihood) <= allowed
    if not product.events and not centred.events:
        # Moments are as good as the guard's bound for what they become: tighter, more is lost.
        after = 10 * (allowed + Scene(centred.parameters, scene.Y).allowed())
        assert mixtures.difference(product.parameters, centred.parameters) <= after


@FAMILY
def test_wide_scenes_agree_between_kernels_over_several_tiles(family: Family) -> None:
    scene = mixtures.scene(family, n=5000, k=40, d=30, condition=1e3)
    product, centred = em_runs.em_step(scene), em_runs.em_step(scene, centred=True)
    assert scene.Y.shape[1] > _product(scene.parameters).tile_rows
    allowed = 10 * scene.allowed()
    assert abs(product.mean_log_likelihood - centred.mean_log_likelihood) <= allowed
    assert mixtures.difference(product.parameters, centred.parameters) <= 10 * allowed


@FAMILY
@pytest.mark.parametrize("centred", [False, True])
@settings(deadline=None, max_examples=15)
@given(inner=st.lists(st.integers(0, 400), max_size=4), seed=st.integers(0, 10**6))
def test_rows_in_any_order_and_any_cut_give_the_same_parameters(
    family: Family, centred: bool, inner: list[int], seed: int
) -> None:
    scene = mixtures.scene(family)
    kernel = CentredKernel.of(scene.parameters) if centred else _product(scene.parameters)
    order = np.random.default_rng(seed).permutation(scene.Y.shape[1])
    at = [0, *sorted(inner), len(order)]
    parts = [em_runs.one_pass(kernel, scene.Y[:, order[a:b]]) for a, b in pairwise(at)]
    whole, cut = em_runs.one_pass(kernel, scene.Y), reduce(Statistics.merge, parts)
    left, right = (m_step(family, s).regularised(np.zeros(4)) for s in (cut, whole))
    assert mixtures.difference(left, right) <= 10 * scene.allowed()


@FAMILY
@pytest.mark.parametrize("centred", [False, True])
def test_components_in_another_order_give_the_same_components(
    family: Family, centred: bool
) -> None:
    scene = mixtures.scene(family, k=5)
    p, order = scene.parameters, np.array([3, 0, 4, 1, 2])
    other = Parameters.of(
        family, p.weights[order], p.means[order], family.take(p.covariances, order)
    )
    left = em_runs.em_step(Scene(other, scene.Y), centred=centred)
    right = em_runs.em_step(scene, centred=centred)
    found, q = left.parameters, right.parameters
    expected = Parameters.of(
        family, q.weights[order], q.means[order], family.take(q.covariances, order)
    )
    assert abs(left.mean_log_likelihood - right.mean_log_likelihood) <= 10 * scene.allowed()
    assert mixtures.difference(found, expected) <= 100 * scene.allowed()


@FAMILY
@pytest.mark.parametrize("centred", [False, True])
def test_a_features_order_is_immaterial(family: Family, centred: bool) -> None:
    scene = mixtures.scene(family, d=5)
    p, order = scene.parameters, np.array([4, 2, 0, 1, 3])

    def reordered(q: Parameters) -> Parameters:
        covariances = q.covariances
        for axis, size in enumerate(covariances.shape):
            if size == 5:  # of features, not of the three components
                covariances = covariances.take(order, axis)
        return Parameters.of(family, q.weights, q.means[:, order], covariances)

    left = em_runs.em_step(Scene(reordered(p), scene.Y[order]), centred=centred)
    right = em_runs.em_step(scene, centred=centred)
    allowed = 100 * scene.allowed()
    assert mixtures.difference(left.parameters, reordered(right.parameters)) <= allowed


@FAMILY
def test_candidates_that_share_a_pass_keep_the_bits_of_their_own(family: Family) -> None:
    scene = mixtures.scene(family, n=3000, k=4)
    rng = np.random.default_rng(5)
    starts = [mixtures.moved(scene.parameters, 0.1 * rng.normal(size=4)) for _ in range(3)]
    for kernels in ([_product(p) for p in starts], [CentredKernel.of(p) for p in starts]):
        together = e_step(kernels, scene.Y, Workspace())
        for kernel, shared in zip(kernels, together, strict=True):
            alone = em_runs.one_pass(kernel, scene.Y)
            assert shared.log_likelihood == alone.log_likelihood
            np.testing.assert_array_equal(shared.sums, alone.sums)
            np.testing.assert_array_equal(shared.scatter, alone.scatter)


@FAMILY
def test_a_workspace_used_before_changes_no_bit(family: Family) -> None:
    scene, larger = mixtures.scene(family, n=700), mixtures.scene(family, n=4000, k=7, d=9)
    for make in (_product, CentredKernel.of):
        used = Workspace()
        e_step([make(larger.parameters)], larger.Y, used)
        kernel = make(scene.parameters)
        found = e_step([kernel], scene.Y, used)[0]
        np.testing.assert_array_equal(found.sums, em_runs.one_pass(kernel, scene.Y).sums)


@FAMILY
def test_responsibilities_of_a_row_sum_to_one_and_follow_the_definition(family: Family) -> None:
    scene = mixtures.scene(family, n=1000, k=5)
    R = Scorer(scene.parameters).responsibilities(scene.Y)
    L = mixtures.plain_log_prob(scene.parameters, scene.Y)
    expected = np.exp(L - L.max(axis=0))
    expected /= expected.sum(axis=0)
    assert np.abs(R.sum(axis=0) - 1.0).max() <= 5 * EPS
    assert np.abs(R - expected).max() <= 100 * scene.allowed()


@FAMILY
def test_a_component_of_weight_zero_takes_nothing(family: Family) -> None:
    scene = mixtures.scene(family, k=3)
    p = scene.parameters
    weights = np.array([p.weights[0], 0.0, 1.0 - p.weights[0]])
    without = Parameters.of(family, weights, p.means, p.covariances)
    for kernel in (_product(without), CentredKernel.of(without)):
        statistics = em_runs.one_pass(kernel, scene.Y)
        assert np.isfinite(statistics.log_likelihood)
        assert np.isfinite(statistics.sums).all()
        assert not statistics.sums[1].any()


@FAMILY
def test_far_rows_are_scored_without_nan(family: Family) -> None:
    scene = mixtures.scene(family)
    far = np.array([1e10, -1e100, 1e160, 1e308])[None, :] * np.ones((4, 1))
    Y = np.concatenate([scene.Y[:, :3], far], axis=1)
    scorer = Scorer(scene.parameters)
    log_density, R = scorer.log_density(Y), scorer.responsibilities(Y)
    assert not np.isnan(log_density).any()
    assert not np.isnan(R).any()
    np.testing.assert_array_equal(log_density[-2:], -np.inf)
    assert np.abs(R.sum(axis=0) - 1.0).max() <= 5 * EPS


@FAMILY
@pytest.mark.parametrize("d", [2, 8, 32])
@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    condition=st.sampled_from([1.0, 10.0, 1e2, 1e4]),
    separation=st.sampled_from([1.0, 10.0, 1000.0]),
    dtype=st.sampled_from([np.float64, np.float32]),
)
@example(seed=176, condition=1.0, separation=1000.0, dtype=np.float64)
def test_the_guard_bounds_the_error_of_the_products(
    family: Family, d: int, seed: int, condition: float, separation: float, dtype: type
) -> None:
    scene = mixtures.scene(family, 300, 3, d, seed, condition=condition, separation=separation)
    rows = scene.Y.astype(dtype).astype(np.float64)
    product = _log_density(_product(scene.parameters, dtype), rows)
    centred = _log_density(CentredKernel.of(scene.parameters), rows)
    bound = scene.guard.log_prob_error(scene.parameters, dtype)
    own = 8 * np.finfo(dtype).eps * (d + np.abs(centred).max())
    assert np.abs(product - centred).max() <= bound + own


@pytest.mark.parametrize("d", [8, 32, 64, 128])
@pytest.mark.parametrize("noise", [1.0, 0.1, 0.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_guard_bounds_the_error_of_compiled_products(d: int, noise: float, dtype: type) -> None:
    compiled = pytest.importorskip(
        "dgmm.mixture.backends.numba_backend", reason="Numba is optional"
    )
    rng = np.random.default_rng(d)
    # Terms of one sign: the tight direction lies along the rows.
    rows = (1.37 + noise * rng.normal(size=(300, d))).astype(dtype).astype(np.float64)
    precision = 0.1 * np.eye(d) + 0.037
    parameters = Parameters.of(
        FAMILIES["full"], np.ones(1), np.full((1, d), 0.3), np.linalg.inv(precision)[None]
    )
    kernel, workspace = ProductKernel.of(parameters, dtype), Workspace(compiled.NumbaBackend())
    identity = Standardisation.identity(d)
    columns = StandardisedRows.of(rows, identity, kernel.dtype, workspace)
    width = FAMILIES["full"].width(d)
    sums = np.zeros((300, 1, width))  # of one component, each row a leaf
    product = kernel.leaves_at_once(kernel.family.form, columns, sums, 1, workspace)
    centred = _log_density(CentredKernel.of(parameters), np.ascontiguousarray(rows.T))
    bound = Guard.of_tile(rows.T).log_prob_error(parameters, dtype)
    own = 8 * np.finfo(dtype).eps * (d + np.abs(centred).max())
    assert np.abs(product - centred).max() <= bound + own


@FAMILY
def test_float32_products_are_within_the_guard_where_it_allows_them(family: Family) -> None:
    scene = mixtures.scene(family, n=2000)
    assert scene.guard.allows(scene.parameters, np.float32)
    bound = scene.guard.log_prob_error(scene.parameters, np.float32)
    single = em_runs.one_pass(_product(scene.parameters, np.float32), scene.Y)
    double = em_runs.one_pass(_product(scene.parameters), scene.Y)
    scatter = double.scatter
    left, right = (m_step(family, s, scatter).regularised(np.zeros(4)) for s in (single, double))
    assert mixtures.difference(left, right) <= 10 * bound


@FAMILY
@pytest.mark.parametrize("offset", [1e6, 1e8])
def test_the_guard_refuses_products_far_from_the_origin(family: Family, offset: float) -> None:
    near = mixtures.scene(family)
    step = np.full(4, offset)
    # The rows nearest to what float64 holds there: both sides then see the same values.
    Y = (near.Y + step[:, None]) - step[:, None]
    far = Scene(mixtures.moved(near.parameters, step), Y + step[:, None])
    assert not far.guard.allows(far.parameters)
    kernel = choose(far.parameters, far.guard)
    if isinstance(kernel, SplitKernel):  # by its own bound each row is centred
        assert (far.Y**2).sum(axis=0).min() > kernel.squared_radius
    else:
        assert isinstance(kernel, CentredKernel)
        assert not family.moves_moments
    expected = em_runs.em_step(Scene(near.parameters, Y), centred=True)
    found = em_runs.em_step(far)
    assert found.kernel == f"{kernel.name}-float64"
    # A mean is held to ε·offset, and so is each deviation from it.
    allowed = 10 * (near.allowed() + EPS * offset)
    assert abs(found.mean_log_likelihood - expected.mean_log_likelihood) <= allowed
    back = mixtures.moved(found.parameters, -step)
    assert mixtures.difference(back, expected.parameters) <= 10 * allowed


@FAMILY
def test_products_far_from_the_origin_are_wrong(family: Family) -> None:
    """Why there is a guard: without it this is what comes out."""
    near = mixtures.scene(family)
    far = Scene(mixtures.moved(near.parameters, 1e8), near.Y + 1e8)
    found = m_step(family, em_runs.one_pass(_product(far.parameters), far.Y))
    expected = em_runs.em_step(near).parameters
    variances = family.variances(expected.covariances, 3, 4)
    assert np.abs(family.variances(found.covariances, 3, 4) / variances - 1.0).max() > 0.01


@FAMILY
def test_products_bear_means_far_outside_the_rows(family: Family) -> None:
    """A long, thin, far ellipsoid reaches rows near the origin: η is large though rows are not.

    The guard knows rows only. What is lost beyond its bound is a mean's own rounding, in sd.
    """
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    covariances = mixtures.covariances_of(family, (Q * np.array([1e4, 1e-2]))[None])
    p = Parameters.of(family, np.ones(1), 1e4 * Q[:, 0][None], covariances)
    Y = 0.01 * rng.normal(size=(2, 50))
    product, centred = _log_density(_product(p), Y), _log_density(CentredKernel.of(p), Y)
    tightest = np.sqrt(family.precision_bound(p.precisions_cholesky, 1)[0])
    mean = 8 * EPS * 1e4 * tightest * np.sqrt(2.0 * np.abs(centred).max())
    bound = Guard.of_tile(Y).log_prob_error(p)
    assert np.abs(product - centred).max() <= bound + mean
