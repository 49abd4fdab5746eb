"""Noise beside the Gaussians: one more row of η, against the definition in plain NumPy."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import em_runs
import mixtures
import numpy as np
import pytest
from mixtures import Array, Scene

from dgmm.data.standardisation import Standardisation
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.acceleration import Cycle, PlainStep, next_points
from dgmm.fitting.em.standardised_rows import StandardisedRows
from dgmm.fitting.noise_start import with_noise
from dgmm.mixture.backends import compiled_backend, get
from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.mixture.criteria import n_parameters
from dgmm.mixture.kernels import CentredKernel, Kernel, ProductKernel, Workspace, e_step
from dgmm.mixture.kernels.scorer import RowScores, Scorer
from dgmm.mixture.noise import Noise
from dgmm.mixture.parameters import Parameters, m_step
from dgmm.mixture.posterior_entropy import posterior_entropy
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.outcome import Outcome

FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
BACKENDS = ["numpy", *(["numba"] if compiled_backend() is not None else [])]
KERNELS = {"product": ProductKernel.of, "centred": CentredKernel.of}
WHERE = pytest.mark.parametrize("backend", BACKENDS)
KERNEL = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
TOLERANCE = 1e-10


def noisy(family: Family, n: int = 400, seed: int = 0, **like: Any) -> Scene:
    """Rows of a mixture, a quarter of them anywhere in a box, under a neighbouring one."""
    own = mixtures.scene(family, n, seed=seed, **like)
    low, high = own.Y.min(axis=1) - 1.0, own.Y.max(axis=1) + 1.0
    rng = np.random.default_rng(seed)
    own.Y[:, : n // 4] = rng.uniform(low[:, None], high[:, None], (len(low), n // 4))
    return Scene(with_noise(own.parameters, Noise(0.1, low, high)), own.Y)


def plain_log_prob(p: Parameters, Y: Array) -> Array:
    """Log weight plus log density (k + 1, n), by the definition."""
    assert p.noise is not None
    volume = np.prod(p.noise.high - p.noise.low)
    noise = np.full(Y.shape[1], np.log(p.noise.weight / volume))
    return np.concatenate([mixtures.plain_log_prob(p, Y), noise[None]])


def plain_posteriors(p: Parameters, Y: Array) -> tuple[Array, Array]:
    """Posteriors (k + 1, n) and log densities (n,)."""
    L = plain_log_prob(p, Y)
    log_density = np.logaddexp.reduce(L, axis=0)
    return np.exp(L - log_density), log_density


def plain_step(p: Parameters, Y: Array, w: Array) -> tuple[Array, Array, list[Array], float]:
    """Weights, means, full covariances of each component and the noise's weight, row by row."""
    R, _ = plain_posteriors(p, Y)
    R = R * w
    n, d = R[:-1].sum(axis=1), len(Y)
    means = (R[:-1] @ Y.T) / n[:, None]
    own = [((Y - m[:, None]) * r) @ (Y - m[:, None]).T for m, r in zip(means, R[:-1], strict=True)]
    if p.family.is_shared:
        own = [sum(own) * (c / n.sum()) for c in n]
    covariances = [np.asarray(S / c) for S, c in zip(own, n, strict=True)]
    if p.family.name.endswith("diag"):
        covariances = [np.diag(np.diag(S)) for S in covariances]
    if p.family.name.endswith("spherical"):
        covariances = [np.eye(d) * np.trace(S) / d for S in covariances]
    return n / R.sum(), means, covariances, float(R[-1].sum() / R.sum())


def one_pass(
    kernel: Kernel, Y: Array, backend: str = "numpy", weights: Array | None = None
) -> Statistics:
    """Statistics of rows as a pass reads them, so that compiled code takes whole blocks."""
    workspace = Workspace(get(backend))
    units = Standardisation.identity(len(Y))
    rows = np.ascontiguousarray(Y.T)
    columns = StandardisedRows.of(rows, units, kernel.dtype, workspace)
    return e_step([kernel], columns, workspace, weights)[0]


