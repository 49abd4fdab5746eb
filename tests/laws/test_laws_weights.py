"""A row of weight 3 is three copies of it, one of weight 0 is absent: over kernels and families."""

from __future__ import annotations

from functools import reduce
from typing import Any

import em_runs
import mixtures
import numpy as np
import pytest
from mixtures import Array, Scene
from weighted_rows import WeightedRows

from dgmm import GaussianMixture
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.data.summary.summarise import Summary, summarise
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.em import loop as em
from dgmm.fitting.em.data_pass import EStepRunner, EStepTask
from dgmm.fitting.em.e_step_request import EStepRequest
from dgmm.fitting.initialisation.all_rows import AllRows
from dgmm.fitting.initialisation.oversampling import ClusterMeasure, CountMeasure, RoundMeasure
from dgmm.mixture.backends import compiled_backend, get
from dgmm.mixture.covariance import FAMILIES, Family
from dgmm.mixture.kernels import CentredKernel, Kernel, ProductKernel, Workspace
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.parameters import Parameters, m_step
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.model.mixture_model import MixtureModel
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.map_reduce import map_reduce
from dgmm.scoring.row_scores import score_block
from dgmm.scoring.scoring_statistics import ScoringStatistics

N, D = 1000, 4
WEIGHTS = np.random.default_rng(7).integers(1, 4, N)
FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
BACKENDS = ["numpy"] + ["numba"] * (compiled_backend() is not None)
KERNELS = {
    "product": lambda p: ProductKernel.of(p, with_scatter=True),
    "product float32": lambda p: ProductKernel.of(p, np.float32, with_scatter=True),
    "centred": CentredKernel.of,
}


@FAMILY
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_weights_are_copies_in_a_pass(family, backend, kernel):
    scene = _scene(family)
    weighted = _pass(kernel(scene.parameters), _rows(scene), WEIGHTS, backend)
    copied = _pass(
        kernel(scene.parameters), np.repeat(_rows(scene), WEIGHTS, axis=0), None, backend
    )
    assert (weighted.n_rows, weighted.weight) == (N, copied.n_rows)
    largest = max(np.abs(scene.Y).max() ** 2, 1.0)
    eps = float(np.finfo(kernel(scene.parameters).dtype).eps)
    # A sum of n products of numbers up to `largest`, each rounded.
    allowed = eps * copied.n_rows * largest * D
    assert abs(weighted.log_likelihood - copied.log_likelihood) <= allowed * 10
    assert np.abs(weighted.sums - copied.sums).max() <= allowed
    if copied.scatter is not None:
        assert np.abs(weighted.scatter - copied.scatter).max() <= allowed


@FAMILY
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_rows_of_weight_zero_are_absent_bit_by_bit(family, backend, kernel):
    scene = _scene(family)
    rows, weights = _rows(scene).copy(), WEIGHTS * (np.arange(N) % 3 > 0)
    rows[::9] = np.nan
    found = _pass(kernel(scene.parameters), rows, weights, backend)
    there = weights > 0
    expected = _pass(kernel(scene.parameters), rows[there], weights[there], backend)
    assert found.log_likelihood == expected.log_likelihood
    assert (found.n_rows, found.weight) == (there.sum(), weights.sum())
    np.testing.assert_array_equal(found.sums, expected.sums)
    np.testing.assert_array_equal(found.scatter, expected.scatter)


@FAMILY
@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_are_copies_in_a_fit(family, backend):
    scene = _scene(family)
    weighted = _fit(scene, _rows(scene), WEIGHTS, backend)
    copied = _fit(scene, np.repeat(_rows(scene), WEIGHTS, axis=0), None, backend)
    # Five iterations, each with the rounding of a pass.
    allowed = 5 * WEIGHTS.sum() * scene.allowed()
    np.testing.assert_allclose(weighted.history, copied.history, rtol=0, atol=allowed)
    assert mixtures.difference(weighted.parameters, copied.parameters) <= allowed


@FAMILY
def test_rows_of_weight_zero_are_absent_in_a_fit(family):
    scene = _scene(family)
    weights = WEIGHTS * (np.arange(N) % 3 > 0)
    there = weights > 0
    found = _fit(scene, _rows(scene), weights, "numpy")
    expected = _fit(scene, _rows(scene)[there], weights[there], "numpy")
    assert found.history == expected.history
    np.testing.assert_array_equal(found.parameters.means, expected.parameters.means)


@FAMILY
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("exponent", [-10, 10])
def test_a_common_factor_of_all_weights_changes_nothing_but_the_sums(family, backend, exponent):
    scene, factor = _scene(family), 2.0**exponent
    kernel = ProductKernel.of(scene.parameters, np.float32, with_scatter=True)
    plain = _pass(kernel, _rows(scene), WEIGHTS, backend)
    scaled = _pass(kernel, _rows(scene), WEIGHTS * factor, backend)
    assert scaled.log_likelihood == plain.log_likelihood * factor
    assert (scaled.n_rows, scaled.weight) == (plain.n_rows, plain.weight * factor)
    np.testing.assert_array_equal(scaled.sums, plain.sums * factor)
    if plain.scatter is not None:
        np.testing.assert_array_equal(scaled.scatter, plain.scatter * factor)
    estimates = [m_step(family, statistics) for statistics in (plain, scaled)]
    for name in ("counts", "means", "covariances"):
        np.testing.assert_array_equal(*(getattr(one, name) for one in estimates))
    assert estimates[0].counts.sum() == pytest.approx(N)


