"""Compiled distances give the seeds, labels and means of their definitions, on any threads."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.initialisation import StartCompute, start
from dgmm.fitting.initialisation.kmeans import lloyd
from dgmm.fitting.initialisation.kmeans_plus_plus import grown, n_trials, seeds
from dgmm.fitting.initialisation.sample_rows import CentredRows
from dgmm.fitting.initialisation.start_request import WORTH_COMPILING
from dgmm.mixture.backends import compiled_backend
from dgmm.mixture.covariance import FAMILIES

Array = NDArray[np.float64]
pytestmark = pytest.mark.skipif(compiled_backend() is None, reason="needs Numba")

COMPILED = StartCompute("numba")
PRECISION = pytest.mark.parametrize("is_single", [True, False], ids=["float32", "float64"])


def _mixed(m: int, d: int, k: int, seed: int = 0) -> Array:
    """Clusters of unequal sizes and widths that touch."""
    rng = np.random.default_rng(seed)
    shares = 1.0 / np.arange(1, k + 1)
    labels = rng.choice(k, m, p=shares / shares.sum())
    widths = rng.uniform(0.2, 1.0, k)
    noise = rng.normal(size=(m, d)) * widths[labels, None]
    rows = 2.0 * rng.normal(size=(k, d))[labels] + noise
    return rows.astype(np.float32).astype(np.float64)  # as float32 data are


def _seeds_by_definition(
    rows: Array, k: int, rng: np.random.Generator, weights: Array | None
) -> list[int]:
    """Greedy k-means++: the best of 2 + ⌊log k⌋ draws by w·d², distances by differences."""
    w = np.ones(len(rows)) if weights is None else weights
    if weights is None:
        first = rng.integers(len(rows))
    else:
        first = np.searchsorted(np.cumsum(w), rng.random() * w.sum(), side="right")
    chosen = [int(first)]
    worth = w * ((rows - rows[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < k:
        places = rng.random(2 + int(np.log(k))) * worth.sum()
        trials = np.searchsorted(np.cumsum(worth), places, side="right")
        found = [np.minimum(worth, w * ((rows - rows[t]) ** 2).sum(axis=1)) for t in trials]
        best = int(np.argmin([one.sum() for one in found]))
        chosen.append(int(trials[best]))
        worth = found[best]
    return chosen


@PRECISION
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize(("m", "d", "k"), [(2500, 3, 30), (961, 17, 70), (40, 2, 8)])
def test_seeds_are_those_of_the_definition(
    m: int, d: int, k: int, is_weighted: bool, is_single: bool
) -> None:
    rows = _mixed(m, d, 9)
    weights = np.random.default_rng(5).integers(1, 9, m).astype(float) if is_weighted else None
    own = COMPILED.over(CentredRows.of(rows), is_single=is_single)
    found = seeds(own, k, np.random.default_rng(3), weights)
    expected = _seeds_by_definition(rows, k, np.random.default_rng(3), weights)
    np.testing.assert_array_equal(found, expected)


@PRECISION
@pytest.mark.parametrize(("m", "d", "k"), [(1, 1, 1), (47, 1, 3), (2000, 5, 250), (300, 40, 9)])
def test_the_nearest_point_is_that_of_the_definition(
    m: int, d: int, k: int, is_single: bool
) -> None:
    rows, points = _mixed(m, d, 9), _mixed(k, d, 9, seed=1)
    plain = CentredRows.of(rows)
    own = COMPILED.over(plain, is_single=is_single)
    distances = ((rows[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)
    labels = own.nearest(points - plain.centre)
    eps = float(np.finfo(np.float32 if is_single else np.float64).eps)
    size = 2.0 * max(plain.squares.max(), ((points - plain.centre) ** 2).sum(axis=1).max())
    lost = distances[np.arange(m), labels] - distances.min(axis=1)
    assert lost.max() <= 8 * (d + 2) * eps * size


def test_equally_near_points_give_the_lowest_index() -> None:
    rows = COMPILED.over(CentredRows.of(np.zeros((600, 2))), is_single=True)
    points = np.array([[1.0, 0.0], [0.0, -1.0], [-1.0, 0.0], [0.0, 1.0]])
    assert not rows.nearest(points).any()
    assert (rows.nearest(np.concatenate([2.0 * points, points])) == 4).all()


@pytest.mark.parametrize("is_weighted", [False, True])
def test_means_have_the_bits_of_the_plain_ones(is_weighted: bool) -> None:
    rows, rng = CentredRows.of(_mixed(3000, 7, 9)), np.random.default_rng(1)
    labels = rng.integers(0, 20, rows.n_rows)
    counts, otherwise = np.bincount(labels, minlength=22), rng.normal(size=(22, 7))
    weights = rng.uniform(size=rows.n_rows) if is_weighted else None
    own = COMPILED.over(rows, is_single=True)
    np.testing.assert_array_equal(
        own.means(labels, counts, otherwise, weights),
        rows.means(labels, counts, otherwise, weights),
    )


@PRECISION
def test_bits_do_not_follow_the_number_of_threads(is_single: bool) -> None:
    rows, k = CentredRows.of(_mixed(9000, 6, 30)), 24

    def found(compute: StartCompute) -> tuple[Array, ...]:
        own = compute.over(rows, is_single=is_single)
        seeding = own.seeding(n_trials(k))
        chosen = grown(seeding, k, np.random.default_rng(0))
        labels = lloyd(own, rows.take(chosen))
        means = own.means(labels, np.bincount(labels, minlength=k), rows.take(chosen))
        return chosen, seeding.worth, labels, means  # type: ignore[attr-defined] # compiled rows'

    alone = found(COMPILED)
    for n_threads in (1, 2, 4):
        with ThreadExecutor(n_threads) as executor:
            for mine, theirs in zip(found(StartCompute("numba", executor)), alone, strict=True):
                np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("is_single", [True, False])
def test_all_rows_become_seeds_where_few_values_differ(is_single: bool) -> None:
    rows = np.repeat(_mixed(3, 4, 2), 5, axis=0)
    own = COMPILED.over(CentredRows.of(rows), is_single=is_single)
    chosen = seeds(own, 15, np.random.default_rng(0))
    assert len(np.unique(chosen)) == 15
    assert len(np.unique(rows[chosen[:3]], axis=0)) == 3


def _start(sample: Array, k: int, compute: StartCompute, **more: Array) -> Array:
    p = start(
        *("kmeans", sample, FAMILIES["spherical"], k, np.zeros(sample.shape[1])),
        np.random.default_rng(2),
        compute=compute,
        **more,
    )
    return p.means


def test_clusters_that_float32_cannot_tell_apart_are_found_in_float64() -> None:
    """Four clusters of width 1e-3 in pairs that lie 2e3 apart in each feature."""
    rng, m, d = np.random.default_rng(0), 40_000, 64
    truth = np.arange(m) % 4
    rows = 1e-3 * rng.normal(size=(m, d))
    rows[:, 0] += 0.1 * (truth % 2)
    rows += 2e3 * (truth // 2)[:, None]
    assert m * d * 4 >= WORTH_COMPILING
    own = COMPILED.over(CentredRows.of(rows), is_single=True)
    seeding = own.seeding(n_trials(4))
    grown(seeding, 4, np.random.default_rng(0))
    assert not seeding.is_precise
    means = _start(rows, 4, COMPILED)
    expected = np.stack([rows[truth == j].mean(axis=0) for j in range(4)])
    nearest = ((means[:, None, :] - expected[None]) ** 2).sum(axis=2)
    assert sorted(nearest.argmin(axis=1)) == [0, 1, 2, 3]
    assert nearest.min(axis=1).max() < 1e-3


@pytest.mark.parametrize("is_weighted", [False, True])
def test_a_compiled_start_is_the_plain_one(is_weighted: bool) -> None:
    """Also where a share of the rows is clustered first: 200 for each of 16 components."""
    sample = _mixed(40_000, 16, 16)
    more = {}
    if is_weighted:
        more["weights"] = np.random.default_rng(1).uniform(0.5, 2.0, len(sample))
    assert sample.size * 16 >= WORTH_COMPILING
    compiled, plain = (_start(sample, 16, c, **more) for c in (COMPILED, StartCompute()))
    np.testing.assert_allclose(compiled, plain, rtol=1e-6, atol=1e-6)
