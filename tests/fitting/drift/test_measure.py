"""Drift of a fitted model: one E-step on new rows against plain loops, and simulated alarms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from mixtures import mixture
from numpy.typing import NDArray
from scipy import integrate, stats

from dgmm import GaussianMixture
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.errors import DataError
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.drift.alarms import Alarm, Thresholds
from dgmm.fitting.drift.chance import rate_exceeds, shares_differ
from dgmm.fitting.drift.drift_pass import DriftStatistics, drift_pass
from dgmm.fitting.drift.measure import Drift, FittedRows
from dgmm.mixture.bhattacharyya import all_distances, hellinger, paired_distances
from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.mixture.noise import Noise
from dgmm.mixture.parameters import Parameters
from dgmm.model.mixture_model import MixtureModel

Array = NDArray[np.float64]
FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)


OPEN: list[ThreadExecutor] = []


@pytest.fixture(autouse=True, scope="module")
def _one_executor_for_all() -> Iterator[None]:
    """Opening one takes longer than a pass over 10,000 rows."""
    with ThreadExecutor(1) as executor:
        OPEN.append(executor)
        yield
        OPEN.clear()


def found(
    model: MixtureModel,
    X: Array,
    *,
    missing: str = "error",
    weights: Array | None = None,
    executor: ThreadExecutor | None = None,
) -> DriftStatistics:
    return drift_pass(
        ArrayDataset(X, weights=weights),
        executor or OPEN[0],
        model,
        missing=MissingPolicy(missing),
        backend="numpy",
    )


def drift_of(model: MixtureModel, X: Array, n_before: float | None = None, **how: object) -> Drift:
    before = FittedRows(n_before, np.zeros(model.n_features))
    return Drift.of(model, found(model, X, **how), before)


def model_of(family: Family, seed: int = 0, k: int = 3, d: int = 2) -> MixtureModel:
    """A mixture in units that are not those of its data."""
    rng = np.random.default_rng(seed)
    parameters = mixture(family, k, d, rng)
    scale = np.full(d, 4.0) if family.common_scale else 2.0 ** np.arange(d)
    units = Standardisation(np.arange(d) * 100.0, scale, np.ones(d), np.zeros(d, bool))
    return MixtureModel(parameters, units, tuple(f"x{j}" for j in range(d)))


def full_covariances(model: MixtureModel) -> list[Array]:
    return [model.component_covariance(j) for j in range(model.n_components)]


def plain_step(model: MixtureModel, X: Array, w: Array) -> tuple[Array, Array, Array]:
    """Weights, means and (d, d) scatters of one step of EM, row by row, in the user's units."""
    k = model.n_components
    parts = [
        model.weights[j] * stats.multivariate_normal(model.means[j], S).pdf(X)
        for j, S in enumerate(full_covariances(model))
    ]
    R = w * np.array(parts) / np.sum(parts, axis=0)
    counts = R.sum(axis=1)
    means = R @ X / counts[:, None]
    scatters = [(R[j, :, None] * (X - means[j])).T @ (X - means[j]) for j in range(k)]
    return counts, means, np.array(scatters)


def of_family(name: str, counts: Array, scatters: Array, scale: Array) -> Array:
    """Covariances of maximum likelihood of the family, as (k, d, d)."""
    S = scatters / counts[:, None, None]
    if name.startswith("tied"):
        S = np.array([scatters.sum(axis=0) / counts.sum()] * len(counts))
    if name in ("full", "tied"):
        return S
    if name.endswith("diag"):
        return np.array([np.diag(np.diag(one)) for one in S])
    return np.array([np.diag(scale**2) * np.mean(np.diag(one) / scale**2) for one in S])


def plain_distance(a: Array, A: Array, b: Array, B: Array) -> float:
    M = (A + B) / 2
    det = np.linalg.det
    return float(
        (b - a) @ np.linalg.solve(M, b - a) / 8 + 0.5 * np.log(det(M) / np.sqrt(det(A) * det(B)))
    )


