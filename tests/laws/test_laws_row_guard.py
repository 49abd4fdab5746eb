"""Rows that are far go centred, all others by products, and both kinds of moments meet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import em_runs
import missing_rows
import mixtures
import numpy as np
import pytest
from families import ALL_FAMILIES
from mixtures import Array, Scene

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.standardisation import Standardisation
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.data_pass import EStepRunner
from dgmm.fitting.em.e_step import EStepResult
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.fitting.em.standardised_rows import StandardisedRows
from dgmm.fitting.noise_start import with_noise
from dgmm.mixture.backends import compiled_backend, get
from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.mixture.kernels import (
    BlockKernel,
    CentredKernel,
    Guard,
    ProductKernel,
    SplitKernel,
    Workspace,
    choose,
    e_step,
)
from dgmm.mixture.kernels.kernel_digest import digest_of_kernels
from dgmm.mixture.kernels.split_kernel import are_far
from dgmm.mixture.marginal import MarginalKernel
from dgmm.mixture.noise import Noise
from dgmm.mixture.parameters import Parameters, m_step
from dgmm.mixture.posterior_entropy import posterior_entropy
from dgmm.mixture.sufficient_statistics import Statistics

FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
WHERE = pytest.mark.parametrize(
    "backend", ["numpy", *(["numba"] if compiled_backend() is not None else [])]
)
#: How far out the third component is, and a radius between it and the others, squared.
OFFSET, RADIUS = 1e6, 1e6
#: What a step of near rows at ‖y‖ up to 30 and centred ones may lose, relative to a variance.
TOLERANCE = 1e-9
N = 700


def far_cluster(family: Family, n_far: int, seed: int = 0, **like: Any) -> Scene:
    """Rows of which so many lie far out, each with its component; `n_far` N for all of them."""
    near = mixtures.scene(family, N, seed=seed, **like)
    p, d = near.parameters, len(near.Y)
    rows = near.Y.copy()
    rows[:, N - n_far :] += OFFSET
    moved = np.arange(3)[:, None] >= (0 if n_far == N else 2 if n_far else 3)
    means = p.means + OFFSET * moved * np.ones(d)
    return Scene(Parameters.of(family, p.weights, means, p.covariances), rows)


def one_pass(
    kernel: BlockKernel, Y: Array, backend: str, weights: Array | None = None
) -> Statistics:
    """Statistics of rows as a pass reads them."""
    workspace, units = Workspace(get(backend)), Standardisation.identity(len(Y))
    columns = StandardisedRows.of(np.ascontiguousarray(Y.T), units, kernel.dtype, workspace)
    return e_step([kernel], columns, workspace, weights)[0]


def stepped(scene: Scene, found: Statistics) -> Parameters:
    d = len(scene.Y)
    return m_step(scene.family, found, before=scene.parameters).regularised(np.zeros(d))


@FAMILY
@WHERE
@pytest.mark.parametrize("n_far", [0, 40, N])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_a_step_is_the_centred_kernels_whichever_rows_are_far(
    family: Family, backend: str, n_far: int, is_weighted: bool
) -> None:
    scene = far_cluster(family, n_far)
    w = np.random.default_rng(1).uniform(0.5, 2.0, N) if is_weighted else None
    kernel = SplitKernel.of(scene.parameters, RADIUS)
    assert ((scene.Y**2).sum(axis=0) > RADIUS).sum() == n_far
    found = one_pass(kernel, scene.Y, backend, w)
    expected = one_pass(kernel.far, scene.Y, backend, w)
    assert found.n_rows == N
    assert found.weight == pytest.approx(expected.weight, rel=1e-14)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-11)
    apart = mixtures.difference(stepped(scene, found), stepped(scene, expected))
    assert apart <= TOLERANCE
    entropy = [posterior_entropy(scene.parameters, s, is_complete=True) for s in (found, expected)]
    assert entropy[0] == pytest.approx(entropy[1], abs=1e-9 * abs(expected.log_likelihood))


@FAMILY
def test_products_of_all_those_rows_would_not_do(family: Family) -> None:
    """Why the rows are split: this is what one kernel of products makes of them."""
    scene = far_cluster(family, 40)
    product = ProductKernel.of(scene.parameters, with_scatter=True)
    found = stepped(scene, one_pass(product, scene.Y, "numpy"))
    expected = stepped(scene, one_pass(CentredKernel.of(scene.parameters), scene.Y, "numpy"))
    assert mixtures.difference(found, expected) > 100 * TOLERANCE


@FAMILY
@WHERE
@pytest.mark.parametrize("is_weighted", [False, True])
def test_noise_goes_both_ways(family: Family, backend: str, is_weighted: bool) -> None:
    own = far_cluster(family, 40)
    w = np.random.default_rng(1).uniform(0.5, 2.0, N) if is_weighted else None
    box = Noise(0.1, own.Y.min(axis=1) - 1.0, own.Y.max(axis=1) + 1.0)
    scene = Scene(with_noise(own.parameters, box), own.Y)
    kernel = SplitKernel.of(scene.parameters, RADIUS)
    found = one_pass(kernel, scene.Y, backend, w)
    expected = one_pass(kernel.far, scene.Y, backend, w)
    assert found.noise == pytest.approx(expected.noise, rel=1e-9)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-11)
    apart = mixtures.difference(stepped(scene, found), stepped(scene, expected))
    assert apart <= TOLERANCE


@FAMILY
@WHERE
@pytest.mark.parametrize("n_far", [0, 40, N])
def test_rows_that_lack_values_go_by_what_they_have(
    family: Family, backend: str, n_far: int
) -> None:
    scene = far_cluster(family, n_far)
    Y = missing_rows.with_gaps(scene.Y, 0.3)
    w = np.random.default_rng(1).uniform(0.5, 2.0, N)
    centred = MarginalKernel.of(scene.parameters, Guard(float("inf")))
    near = ProductKernel.of(scene.parameters)
    kernel = MarginalKernel(scene.parameters, near, centred, RADIUS)
    found = missing_rows.one_pass(kernel, Y, backend, w)
    expected = missing_rows.one_pass(centred, Y, backend, w)
    assert found.n_rows == N
    assert found.weight == pytest.approx(expected.weight, rel=1e-14)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-10)
    apart = mixtures.difference(stepped(scene, found), stepped(scene, expected))
    assert apart <= TOLERANCE
    if n_far == 40:
        alone = MarginalKernel(scene.parameters, near)
        lost = stepped(scene, missing_rows.one_pass(alone, Y, backend, w))
        assert mixtures.difference(lost, stepped(scene, expected)) > 100 * TOLERANCE


@pytest.mark.parametrize("name", ["full", "tied"])
def test_a_row_within_reach_of_a_far_mean_is_split_by_that_mean_too(name: str) -> None:
    """A component that is long towards the origin and narrow across: 3e-5 are lost by ‖y‖ alone."""
    family, rng = FAMILIES[name], np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    across, centre = 3e4 * axes[:, 1], 1e8 * axes[:, 0] + 3e4 * axes[:, 1]
    long = (axes * [1e16, 1.0, 1.0]) @ axes.T
    long = (long + long.T) / 2.0
    p = Parameters.of(family, np.ones(1), centre[None], long[None] if name == "full" else long)
    Y = across[:, None] + rng.normal(size=(3, 20))
    kernel = choose(p, Guard(1e18))
    assert isinstance(kernel, SplitKernel)
    expected = one_pass(kernel.far, Y, "numpy").log_likelihood
    assert one_pass(kernel, Y, "numpy").log_likelihood == pytest.approx(expected, abs=20e-6)
    by_rows_alone = 1e-6 / Guard(1.0).log_prob_error(p)
    assert (Y**2).sum(axis=0).max() < by_rows_alone
    lost = one_pass(SplitKernel.of(p, by_rows_alone), Y, "numpy").log_likelihood
    assert abs(lost - expected) > 20e-6


@FAMILY
@pytest.mark.parametrize("lacks_values", [False, True])
def test_a_far_mean_out_of_reach_leaves_the_radius(family: Family, lacks_values: bool) -> None:
    """Fill values of 1e20 with a component of their own; a row may lack what tells it from them."""
    p = mixtures.scene(family).parameters
    means = p.means.copy()
    means[2, 0] = 1e20
    far = Parameters.of(family, p.weights, means, p.covariances)
    by_rows_alone = 1e-6 / Guard(1.0).log_prob_error(far)
    found = choose(far, Guard(1e40), lacks_values=lacks_values)
    assert isinstance(found, SplitKernel)
    if lacks_values:
        assert found.squared_radius < 1e-20 * by_rows_alone
    else:
        assert found.squared_radius == pytest.approx(by_rows_alone, rel=1e-12)


@FAMILY
def test_moments_move_to_any_points(family: Family) -> None:
    scene = mixtures.scene(family)
    points = np.random.default_rng(3).normal(size=scene.parameters.means.shape)
    about_origin = em_runs.one_pass(
        ProductKernel.of(scene.parameters, with_scatter=True), scene.Y
    ).moments(family)
    R = np.exp(mixtures.plain_log_prob(scene.parameters, scene.Y))
    R /= R.sum(axis=0)
    found = family.about(about_origin, points)
    D = [scene.Y - point[:, None] for point in points]
    first = np.stack([own @ r for own, r in zip(D, R, strict=True)])
    assert np.allclose(found.first, first, rtol=0.0, atol=1e-10)
    if family.scatter_width(4):
        scatter = sum(family.scatter(own, r) for own, r in zip(D, R, strict=True))
        assert np.allclose(found.scatter, scatter, rtol=1e-11, atol=1e-9)
    else:
        second = [family.second_moment(own, r) for own, r in zip(D, R, strict=True)]
        assert np.allclose(found.second, second, rtol=1e-11, atol=1e-9)


@WHERE
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_norms_are_of_the_values_that_rows_have(backend: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(5000, 3)).astype(dtype)
    rows[rng.uniform(size=rows.shape) < 0.1] = np.nan
    rows[7, 0] = 1e20 if dtype == np.float32 else 1e200  # whose square overflows in float64
    rows[8, 1] = np.inf
    workspace, units = Workspace(get(backend)), Standardisation.identity(3)
    columns = StandardisedRows.of(rows, units, np.dtype(np.float64), workspace)
    with np.errstate(over="ignore"):
        expected = np.nansum(rows.astype(np.float64) ** 2, axis=1)
    for radius in (0.5, 2.0, 1e300):
        found = are_far(columns, radius, workspace)
        np.testing.assert_array_equal(found, expected > radius)


@FAMILY
def test_em_of_rows_with_a_few_far_ones_ends_where_centred_em_does(family: Family) -> None:
    """The guard decides, and the likelihood is that of the centred kernel to 1e-9."""
    scene = far_cluster(family, 40)
    settings = em_runs.problem(scene.Y, max_iter=60, tol=1e-9)
    found = em_runs.fit(scene.parameters, scene.Y, settings)
    expected = em_runs.fit(scene.parameters, scene.Y, settings, centred=True)
    assert (found.kernel, expected.kernel) == ("split-float64", "centred-float64")
    assert found.outcome is expected.outcome
    assert found.mean_log_likelihood == pytest.approx(expected.mean_log_likelihood, rel=1e-9)
    assert mixtures.difference(found.parameters, expected.parameters) <= 1e-4


@WHERE
def test_the_bits_of_a_split_pass_are_those_of_any_threads(backend: str) -> None:
    family = FAMILIES["full"]
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(13_000, 3))  # of four blocks
    rows[rng.integers(len(rows), size=20)] *= 1e6
    scene = mixtures.scene(family, d=3)
    kernel = choose(scene.parameters, Guard(1e14))
    assert isinstance(kernel, SplitKernel)
    sums = []
    for n_threads in (1, 3):
        with ThreadExecutor(n_threads) as executor:
            found = EStepRunner(ArrayDataset(rows), executor, backend)((_request(kernel),))
        sums.append(found.candidates[0].sums)
    np.testing.assert_array_equal(*sums)


def test_kernels_share_rows_only_where_both_kinds_of_tiles_are_alike() -> None:
    """Tiles of far rows follow k; a candidate's bits are those of its run alone."""
    family = FAMILIES["spherical"]
    few, many = (SplitKernel.of(mixtures.scene(family, k=k).parameters, RADIUS) for k in (3, 300))
    same_near = replace(many, near=few.near)
    assert many.far.tile_rows != few.far.tile_rows
    assert few.sharing != same_near.sharing
    assert few.sharing != replace(few, squared_radius=2 * RADIUS).sharing
    assert few.sharing == SplitKernel.of(mixtures.scene(family, k=3).parameters, RADIUS).sharing