@FAMILY
@pytest.mark.parametrize("exponent", [-10, 10])
def test_a_common_factor_of_all_weights_changes_no_fit(family, exponent):
    """Not which components are lost either: one describes a third of a row here."""
    scene = _scene(family)
    rows, weights, p = _rows(scene), np.array(WEIGHTS, dtype=float), scene.parameters
    rows[0], weights[0] = 1e3, WEIGHTS.mean() / 3
    means = p.means.copy()
    means[1] = 1e3
    start = Scene(Parameters.of(family, p.weights, means, p.covariances), rows.T)
    plain, scaled = (_fit(start, rows, weights * c, "numpy") for c in (1.0, 2.0**exponent))
    assert "component 1 of 3 emptied at iteration 1 (0.33" in plain.events[0].message
    assert scaled.events == plain.events
    assert scaled.history == plain.history
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(
            getattr(scaled.parameters, name), getattr(plain.parameters, name)
        )


@pytest.mark.parametrize("exponent", [-10, 10])
def test_a_common_factor_of_all_weights_changes_no_estimator(exponent):
    rows = _rows(_scene(FAMILIES["full"]))
    plain, scaled = (
        GaussianMixture(3, random_state=0, n_init=2).fit(WeightedRows(rows, weights=WEIGHTS * c))
        for c in (1.0, 2.0**exponent)
    )
    for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
        np.testing.assert_array_equal(getattr(scaled, name), getattr(plain, name))


@pytest.mark.skipif("numba" not in BACKENDS, reason="Numba is optional")
def test_compiled_code_does_blocks_with_weights_at_once(monkeypatch):
    backend, done = type(get("numba")), []
    e_step = backend.e_step
    monkeypatch.setattr(
        backend, "e_step", lambda self, b: done.append(b.weights) or e_step(self, b)
    )
    scene = _scene(FAMILIES["full"])
    _pass(ProductKernel.of(scene.parameters), _rows(scene), WEIGHTS, "numba")
    np.testing.assert_array_equal(done, [WEIGHTS])


def test_weights_of_one_change_nothing_but_rounding():
    scene = _scene(FAMILIES["full"])
    kernel = ProductKernel.of(scene.parameters)
    plain = _pass(kernel, _rows(scene), None, "numpy")
    weighted = _pass(kernel, _rows(scene), np.ones(N), "numpy")
    assert plain.sum_of_weights is None
    assert weighted.weight == plain.weight == N
    np.testing.assert_array_equal(weighted.sums, plain.sums)


def test_weights_are_copies_in_the_summary():
    rows = 5.0 + _rows(_scene(FAMILIES["full"]))
    weighted, copied = _summary(rows, WEIGHTS), _summary(np.repeat(rows, WEIGHTS, axis=0), None)
    allowed = WEIGHTS.sum() * mixtures.EPS
    np.testing.assert_allclose(weighted.mean, copied.mean, rtol=allowed)
    np.testing.assert_allclose(weighted.variance, copied.variance, rtol=10 * allowed)
    assert (weighted.n_kept, weighted.weight) == (N, WEIGHTS.sum())
    assert copied.weight == copied.n_kept


def test_rows_of_weight_zero_are_absent_in_the_summary():
    rows, weights = _rows(_scene(FAMILIES["full"])).copy(), WEIGHTS * (np.arange(N) % 3 > 0)
    rows[::9, 1] = np.inf
    there = weights > 0
    found, expected = _summary(rows, weights), _summary(rows[there], weights[there])
    np.testing.assert_array_equal(found.mean, expected.mean)
    np.testing.assert_array_equal(found.variance, expected.variance)
    np.testing.assert_array_equal(found.maximum, expected.maximum)
    np.testing.assert_array_equal(found.sample, expected.sample)
    assert (found.n_kept, found.n_incomplete, found.n_inf.sum()) == (there.sum(), 0, 0)