@FAMILY
@pytest.mark.parametrize("weighted", [False, True])
def test_drift_is_one_plain_step_of_em_on_the_new_rows(family: Family, weighted: bool) -> None:
    model = model_of(family)
    rng = np.random.default_rng(1)
    X, _ = model.sample(400, rng)
    X = 1.05 * rng.permutation(X) + 0.3
    w = rng.uniform(0.5, 2.0, len(X)) if weighted else np.ones(len(X))
    counts, means, scatters = plain_step(model, X, w)
    covariances = of_family(family.name, counts, scatters, model.standardisation.scale)
    drift = drift_of(model, X, weights=w if weighted else None)
    n = w.sum() ** 2 / (w**2).sum()
    assert drift.n_rows == pytest.approx(n, rel=1e-12)
    assert drift.new_weights == pytest.approx(counts / w.sum(), rel=1e-10)
    assert drift.rows == pytest.approx(n * counts / w.sum(), rel=1e-10)
    old = full_covariances(model)
    for j in range(3):
        delta = means[j] - model.means[j]
        shift = np.sqrt(delta @ np.linalg.solve(old[j], delta))
        B = plain_distance(model.means[j], old[j], means[j], covariances[j])
        own = {"full": 3, "diag": 2, "spherical": 1, "tied": 3}[family.name.removeprefix("tied_")]
        p = 2 + own * (counts[j] / w.sum() if family.is_shared else 1.0)
        assert drift.shifts[j] == pytest.approx(shift, rel=1e-8)
        assert drift.distances[j] == pytest.approx(B, rel=1e-7)
        assert drift.hellinger[j] == pytest.approx(np.sqrt(1 - np.exp(-B)), rel=1e-7)
        assert drift.significances[j] == pytest.approx(8 * B * drift.rows[j] / p, rel=1e-7)


def test_rows_of_the_old_fit_make_differences_less_significant() -> None:
    model = model_of(FAMILIES["full"])
    X, _ = model.sample(2000, np.random.default_rng(3))
    exact, fitted = drift_of(model, X), drift_of(model, X, n_before=500.0)
    old = 500.0 * model.weights
    factor = old / (old + exact.rows)
    assert fitted.significances == pytest.approx(exact.significances * factor, rel=1e-12)
    assert (np.abs(fitted.weight_errors) < np.abs(exact.weight_errors)).all()


@FAMILY
def test_rows_that_lack_values_are_marginalised(family: Family) -> None:
    """Without gaps the same drift; with a third of values missing none is seen where none is."""
    model = model_of(family, seed=4)
    X, _ = model.sample(6000, np.random.default_rng(5))
    whole = drift_of(model, X)
    assert drift_of(model, X, missing="marginalise").distances == pytest.approx(
        whole.distances, rel=1e-6
    )
    X[np.random.default_rng(6).uniform(size=X.shape) < 0.3] = np.nan
    lacking = drift_of(model, X, missing="marginalise")
    assert lacking.hellinger.max() < 0.05
    assert lacking.n_rows == np.isfinite(X).any(axis=1).sum()
    with pytest.raises(DataError, match="NaN"):
        drift_of(model, X)
    assert drift_of(model, X, missing="drop").n_rows == np.isfinite(X).all(axis=1).sum()


def test_bits_do_not_follow_the_number_of_threads() -> None:
    model = model_of(FAMILIES["full"])
    X, _ = model.sample(300_000, np.random.default_rng(7))
    with ThreadExecutor(2) as executor:
        one, two = found(model, X), found(model, X, executor=executor)
    assert one.statistics.sums.tobytes() == two.statistics.sums.tobytes()


def test_a_row_whose_square_overflows_is_refused() -> None:
    model = model_of(FAMILIES["full"])
    X, _ = model.sample(50, np.random.default_rng(8))
    X[17] = 1e200
    with pytest.raises(DataError, match="squared distance overflows"):
        found(model, X)