def test_a_digest_tells_a_split_pass_from_others() -> None:
    scene = mixtures.scene(FAMILIES["full"])
    kernels = [SplitKernel.of(scene.parameters, RADIUS), ProductKernel.of(scene.parameters)]
    kernels.append(CentredKernel.of(scene.parameters))
    assert len({digest_of_kernels([kernel]) for kernel in kernels}) == 3


@FAMILY
def test_a_pass_whose_moments_do_not_hold_is_made_again_once(family: Family) -> None:
    """Variances that fall by far more than products hold: one centred pass, then products again."""
    scene = mixtures.scene(family, separation=10.0)
    p = scene.parameters
    wide = Parameters.of(family, p.weights, p.means, 1e4 * p.covariances)
    # What is allowed of the wide start is refused of what it leads to.
    radius = 1e-6 / Guard(1.0).log_prob_error(wide)
    settings = replace(em_runs.problem(scene.Y, max_iter=20), guard=Guard(0.9 * radius))
    solver = em.EMSolver(settings)
    begun = solver.init(em.CandidateId(), wide)
    kernel = solver.kernel(begun)
    assert kernel.name == "product"
    refused = solver.step(begun, kernel, em_runs.one_pass(kernel, scene.Y))
    assert (refused.n_iter, refused.stage) == (0, "centred")
    again = solver.kernel(refused)
    assert again.name == "centred"
    after = solver.step(refused, again, em_runs.one_pass(again, scene.Y))
    assert (after.n_iter, after.stage) == (1, "double")
    assert solver.kernel(after).name in {"split", "product"}