@FAMILY
@KERNEL
@WHERE
@pytest.mark.parametrize("is_weighted", [False, True])
def test_a_step_is_that_of_the_definition(
    family: Family, kernel: Any, backend: str, is_weighted: bool
) -> None:
    scene = noisy(family)
    w = np.random.default_rng(1).uniform(0.5, 2.0, scene.Y.shape[1])
    w = w if is_weighted else np.ones_like(w)
    found = one_pass(kernel(scene.parameters), scene.Y, backend, w if is_weighted else None)
    R, log_density = plain_posteriors(scene.parameters, scene.Y)
    assert found.log_likelihood == pytest.approx(float(w @ log_density), rel=TOLERANCE)
    assert found.noise == pytest.approx(float(R[-1] @ w), rel=TOLERANCE)
    assert found.sums.shape == (3, family.width(4))
    after = m_step(family, found, before=scene.parameters).regularised(np.zeros(4))
    weights, means, covariances, share = plain_step(scene.parameters, scene.Y, w)
    assert after.noise is not None
    assert after.noise.weight == pytest.approx(share, rel=TOLERANCE)
    assert np.allclose(after.weights, weights, rtol=TOLERANCE, atol=0.0)
    assert np.allclose(after.means, means, rtol=0.0, atol=TOLERANCE)
    for j, expected in enumerate(covariances):
        own = family.full_covariance(after.covariances, j, 4)
        assert np.allclose(own, expected, rtol=0.0, atol=TOLERANCE * np.abs(expected).max())


@FAMILY
@KERNEL
def test_float32_and_merged_passes_are_that_step_too(family: Family, kernel: Any) -> None:
    """As far as float32 goes, and for rows cut anywhere."""
    scene = noisy(family)
    whole = one_pass(kernel(scene.parameters), scene.Y)
    halves = [one_pass(kernel(scene.parameters), y) for y in np.split(scene.Y, [150], axis=1)]
    merged = halves[0].merge(halves[1])
    assert merged.noise == pytest.approx(whole.noise, rel=1e-12)
    assert np.allclose(merged.sums, whole.sums, rtol=1e-10, atol=1e-10)
    if kernel == KERNELS["product"]:
        single = one_pass(ProductKernel.of(scene.parameters, np.float32), scene.Y)
        assert single.noise == pytest.approx(whole.noise, rel=1e-4)
        assert single.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-5)


@FAMILY
@WHERE
def test_scores_are_those_of_the_definition(family: Family, backend: str) -> None:
    """Tile by tile, at once where compiled code can, and of a row so far out that it overflows."""
    scene = noisy(family)
    R, log_density = plain_posteriors(scene.parameters, scene.Y)
    scorer, workspace = Scorer(scene.parameters), Workspace(get(backend))
    assert np.allclose(scorer.responsibilities(scene.Y), R, rtol=0.0, atol=TOLERANCE)
    assert np.allclose(scorer.log_density(scene.Y), log_density, rtol=0.0, atol=TOLERANCE)
    out = RowScores.empty(scene.Y.shape[1], np.empty((scene.Y.shape[1], 4)))
    stored = np.ascontiguousarray(scene.Y.T), np.ones(4), np.zeros(4)
    done = scorer.at_once(stored, out, workspace)
    has_scatter = family.scatter_width(4) > 0
    assert (done is None) == (backend == "numpy" or has_scatter)
    if done is not None and out.posteriors is not None:
        assert not done[1].any()
        assert np.allclose(out.posteriors, R.T, rtol=0.0, atol=1e-9)
        assert np.array_equal(out.labels, R.argmax(axis=0))
        entropy = -np.where(R > 0, R * np.log(np.maximum(R, 1e-300)), 0.0).sum()
        assert done[0] == pytest.approx(entropy, rel=1e-9)
    far = np.full((4, 1), 1e200) * np.array([[1.0], [-1.0], [1.0], [0.5]])
    assert scene.parameters.noise is not None
    assert scorer.responsibilities(far)[:, 0].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert scorer.log_density(far)[0] == scene.parameters.noise.weighted_log_density