@FAMILY
def test_a_component_with_too_few_rows_has_no_distance_but_a_weight(family: Family) -> None:
    model = model_of(family, k=2)
    means = np.array([[0.0, 0.0], [500.0, 500.0]])
    model = replace(model, parameters=replace(model.parameters, means=means))
    X, y = model.sample(1000, np.random.default_rng(9))
    for n_left in (0, 20):
        some = np.concatenate([X[y == 0], X[y == 1][:n_left]])
        drift = drift_of(model, some, n_before=1000)
        assert np.isnan(drift.distances[1])
        assert np.isnan(drift.significances[1])
        assert np.isfinite(drift.distances[0])
        assert Alarm("weight", 1) in Thresholds().alarms(drift)
        assert Alarm("component", 1) not in Thresholds().alarms(drift)


def test_noise_is_the_last_component_with_a_weight_alone() -> None:
    model = model_of(FAMILIES["full"])
    noise = Noise(0.05, np.full(2, -10.0), np.full(2, 10.0))
    p = replace(model.parameters, weights=0.95 * model.parameters.weights, noise=noise)
    model, rng = replace(model, parameters=p), np.random.default_rng(11)
    X, _ = model.sample(10_000, rng)
    same = drift_of(model, X, n_before=1e4)
    assert same.new_weights.sum() == pytest.approx(1.0)
    assert same.new_weights[3] == pytest.approx(0.05, abs=0.01)
    assert np.isnan(same.distances[3])
    assert not Thresholds().alarms(same)
    far = model.standardisation.means_to_user(rng.uniform(-10.0, 10.0, size=(1000, 2)))
    more = np.concatenate([X[: -len(far)], far])
    assert Alarm("weight", 3) in Thresholds().alarms(drift_of(model, more, n_before=1e4))


# --- Bhattacharyya


def test_the_distance_is_the_integral_that_defines_it() -> None:
    """B = −ln ∫ √(p q)."""
    family = FAMILIES["full"]
    ones = np.ones(1)
    for m, v in ((0.0, 1.0), (1.5, 0.3), (-4.0, 7.0)):
        p = Parameters.of(family, ones, np.zeros((1, 1)), np.ones((1, 1, 1)))
        q = Parameters.of(family, ones, np.full((1, 1), m), np.full((1, 1, 1), v))
        both = lambda x, m=m, v=v: np.sqrt(  # noqa: E731 - one line of algebra
            stats.norm.pdf(x) * stats.norm.pdf(x, m, np.sqrt(v))
        )
        expected = -np.log(integrate.quad(both, -40, 40, limit=200)[0])
        assert paired_distances(p, q)[0] == pytest.approx(expected, abs=1e-9)


@FAMILY
def test_all_distances_have_the_paired_ones_on_their_diagonal(family: Family) -> None:
    rng = np.random.default_rng(10)
    one, other = (mixture(family, 4, 3, rng) for _ in range(2))
    table = all_distances(one, other)
    assert np.diag(table) == pytest.approx(paired_distances(one, other), rel=1e-10)
    assert pytest.approx(all_distances(other, one), rel=1e-10) == table.T
    assert paired_distances(one, one) == pytest.approx(np.zeros(4), abs=1e-12)


def test_hellinger_goes_from_0_to_1() -> None:
    assert hellinger(np.array([0.0, 1e-12, 0.01, 40.0])) == pytest.approx(
        [0.0, 1e-6, 0.0997505, 1.0], rel=1e-5
    )


# --- chance


def test_the_rate_of_anomalies_is_tested_by_the_binomial_distribution() -> None:
    n, n_before, q = 400.0, 1000.0, 0.01
    for rare in (1, 5, 12, 40):
        tail = stats.binom(rare + 10, n / (n + n_before)).sf(rare - 1)
        assert rate_exceeds(rare / n, q, n, n_before) == pytest.approx(stats.norm.isf(tail))
        exact = stats.binom(400, q).sf(rare - 1)
        assert rate_exceeds(rare / n, q, n, None) == pytest.approx(stats.norm.isf(exact))
    assert rate_exceeds(0.0, q, n, n_before) == -38.0


