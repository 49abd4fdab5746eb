"""EM over rows with missing values: it climbs the observed likelihood, whatever runs it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import em_runs
import missing_rows
import mixtures
import numpy as np
import pytest
from families import ALL_FAMILIES
from missing_rows import BACKENDS, KERNELS, one_pass, with_gaps
from mixtures import EPS, Array, Scene
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from shared_diag import SharedDiag

from dgmm.data.standardisation import Standardisation
from dgmm.errors import DataError
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em.acceleration import Acceleration
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.mixture.backends import get
from dgmm.mixture.covariance import FAMILIES, Family, Marginals
from dgmm.mixture.kernels import Guard
from dgmm.mixture.marginal import MarginalKernel, rows_by_pattern
from dgmm.mixture.parameters import Parameters, m_step
from dgmm.outcome import Outcome

FAMILY = pytest.mark.parametrize("family", ALL_FAMILIES.values(), ids=lambda f: f.name)
OWN_FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
KERNEL = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
BACKEND = pytest.mark.parametrize("backend", BACKENDS)


def _observed_log_likelihood(weights: Array, means: Array, full: Array, Y: Array) -> float:
    """Σ log p(x_o), pattern by pattern, by scipy."""
    total, missing = 0.0, np.isnan(Y)
    for pattern in np.unique(missing, axis=1).T:
        o, rows = ~pattern, (missing == pattern[:, None]).all(axis=0)
        each = [
            np.log(w) + multivariate_normal(m[o], C[np.ix_(o, o)]).logpdf(Y[np.ix_(o, rows)].T)
            for w, m, C in zip(weights, means, full, strict=True)
        ]
        total += float(logsumexp(each, axis=0).sum())
    return total


def _slope(at: float, step: float, value) -> float:
    """The derivative, by central differences of two widths (error of fourth order)."""
    wide, narrow = ((value(at + h) - value(at - h)) / (2.0 * h) for h in (2.0 * step, step))
    return (4.0 * narrow - wide) / 3.0


@OWN_FAMILY
@KERNEL
def test_moments_are_the_gradient_of_the_observed_likelihood(family: Family, kernel) -> None:
    """Fisher's identity: finite differences of the likelihood by scipy give Λ M₁ and ½Λ(M₂ − nΣ)Λ.

    Covariances are moved along directions that the family has.
    """
    d, k = 3, 2
    scene = mixtures.scene(family, 60, k, d)
    p, Y = scene.parameters, with_gaps(scene.Y, 0.35)
    found = one_pass(kernel(p), Y)
    moments = found.moments(family)
    full = np.stack([family.full_covariance(p.covariances, j, d) for j in range(k)])
    precisions = np.linalg.inv(full)

    def likelihood(means: Array = p.means, covariances: Array = full) -> float:
        return _observed_log_likelihood(p.weights, means, covariances, Y)

    for j in range(k):
        expected = precisions[j] @ moments.first[j]
        for i in range(d):
            move = np.zeros((k, d))
            move[j, i] = 1.0
            slope = _slope(0.0, 1e-3, lambda h, move=move: likelihood(means=p.means + h * move))
            assert slope == pytest.approx(expected[i], abs=1e-6 * 60)
    rng = np.random.default_rng(0)
    for _ in range(4):
        direction = rng.normal(size=p.covariances.shape)
        if p.covariances.ndim > 1 and p.covariances.shape[-1] == p.covariances.shape[-2]:
            direction = direction + np.swapaxes(direction, -1, -2)
        full_direction = np.stack([_full_direction(family, direction, j, d) for j in range(k)])
        slope = _slope(0.0, 1e-3, lambda h, F=full_direction: likelihood(covariances=full + h * F))
        expected = _gradient(family, p, found, full_direction, precisions)
        assert slope == pytest.approx(expected, abs=1e-6 * 60)


def _full_direction(family: Family, direction: Array, k: int, d: int) -> Array:
    return np.asarray(family.full_covariance(direction, k, d))


def _gradient(family, p, found, directions: Array, precisions: Array) -> float:
    """Σ_k tr(½ Λ (M₂ − nΣ) Λ F) for directions F, of moments as the family packs them."""
    moments, (k, d) = found.moments(family), p.means.shape
    total = 0.0
    for j in range(k):
        L, F = precisions[j], directions[j]
        if family.name == "full":
            second = np.zeros((d, d))
            second[np.triu_indices(d)] = moments.second[j]
            second += np.triu(second, 1).T
            excess = second - moments.counts[j] * np.linalg.inv(L)
            total += 0.5 * np.trace(L @ excess @ L @ F)
        elif family.name == "tied" and j == 0:
            second = np.zeros((d, d))
            second[np.triu_indices(d)] = moments.scatter
            second += np.triu(second, 1).T
            excess = second - moments.counts.sum() * np.linalg.inv(L)
            total += 0.5 * np.trace(L @ excess @ L @ F)
        elif family.name == "tied_diag" and j == 0:
            excess = moments.scatter - moments.counts.sum() / np.diagonal(L)
            total += 0.5 * (np.diagonal(L) ** 2 * excess * np.diagonal(F)).sum()
        elif family.name == "tied_spherical" and j == 0:
            excess = moments.scatter[0] - moments.counts.sum() * d / L[0, 0]
            total += 0.5 * L[0, 0] ** 2 * excess * F[0, 0]
        elif family.name == "diag":
            excess = moments.second[j] - found.observed[j] / np.diagonal(L)
            total += 0.5 * (np.diagonal(L) ** 2 * excess * np.diagonal(F)).sum()
        elif family.name == "spherical":
            excess = moments.second[j, 0] - found.observed[j].sum() / L[0, 0]
            total += 0.5 * L[0, 0] ** 2 * excess * F[0, 0]
    return float(total)


@FAMILY
@KERNEL
@BACKEND
def test_of_complete_rows_it_is_the_pass_without_missing_values(family, kernel, backend) -> None:
    scene = mixtures.scene(family, 500, 3, 4)
    marginal = kernel(scene.parameters)
    plain = em_runs.one_pass(em_runs.centred(scene.parameters), scene.Y)
    found = one_pass(marginal, scene.Y, backend)
    assert found.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-12)
    left = m_step(family, found, before=scene.parameters).regularised(np.zeros(4))
    right = m_step(family, plain).regularised(np.zeros(4))
    assert mixtures.difference(left, right) <= 1e-12


@FAMILY
@BACKEND
def test_products_and_deviations_give_the_same_parameters(family: Family, backend: str) -> None:
    scene = mixtures.scene(family, 700, 4, 6, condition=1e3)
    p, Y = scene.parameters, with_gaps(scene.Y, 0.3)
    product, centred = (one_pass(make(p), Y, backend) for make in KERNELS.values())
    left, right = (m_step(family, s, before=p).regularised(np.zeros(6)) for s in (product, centred))
    allowed = 10 * scene.allowed()
    assert abs(product.log_likelihood - centred.log_likelihood) / 700 <= allowed
    assert mixtures.difference(left, right) <= 10 * allowed


@FAMILY
@pytest.mark.parametrize("offset", [1e3, 1e5])
def test_far_from_the_origin_the_guard_takes_the_kernel_that_is_right(family, offset) -> None:
    """Rows moved by an offset that they hold exactly: parameters move with them."""
    scene = mixtures.scene(family, 400, 3, 4)
    Y = np.round(with_gaps(scene.Y, 0.3) * 2**20) / 2**20
    p = scene.parameters
    far = mixtures.moved(p, offset)
    near_step, far_step = (
        missing_rows.fit(at, rows, missing_rows.problem(rows, max_iter=1))
        for at, rows in ((p, Y), (far, Y + offset))
    )
    found = mixtures.moved(far_step.parameters, -offset)
    # A mean of that size is rounded, and its products are as good as the guard allows.
    error = Guard.of_range(*(np.array([offset + 10.0] * 4),) * 2).log_prob_error(p)
    allowed = 1e-9 + 100 * EPS * offset + (10 * error if "product" in far_step.kernel else 0.0)
    assert mixtures.difference(found, near_step.parameters) <= allowed
    kind = "split" if family.moves_moments else "centred"
    assert offset < 1e5 or far_step.kernel == f"{kind}-float64"


@OWN_FAMILY
@pytest.mark.parametrize("acceleration", ["none", "squarem"])
def test_two_hundred_random_fits_never_fall(family: Family, acceleration: Acceleration) -> None:
    """25 fits of each family and kind of step; none of their passes finds less than before."""
    n_compared = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        k, d = int(rng.integers(1, 4)), int(rng.integers(2, 5))
        scene = mixtures.scene(family, 90, k, d, seed, separation=float(rng.uniform(0.5, 5.0)))
        Y = with_gaps(scene.Y, float(rng.uniform(0.05, 0.6)), seed)
        settings = replace(missing_rows.problem(Y, max_iter=8), acceleration=acceleration)
        done = missing_rows.fit(scene.parameters, Y, settings, centred=seed % 2 > 0)
        assert done.outcome in {Outcome.CONVERGED, Outcome.MAX_ITER_REACHED}, seed
        if not done.events:
            rises = [after - before for before, after in pairwise(done.history)]
            fitted = Scene(done.parameters, np.nan_to_num(Y))
            assert min(rises, default=0.0) >= -fitted.allowed_fall(done.history[-1]), seed
            n_compared += len(rises)
    assert n_compared >= 100, n_compared


@OWN_FAMILY
def test_accelerated_steps_end_where_plain_ones_do(family: Family) -> None:
    scene = mixtures.scene(family, 400, 3, 3, separation=2.5)
    Y = with_gaps(scene.Y, 0.3)
    settings = missing_rows.problem(Y, max_iter=3000, tol=1e-13)
    plain = missing_rows.fit(scene.parameters, Y, settings)
    found = missing_rows.fit(scene.parameters, Y, replace(settings, acceleration="squarem"))
    assert plain.outcome is found.outcome is Outcome.CONVERGED
    assert abs(found.mean_log_likelihood - plain.mean_log_likelihood) <= 1e-9
    assert mixtures.difference(found.parameters, plain.parameters) <= 1e-4


@FAMILY
@BACKEND
def test_bits_follow_neither_workers_nor_what_a_task_holds(family, backend, monkeypatch) -> None:
    """Five blocks of 4,096 rows: tasks of one, of two, and of all."""
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)
    scene = mixtures.scene(family, 18_000, 3, 4)
    Y, p = with_gaps(scene.Y, 0.2), scene.parameters
    weights = np.random.default_rng(3).uniform(0.5, 2.0, 18_000)
    units = Standardisation.identity(4)
    request = (EStepRequest(MarginalKernel.of(p, Guard(1.0)), units),)
    found = []
    for n in (1, 2, 8):
        with ThreadExecutor(n) as executor:
            passes = missing_rows.Passes(Y, executor, backend=backend, weights=weights)
            found += passes(request).candidates
    for one in found[1:]:
        assert one.log_likelihood == found[0].log_likelihood
        for name in ("sums", "scatter", "observed"):
            np.testing.assert_array_equal(getattr(one, name), getattr(found[0], name))


@FAMILY
@BACKEND
def test_candidates_that_share_a_read_have_the_bits_of_their_runs_alone(family, backend) -> None:
    scene, units = mixtures.scene(family, 900, 3, 4), Standardisation.identity(4)
    Y = with_gaps(scene.Y, 0.3)
    kernels = [
        make(mixtures.moved(scene.parameters, shift))
        for make in KERNELS.values()
        for shift in (0.0, 0.1)
    ]
    with ThreadExecutor(1) as executor:
        passes = missing_rows.Passes(Y, executor, backend=backend)
        together = passes(tuple(EStepRequest(kernel, units) for kernel in kernels)).candidates
        apart = [passes((EStepRequest(kernel, units),)).candidates[0] for kernel in kernels]
    for found, alone in zip(together, apart, strict=True):
        assert found.log_likelihood == alone.log_likelihood
        np.testing.assert_array_equal(found.sums, alone.sums)


@FAMILY
@KERNEL
@BACKEND
def test_weights_are_copies(family, kernel, backend) -> None:
    scene = mixtures.scene(family, 300, 3, 4)
    Y, weights = with_gaps(scene.Y, 0.3), 1 + np.arange(300) % 3
    p = scene.parameters
    weighted = one_pass(kernel(p), Y, backend, weights.astype(float))
    copied = one_pass(kernel(p), np.repeat(Y, weights, axis=1), backend)
    assert weighted.log_likelihood == pytest.approx(copied.log_likelihood, rel=1e-12)
    left, right = (m_step(family, s, before=p).regularised(np.zeros(4)) for s in (weighted, copied))
    assert mixtures.difference(left, right) <= 1e-12


@FAMILY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stored_rows_are_standardised_as_they_are_read(family: Family, dtype) -> None:
    """Shift, scale and a stored type of four bytes: NaN stays NaN, and the step is the same."""
    scene = mixtures.scene(family, 200, 2, 3)
    scale = np.full(3, 4.0)
    shift = np.array([2.0, -1.0, 8.0])
    Y = with_gaps(scene.Y, 0.3).astype(dtype).astype(np.float64)
    units = Standardisation(shift, scale, np.ones(3), np.zeros(3, np.bool_))
    stored = (np.round(Y * 2**12) / 2**12 * scale[:, None] + shift[:, None]).astype(dtype)
    again = (stored.astype(np.float64) - shift[:, None]) / scale[:, None]
    kernel = MarginalKernel.of(scene.parameters, Guard(1.0))
    found, expected = one_pass(kernel, stored, units=units), one_pass(kernel, again)
    np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-12, atol=1e-9)


@OWN_FAMILY
def test_float32_tiles_are_as_good_as_float32(family: Family) -> None:
    scene = mixtures.scene(family, 400, 3, 4)
    Y = with_gaps(scene.Y, 0.3).astype(np.float32)
    p = scene.parameters
    single = MarginalKernel.of(p, Guard(1.0), single=True)
    assert single.dtype == np.float32
    left, right = (
        m_step(family, one_pass(kernel, Y), before=p).regularised(np.zeros(4))
        for kernel in (single, MarginalKernel.of(p, Guard(1.0)))
    )
    assert mixtures.difference(left, right) <= 1e-4


def test_a_component_without_values_of_a_feature_keeps_its_mean_and_variance() -> None:
    """Of the feature that no row near it has; the rest is estimated."""
    rng = np.random.default_rng(0)
    Y = rng.normal(size=(3, 200))
    Y[0, :100] += 50.0
    Y[2, :100] = np.nan
    for family in (FAMILIES["diag"], FAMILIES["spherical"]):
        covariances = np.full(family.covariance_shape(2, 3), 2.0)
        means = np.array([[50.0, 0.0, 7.0], [0.0, 0.0, 0.5]])
        p = Parameters.of(family, np.array([0.5, 0.5]), means, covariances)
        found = m_step(family, one_pass(KERNELS["product"](p), Y), before=p)
        assert found.means[0, 2] == 7.0
        assert found.means[1, 2] == pytest.approx(Y[2, 100:].mean(), abs=1e-12)
        if family.name == "diag":
            assert found.covariances[0, 2] == 2.0
        else:
            about = Y[:2, :100] - Y[:2, :100].mean(axis=1, keepdims=True)
            assert found.covariances[0] == pytest.approx((about**2).mean(), rel=1e-12)


@pytest.mark.parametrize("name", ["diag", "spherical"])
def test_a_component_whose_rows_have_too_few_values_of_any_feature_stays(name: str) -> None:
    """Three rows that count 0.3 each, with one value each: mean and variance are the old ones."""
    family = FAMILIES[name]
    Y = np.full((3, 3), np.nan)
    np.fill_diagonal(Y, 4.0)
    old = np.full(family.covariance_shape(1, 3), 2.5)
    p = Parameters.of(family, np.ones(1), np.array([[1.0, 2.0, 3.0]]), old)
    one = one_pass(KERNELS["product"](p), Y, weights=np.full(3, 0.3))
    found = m_step(family, one, before=p, by_weight=True)
    np.testing.assert_array_equal(found.means, p.means)
    np.testing.assert_allclose(found.covariances, old, rtol=4 * EPS)


def test_a_family_that_says_nothing_of_marginals_is_refused_by_name() -> None:
    class Silent(SharedDiag):
        name = "silent"
        marginal, conditional = Marginals.marginal, Marginals.conditional

    scene = mixtures.scene(Silent(), 50, 2, 3)
    with pytest.raises(
        DataError, match=r"'silent' does not define `marginal`.*data\.missing to drop"
    ):
        one_pass(KERNELS["product"](scene.parameters), with_gaps(scene.Y, 0.3))


def test_patterns_that_do_not_fit_are_prepared_again_with_the_same_bits(monkeypatch) -> None:
    scene = mixtures.scene(FAMILIES["full"], 300, 3, 5)
    Y = with_gaps(scene.Y, 0.4)
    kept = one_pass(KERNELS["product"](scene.parameters), Y)
    monkeypatch.setattr("dgmm.mixture.marginal.prepared_parts.MOST_PATTERNS", 2)
    np.testing.assert_array_equal(one_pass(KERNELS["product"](scene.parameters), Y).sums, kept.sums)


def test_many_features_have_patterns_of_several_words() -> None:
    """70 features: 64 bits are not enough; rows that differ in the last alone are told apart."""
    values = np.zeros((6, 70))
    values[1::2, 69] = np.nan
    values[2:4, 0] = np.nan
    found = [(p.observed, list(p.rows)) for p in rows_by_pattern(values)]
    assert [rows for _, rows in found] == [[0, 4], [2], [1, 5], [3]]
    for mask, rows in found:
        np.testing.assert_array_equal(mask, ~np.isnan(values[rows[0]]))


@pytest.mark.skipif("numba" not in BACKENDS, reason="Numba is optional")
@pytest.mark.parametrize("name", ["diag", "spherical"])
def test_compiled_code_masks_features_of_a_block_at_once(name: str, monkeypatch) -> None:
    backend, done = type(get("numba")), []
    e_step = backend.e_step
    monkeypatch.setattr(backend, "e_step", lambda self, b: done.append(b.form) or e_step(self, b))
    scene = mixtures.scene(FAMILIES[name], 500, 3, 4)
    one_pass(KERNELS["product"](scene.parameters), with_gaps(scene.Y, 0.3), "numba")
    form = FAMILIES[name].form
    assert done == [form, f"masked {form}"]


@pytest.mark.skipif("numba" not in BACKENDS, reason="Numba is optional")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("d", "share"), [(4, 0.3), (9, 0.1), (9, 0.6), (40, 0.1)])
def test_rows_one_by_one_give_what_patterns_give(monkeypatch, d, share, weighted) -> None:
    scene = mixtures.scene(FAMILIES["full"], 1100, 3, d, condition=100.0)
    p, Y = scene.parameters, with_gaps(scene.Y, share)
    weights = np.random.default_rng(2).uniform(0.5, 2.0, 1100) if weighted else None
    found = []
    for fewest in (0.0, 1e9):  # all by patterns, all rows that lack a value one by one
        monkeypatch.setattr("dgmm.mixture.marginal.patterns._FEWEST_ROWS", fewest)
        found.append(one_pass(KERNELS["centred"](p), Y, "numba", weights))
    by_pattern, by_row = found
    assert by_row.log_likelihood == pytest.approx(by_pattern.log_likelihood, rel=1e-12)
    left, right = (m_step(p.family, s, before=p).regularised(np.zeros(d)) for s in found)
    assert mixtures.difference(left, right) <= 1e-10


@pytest.mark.skipif("numba" not in BACKENDS, reason="Numba is optional")
def test_rows_of_patterns_that_few_have_are_taken_one_by_one(monkeypatch) -> None:
    """Fewer than 96 with nothing missing to speak of, fewer than 48 with four missing features."""
    scene, taken = mixtures.scene(FAMILIES["full"], 1000, 2, 5), []
    Y = scene.Y.copy()
    Y[0, :60], Y[:4, 60:120], Y[:4, 120:150] = np.nan, np.nan, np.nan
    Y[1, 150:400] = np.nan
    Y[4, 120:150], Y[0, 120:150] = np.nan, 0.0
    backend = type(get("numba"))
    expect = backend.expect_missing

    def counted(self, precision, gaps, *arrays):
        taken.append(len(gaps.starts) - 1)
        return expect(self, precision, gaps, *arrays)

    monkeypatch.setattr(backend, "expect_missing", counted)
    one_pass(KERNELS["product"](scene.parameters), Y, "numba")
    assert taken == [90, 90]  # 60 that lack one value and 30 that lack four, for each component


@pytest.mark.parametrize("name", ["full", "tied"])
@KERNEL
@BACKEND
def test_a_singular_covariance_of_observed_features_is_an_outcome_that_names_the_floor(
    name: str, kernel, backend: str
) -> None:
    """Features 0 and 1 are one, and rows that lack the last have the others alone.

    Factors of all features are given, as rounding may leave them: only patterns invert what they
    have of a covariance by themselves.
    """
    rng = np.random.default_rng(3)
    Y = rng.normal(size=(4, 120))
    Y[3, ::2] = np.nan
    covariances = np.stack([np.eye(4), np.eye(4)])
    covariances[1, :2, :2] = 1.0
    own = covariances[1] if name == "tied" else covariances
    p = Parameters.of(FAMILIES[name], np.full(2, 0.5), rng.normal(size=(2, 4)), own)
    finite = np.broadcast_to(np.eye(4), p.precisions_cholesky.shape)
    p = replace(p, precisions_cholesky=np.ascontiguousarray(finite))
    assert np.isnan(one_pass(kernel(p), Y, backend).log_likelihood)
    done = missing_rows.fit(p, Y, missing_rows.problem(Y), backend=backend)
    assert done.outcome is Outcome.NON_FINITE
    assert done.n_iter <= 1
    assert not done.outcome.is_usable
    assert "covariance of the features" in done.outcome.value
    assert "raise model.reg_covar" in done.outcome.value