def test_a_family_without_moved_moments_is_centred_as_a_whole() -> None:
    for family in ALL_FAMILIES.values():
        scene = far_cluster(family, 40)
        kernel = choose(scene.parameters, scene.guard)
        assert isinstance(kernel, SplitKernel if family.moves_moments else CentredKernel)


def test_going_from_products_to_split_rows_goes_on_comparing() -> None:
    scene = mixtures.scene(FAMILIES["full"])
    settings = em_runs.problem(scene.Y)
    solver = em.EMSolver(settings)
    begun = solver.init(em.CandidateId(), scene.parameters)
    kernel = solver.kernel(begun)
    one = solver.step(begun, kernel, em_runs.one_pass(kernel, scene.Y))
    assert one.is_comparable
    strict = em.EMSolver(replace(settings, guard=Guard(1e16)))
    split = strict.kernel(one)
    assert (kernel.name, split.name) == ("product", "split")
    found = EStepResult.of(one, split, em_runs.one_pass(split, scene.Y), strict.problem)
    assert found.candidate.is_comparable
    centred = CentredKernel.of(one.parameters)
    found = EStepResult.of(one, centred, em_runs.one_pass(centred, scene.Y), strict.problem)
    assert not found.candidate.is_comparable


def _request(kernel: Any) -> Any:
    return EStepRequest(kernel, Standardisation.identity(len(kernel.reference[0])))