def test_a_rate_exceeds_the_expected_one_by_more_than_float64_has_probabilities_for() -> None:
    # 10^7 rows twice, one in 100 and twice that: 10^5/√(3·10^5) by the normal distribution.
    found = rate_exceeds(0.02, 0.01, 1e7, 1e7)
    assert found == pytest.approx(1e5 / np.sqrt(3e5), rel=0.02)
    assert found == pytest.approx(10 * rate_exceeds(0.02, 0.01, 1e5, 1e5), rel=0.01)
    assert rate_exceeds(0.3, 0.01, 1e6, None) > rate_exceeds(0.2, 0.01, 1e6, None) > 500
    assert rate_exceeds(0.001, 0.0, 1e5, 1e5) == pytest.approx(stats.norm.isf(0.5**100))


def test_significance_for_long_runs_of_correlated_rows_still_admits_alarms() -> None:
    # Runs of 1,000 rows: 4 standard errors become 126.
    thresholds = Thresholds(significance=3000.0)
    assert 126 < thresholds.standard_errors < 127
    drift = Drift(
        n_rows=1e8,
        n_rows_before=1e8,
        weights=np.array([0.5, 0.5]),
        new_weights=np.array([0.7, 0.3]),
        rows=np.array([7e7, 3e7]),
        shifts=np.zeros(2),
        distances=np.zeros(2),
        significances=np.zeros(2),
        n_parameters=np.array([5.0, 5.0]),
        weight_errors=shares_differ(np.array([0.7, 0.3]), np.array([0.5, 0.5]), 1e8, 1e8),
        rate=0.01,
        new_rate=0.03,
        rate_errors=rate_exceeds(0.03, 0.01, 1e8, 1e8),
    )
    assert thresholds.alarms(drift) == (Alarm("weight", 0), Alarm("weight", 1), Alarm("anomalies"))


def test_weights_are_tested_with_the_error_of_two_shares() -> None:
    errors = shares_differ(np.array([0.3, 0.0, 1.0]), np.array([0.2, 0.0, 1.0]), 100.0, 300.0)
    pooled = (30 + 60) / 400
    expected = 0.1 / np.sqrt(pooled * (1 - pooled) * (1 / 100 + 1 / 300))
    assert errors == pytest.approx([expected, 0.0, 0.0])
    alone = shares_differ(np.array([0.3, 0.1]), np.array([0.2, 0.0]), 100.0, None)
    assert alone == pytest.approx([0.1 / np.sqrt(0.16 / 100), 38.0])


def test_an_alarm_needs_size_and_significance() -> None:
    drift = Drift(
        n_rows=1e4,
        n_rows_before=1e4,
        weights=np.array([0.5, 0.5]),
        new_weights=np.array([0.53, 0.47]),
        rows=np.array([5300.0, 4700.0]),
        shifts=np.zeros(2),
        distances=np.array([0.02, 0.004]),
        significances=np.array([20.0, 20.0]),
        n_parameters=np.array([5.0, 5.0]),
        weight_errors=np.array([4.1, -3.9]),
        rate=0.01,
        new_rate=0.021,
        rate_errors=5.0,
    )
    usual = Thresholds().alarms(drift)
    assert usual == (Alarm("component", 0), Alarm("weight", 0), Alarm("anomalies"))
    assert not Thresholds(0.2, 0.05, 3.0).alarms(drift)  # nothing is as large
    assert not Thresholds(significance=30.0).alarms(drift)  # nothing exceeds chance as far
    rare = replace(drift, significances=np.array([5.0, 5.0]))
    assert Alarm("component", 0) not in Thresholds().alarms(rare)  # χ²₅ exceeds 25 in 0.01 %