@FAMILY
@KERNEL
def test_the_entropy_follows_from_the_sums(family: Family, kernel: Any) -> None:
    scene = noisy(family)
    own: Kernel = kernel(scene.parameters)
    R, _ = plain_posteriors(scene.parameters, scene.Y)
    expected = -(R * np.log(np.maximum(R, 1e-300))).sum()
    found = posterior_entropy(scene.parameters, one_pass(own, scene.Y), is_complete=own.is_complete)
    assert found == pytest.approx(expected, rel=1e-8)


@FAMILY
@pytest.mark.parametrize("acceleration", ["none", "squarem"])
@pytest.mark.parametrize("centred", [False, True])
def test_the_log_likelihood_never_falls_and_noise_is_found(
    family: Family, acceleration: Any, centred: bool
) -> None:
    scene = noisy(family, n=800, seed=3)
    settings = replace(em_runs.problem(scene.Y, max_iter=60), acceleration=acceleration)
    done = em_runs.fit(scene.parameters, scene.Y, settings, centred=centred)
    assert done.outcome in {Outcome.CONVERGED, Outcome.MAX_ITER_REACHED}
    assert not done.events
    rises = [after - before for before, after in pairwise(done.history)]
    assert min(rises) >= -2.0 * scene.allowed() - 1e-12
    p = done.parameters
    assert p.noise is not None
    assert 0.1 < p.noise.weight < 0.35
    assert p.weights.sum() + p.noise.weight == pytest.approx(1.0, abs=1e-12)
    mean = float(plain_posteriors(p, scene.Y)[1].mean())
    assert mean >= done.history[-1] - scene.allowed()
    shares = plain_posteriors(p, scene.Y)[0].mean(axis=1)
    assert np.allclose(shares, [*p.weights, p.noise.weight], atol=1e-3)


@FAMILY
def test_a_lost_component_starts_anew_and_noise_keeps_its_weight(family: Family) -> None:
    """Of the Gaussians one has no row; the noise is neither re-seeded nor counted among them."""
    scene = noisy(family)
    p = scene.parameters
    means = p.means.copy()
    means[1] = 1e3
    lost = Parameters.of(family, p.weights, means, p.covariances, p.noise)
    for policy, k in (("reseed", 3), ("drop", 2)):
        settings = em_runs.problem(scene.Y, max_iter=1, on_collapse=policy)
        done = em_runs.fit(lost, scene.Y, settings)
        assert [event.component for event in done.events] == [1]
        after, R = done.parameters, plain_posteriors(lost, scene.Y)[0]
        assert after.n_components == k
        assert after.noise is not None
        assert after.noise.weight == pytest.approx(R[-1].mean(), rel=1e-9)
        assert after.weights.sum() == pytest.approx(1.0 - after.noise.weight, rel=1e-12)


@FAMILY
def test_noise_without_rows_ends_near_weight_0_and_the_fit_converges(family: Family) -> None:
    """A box far larger than the rows: its weight shrinks by a constant share in each step."""
    own = mixtures.scene(family, 600)
    box = Noise(0.05, np.full(4, -1e3), np.full(4, 1e3))
    settings = replace(em_runs.problem(own.Y, tol=1e-8, max_iter=200), acceleration="squarem")
    done = em_runs.fit(with_noise(own.parameters, box), own.Y, settings)
    plain = em_runs.fit(own.parameters, own.Y, settings)
    assert done.outcome is Outcome.CONVERGED
    assert done.parameters.noise is not None
    assert 0.0 <= done.parameters.noise.weight < 1e-4
    assert done.objective == pytest.approx(plain.objective, abs=1e-4)