@FAMILY
def test_weights_are_copies_in_a_start_over_all_rows(family):
    rows, centres = _rows(_scene(family)), (np.eye(3, D) * 3.0,)
    (counts,) = _reduced(rows, WEIGHTS, CountMeasure(centres, (None,)))
    (copied,) = _reduced(np.repeat(rows, WEIGHTS, axis=0), None, CountMeasure(centres, (None,)))
    np.testing.assert_array_equal(counts.values, copied.values)
    draw = RoundMeasure(0, ((0,),), centres, (None,), 2.0)
    (cost,) = _reduced(rows, WEIGHTS, draw)
    (copied,) = _reduced(np.repeat(rows, WEIGHTS, axis=0), None, draw)
    assert cost.cost == pytest.approx(copied.cost, rel=WEIGHTS.sum() * mixtures.EPS)
    moments = ClusterMeasure(family, centres, (None,))
    (found,) = _reduced(rows, WEIGHTS, moments)
    (copied,) = _reduced(np.repeat(rows, WEIGHTS, axis=0), None, moments)
    allowed = WEIGHTS.sum() * mixtures.EPS * np.abs(rows).max() ** 2 * D
    assert np.abs(found.sums - copied.sums).max() <= allowed
    assert (found.n_rows, found.weight) == (N, copied.weight)


@FAMILY
def test_rows_of_weight_zero_are_absent_in_a_start_over_all_rows(family):
    rows, centres = _rows(_scene(family)), (np.eye(3, D) * 3.0,)
    weights = WEIGHTS * (np.arange(N) % 3 > 0)
    there, moments = weights > 0, ClusterMeasure(family, centres, (None,))
    (found,) = _reduced(rows, weights, moments)
    (expected,) = _reduced(rows[there], weights[there], moments)
    np.testing.assert_array_equal(found.sums, expected.sums)
    np.testing.assert_array_equal(found.scatter, expected.scatter)


@FAMILY
@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_are_copies_in_scores(family, backend):
    scene = _scene(family)
    weighted = _scored(scene, _rows(scene), WEIGHTS, backend)
    copied = _scored(scene, np.repeat(_rows(scene), WEIGHTS, axis=0), None, backend)
    allowed = WEIGHTS.sum() * scene.allowed()
    assert abs(weighted.log_likelihood - copied.log_likelihood) <= allowed
    assert abs(weighted.entropy - copied.entropy) <= allowed
    assert (weighted.n_scored, weighted.weight) == (N, copied.weight)


@FAMILY
def test_rows_of_weight_zero_are_scored_and_add_nothing(family):
    scene, weights = _scene(family), WEIGHTS * (np.arange(N) % 3 > 0)
    found = _scored(scene, _rows(scene), weights, "numpy")
    there = weights > 0
    expected = _scored(scene, _rows(scene)[there], weights[there], "numpy")
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=N * mixtures.EPS)
    assert found.entropy == pytest.approx(expected.entropy, rel=N * mixtures.EPS)
    assert found.weight == expected.weight
    assert found.label_counts.sum() == N


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 4096 rows, the fewest, so that weights and copies are cut alike or not at all."""
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)


def _scene(family: Family) -> Scene:
    return mixtures.scene(family, N, 3, D)


def _rows(scene: Scene) -> Array:
    return np.ascontiguousarray(scene.Y.T)


def _pass(kernel: Kernel, rows: Array, weights: Array | None, backend: str) -> Statistics:
    dataset, units = ArrayDataset(rows, weights=weights), Standardisation.identity(D)
    task = EStepTask(dataset, (EStepRequest(kernel, units),), backend, MissingPolicy.DROP)
    with ThreadExecutor(1) as executor:
        (found,) = map_reduce(executor, task, dataset.grid.n_blocks).candidates
    return found


def _fit(scene: Scene, rows: Array, weights: Array | None, backend: str) -> em.FitCandidate:
    dataset = ArrayDataset(rows, weights=weights)
    problem = em_runs.problem(scene.Y, max_iter=5)
    start: Parameters = scene.parameters
    n_dropped = 0 if weights is None else int((weights == 0).sum())
    with ThreadExecutor(1) as executor:
        one_pass = EStepRunner(dataset, executor, backend, n_dropped=n_dropped)
        return em.run((em.EMSolver(problem).init(em.CandidateId(), start),), one_pass, problem)[0]


def _reduced(rows: Array, weights: Array | None, measure: Any) -> Any:
    dataset, units = ArrayDataset(rows, weights=weights), Standardisation.identity(D)
    n_dropped = 0 if weights is None else int((weights == 0).sum())
    with ThreadExecutor(1) as executor:
        return AllRows(dataset, executor, units, n_dropped).reduce(measure, "measured").values


def _scored(scene: Scene, rows: Array, weights: Array | None, backend: str) -> ScoringStatistics:
    dataset, p = ArrayDataset(rows, weights=weights), scene.parameters
    model = MixtureModel(p, Standardisation.identity(D), dataset.feature_names)
    scorer, used = Scorer(p), Workspace(get(backend))
    parts = [
        score_block(
            MissingPolicy.ERROR.select(block, dataset, weightless=True), scorer, used, model, None
        ).count()
        for block in dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks))
    ]
    return reduce(ScoringStatistics.merge, parts)


def _summary(rows: Array, weights: Array | None) -> Summary:
    dataset = ArrayDataset(rows, weights=weights)
    with ThreadExecutor(1) as executor:
        return summarise(dataset, executor, missing="error", sample_rows=5000, seed=0)