def test_few_parameters_need_more_than_three_times_their_number() -> None:
    needed = Thresholds().significance_needed(np.array([2.0, 5.0, 90.0]))
    tail = stats.norm.sf(4.0)
    assert needed == pytest.approx([stats.chi2(2).isf(tail) / 2, stats.chi2(5).isf(tail) / 5, 3.0])


# --- simulations: mixtures whose old model was fitted to rows of its own

N = 10_000
WEIGHTS = np.array([0.1, 0.15, 0.2, 0.25, 0.3])
CENTRES = 8.0 * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 0.5]])
ROOTS = np.array([[[1.0, 0.0], [0.3 * (-1) ** j, 0.9]] for j in range(5)])


def rows(
    rng: np.random.Generator, n: int = N, w: Array = WEIGHTS, m: Array = CENTRES, L: Array = ROOTS
) -> Array:
    z = rng.choice(5, size=n, p=w)
    return m[z] + np.einsum("nij,nj->ni", L[z], rng.normal(size=(n, 2)))


def fitted(family: str, seed: int, n: int = N, quantile: float = 0.01) -> MixtureModel:
    X = rows(np.random.default_rng(seed), n)
    found = GaussianMixture(5, covariance_type=family, random_state=seed).fit(X)
    threshold = float(np.quantile(found.score_samples(X), quantile))
    return found.model_.with_threshold(threshold, quantile)


def alarms(model: MixtureModel, X: Array) -> tuple[Alarm, ...]:
    return Thresholds().alarms(drift_of(model, X, n_before=len(X)))


@pytest.mark.parametrize(("family", "seed"), [("full", 0), ("tied", 1), ("diag", 2)])
def test_at_most_one_of_a_hundred_draws_without_drift_alarms(family: str, seed: int) -> None:
    model, rng = fitted(family, seed), np.random.default_rng(100 + seed)
    assert sum(bool(alarms(model, rows(rng))) for _ in range(100)) <= 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_draw_with_drift_alarms(seed: int) -> None:
    model, rng = fitted("full", seed), np.random.default_rng(200 + seed)
    moved, weights, wide = CENTRES.copy(), WEIGHTS.copy(), ROOTS.copy()
    moved[2, 0] += 0.5
    weights[[1, 4]] += (0.05, -0.05)
    wide[3] *= 1.2
    one_wide = ROOTS.copy()
    one_wide[3, 0] *= 1.2  # the standard deviation of one feature
    kinds = {"component": {"m": moved}, "weight": {"w": weights}}
    for kind, change in kinds.items():
        for _ in range(10):
            assert kind in {alarm.kind for alarm in alarms(model, rows(rng, **change))}
    for L in (wide, one_wide):
        for _ in range(10):
            assert "component" in {alarm.kind for alarm in alarms(model, rows(rng, L=L))}


def test_a_new_cluster_of_half_a_percent_is_found_among_a_hundred_thousand_rows() -> None:
    """Also where it lies between four others, which share it: by the rate of anomalies."""
    model, rng = fitted("full", 0, 100_000, quantile=0.001), np.random.default_rng(300)
    for place in ([4.0, 4.0], [20.0, 20.0], [16.0, -2.0]):
        X = rows(rng, 100_000)
        X[:500] = place + rng.normal(size=(500, 2)) / 2.0
        assert alarms(model, X), place
    assert not alarms(model, rows(rng, 100_000))


def test_features_are_ranked_by_what_changed_in_mean_or_width() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 3))
    model = GaussianMixture(1, random_state=0).fit(X).model_
    moved = X * [1.0, 1.0, 1.6] + [0.0, 0.3, 0.0]
    drift = drift_of(model, moved)
    assert drift.features(0, 2) == [2, 1]
    assert drift.feature_shifts is not None
    assert drift.feature_scales is not None
    sd = np.sqrt(np.diag(np.cov(X.T, bias=True)))
    np.testing.assert_allclose(drift.feature_shifts[0], (moved - X).mean(axis=0) / sd, atol=1e-4)
    np.testing.assert_allclose(drift.feature_scales[0], [1.0, 1.0, 1.6], rtol=1e-4)