def extrapolated(weights: tuple[float, float, float], bound: float) -> Parameters:
    """Where acceleration goes from three steps that differ in the weight of noise."""
    p = noisy(FAMILIES["full"]).parameters
    assert p.noise is not None
    steps = [
        replace(p, weights=p.weights / p.weights.sum() * (1 - w), noise=p.noise.with_weight(w))
        for w in weights
    ]
    cycle = Cycle(start=steps[0], bound=bound)
    step = PlainStep(cycle, steps[1], steps[2], 1.0, lambda _: True)
    [(_, point)] = next_points([step])
    assert point is not steps[2]
    return point


def test_an_extrapolated_weight_of_noise_stays_above_0() -> None:
    """Steps that shrink it lead beyond 0, where it would be for ever."""
    point = extrapolated((0.03, 0.02, 0.0101), bound=64.0)
    assert point.noise is not None
    assert 0.0 < point.noise.weight < 0.0101
    assert point.weights.sum() + point.noise.weight == pytest.approx(1.0, rel=1e-12)


def test_no_extrapolation_leaves_noise_less_than_a_hundredth_of_its_weight() -> None:
    """Steps that halve it would lead to a 128th of it, or below 0."""
    point = extrapolated((0.0029, 0.0014, 0.00065), bound=4.0)
    assert point.noise is not None
    assert point.noise.weight == pytest.approx(0.01 * 0.00065, rel=1e-2)


def test_noise_is_one_free_parameter_and_marginals_have_their_own_volume() -> None:
    family = FAMILIES["full"]
    assert n_parameters(family, 3, 4, noise=True) == n_parameters(family, 3, 4) + 1
    p = noisy(family).parameters
    assert p.noise is not None
    some = p.marginal(np.array([0, 2]))
    assert some.noise is not None
    width = (p.noise.high - p.noise.low)[[0, 2]]
    assert some.noise.log_volume == pytest.approx(float(np.log(width).sum()), rel=1e-12)


def test_draws_have_the_noise_last_and_in_its_box() -> None:
    p = noisy(FAMILIES["diag"]).parameters
    rows, labels = p.sample(20_000, np.random.default_rng(0))
    assert p.noise is not None
    assert (np.diff(labels) >= 0).all()
    shares = np.bincount(labels) / 20_000
    assert np.allclose(shares, [*p.weights, p.noise.weight], atol=0.01)
    own = rows[labels == 3]
    assert ((own >= p.noise.low) & (own <= p.noise.high)).all()
    assert np.allclose(own.mean(axis=0), (p.noise.low + p.noise.high) / 2, atol=1.0)


def test_kernels_without_noise_are_what_they_were() -> None:
    """No row more, and compiled code takes whole blocks."""
    for family in FAMILIES.values():
        scene = mixtures.scene(family)
        for make in KERNELS.values():
            kernel = make(scene.parameters)
            assert not kernel.has_noise
            assert kernel.n_components == 3
            assert one_pass(kernel, scene.Y).noise is None
        assert not ProductKernel.of(scene.parameters).with_scatter


def test_problems_of_two_kinds_run_side_by_side() -> None:
    """A candidate with noise and one without share a pass; each has the bits of its own run."""
    scene = noisy(FAMILIES["tied"])
    bare = with_noise(scene.parameters, None)
    settings = em_runs.problem(scene.Y, max_iter=5)
    solver = em.EMSolver(settings)
    both = tuple(
        solver.init(em.CandidateId(restart=i), p) for i, p in enumerate((scene.parameters, bare))
    )
    together = em.run(both, em_runs.InMemory(scene.Y), settings)
    for one, p in zip(together, (scene.parameters, bare), strict=True):
        alone = em_runs.fit(p, scene.Y, settings)
        assert one.history == alone.history
        assert np.array_equal(one.parameters.means, alone.parameters.means)
