"""Each method does what its citation says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from dgmm.fitting.initialisation import start
from dgmm.fitting.initialisation.hierarchical import ward_labels
from dgmm.fitting.initialisation.kmeans import lloyd
from dgmm.fitting.initialisation.kmeans_plus_plus import seeds
from dgmm.fitting.initialisation.random_from_data import distinct_rows
from dgmm.fitting.initialisation.random_responsibilities import MAX_ROWS
from dgmm.fitting.initialisation.sample_rows import CentredRows
from dgmm.mixture.covariance import FAMILIES

Array = NDArray[np.float64]
EPS = float(np.finfo(np.float64).eps)


def _squared(rows: Array, points: Array) -> Array:
    """‖x − c‖² (m, k), by the definition."""
    return ((rows[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)


@settings(deadline=None, max_examples=30)
@given(
    m=st.integers(1, 700),
    d=st.integers(1, 9),
    k=st.integers(1, 400),
    offset=st.sampled_from([0.0, 1e6]),
    seed=st.integers(0, 10**6),
)
def test_the_nearest_point_is_that_of_the_definition(
    m: int, d: int, k: int, offset: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sample, points = offset + rng.normal(size=(m, d)), offset + rng.normal(size=(k, d))
    rows = CentredRows.of(sample)
    expected = _squared(sample, points)
    labels = rows.nearest(points - rows.centre)
    lost = expected[np.arange(m), labels] - expected.min(axis=1)
    assert lost.max() <= 8 * (d + 2) * EPS * (expected.max() + offset)
    distances = rows.squared_distances(points[:3] - rows.centre)
    size = ((sample - rows.centre) ** 2).sum(axis=1).max() + expected.max()
    assert np.abs(distances - expected[:, :3].T).max() <= 8 * (d + 2) * EPS * (size + offset)
    own = rows.deviations(points - rows.centre, labels)
    assert np.abs(own - expected[np.arange(m), labels]).max() <= 8 * d * EPS * (size + offset)


def test_equally_near_points_give_the_lowest_index() -> None:
    rows = CentredRows.of(np.zeros((600, 2)))
    points = np.array([[1.0, 0.0], [0.0, -1.0], [-1.0, 0.0], [0.0, 1.0]])
    assert not rows.nearest(points).any()
    assert (rows.nearest(np.concatenate([2.0 * points, points])) == 4).all()


def test_seeds_are_drawn_in_proportion_to_squared_distance() -> None:
    """k = 2 makes two draws and keeps the better; the other row is known in closed form."""
    sample = np.array([[0.0], [1.0], [3.0]])
    rows = CentredRows.of(sample)
    pairs = [tuple(seeds(rows, 2, np.random.default_rng(s))) for s in range(6000)]
    first = [pair[1] for pair in pairs if pair[0] == 0]
    # From row 0 the weights are 1 and 9. Row 2 leaves a sum of squares of 1, row 1 one of 4: the
    # pair is (0, 1) only if both draws give row 1.
    share = np.mean(np.array(first) == 1)
    expected = 0.1**2
    assert abs(share - expected) <= 5 * np.sqrt(expected / len(first))
    assert abs(len(first) / 6000 - 1 / 3) <= 5 * np.sqrt(2 / 9 / 6000)


@settings(deadline=None, max_examples=30)
@given(m=st.integers(1, 60), distinct=st.integers(1, 60), seed=st.integers(0, 10**6))
def test_seeds_are_different_rows_and_of_different_values_where_there_are(
    m: int, distinct: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sample = rng.normal(size=(distinct, 3))[rng.integers(distinct, size=m)]
    values = len(np.unique(sample, axis=0))
    k = int(rng.integers(1, m + 1))
    for chosen in (seeds(CentredRows.of(sample), k, rng), distinct_rows(sample, k, rng)):
        assert len(np.unique(chosen)) == k
        assert len(np.unique(sample[chosen], axis=0)) == min(k, values)


def test_lloyd_ends_where_every_row_is_nearest_to_its_own_mean() -> None:
    sample = np.random.default_rng(0).normal(size=(900, 2))
    rows = CentredRows.of(sample)
    labels = lloyd(rows, rows.take(seeds(rows, 5, np.random.default_rng(1))))
    means = np.stack([sample[labels == k].mean(axis=0) for k in range(5)])
    np.testing.assert_array_equal(_squared(sample, means).argmin(axis=1), labels)


def test_lloyd_never_raises_the_sum_of_squares() -> None:
    rng = np.random.default_rng(5)
    sample = rng.normal(size=(800, 3))
    rows = CentredRows.of(sample)
    chosen = seeds(rows, 6, rng)
    before = _squared(sample, sample[chosen]).min(axis=1).sum()
    labels = lloyd(rows, rows.take(chosen))
    after = sum(
        ((sample[labels == k] - sample[labels == k].mean(axis=0)) ** 2).sum() for k in range(6)
    )
    assert after < before


def test_an_empty_cluster_moves_to_the_farthest_row() -> None:
    sample = np.concatenate([np.random.default_rng(0).normal(size=(300, 2)), [[50.0, 50.0]]])
    rows = CentredRows.of(sample)
    labels = lloyd(rows, np.array([[0.0, 0.0], [1e6, 1e6]]))
    assert labels[-1] == 1
    assert (labels == 1).sum() == 1


@settings(deadline=None, max_examples=25)
@given(m=st.integers(2, 80), seed=st.integers(0, 10**6))
def test_wards_labels_are_those_of_scipys_own_cut(m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, k = rng.normal(size=(m, 3)), int(rng.integers(1, m + 1))
    found, theirs = ward_labels(rows, k), fcluster(linkage(rows, "ward"), k, "maxclust")
    assert found.min() == 0
    assert found.max() == k - 1
    pairs = np.unique(np.stack([found, theirs]), axis=1)
    assert pairs.shape[1] == k == theirs.max()


def test_a_square_sample_is_not_taken_for_distances() -> None:
    np.testing.assert_array_equal(np.unique(ward_labels(np.zeros((2, 2)), 2)), [0, 1])


@pytest.mark.parametrize("n_rows", [300, MAX_ROWS + 5000])
def test_random_responsibilities_start_all_means_near_the_samples(n_rows: int) -> None:
    """Means spread by 1/√(3m) sd, since r has mean ½ and variance 1/12 before normalising."""
    sample = np.random.default_rng(0).normal(size=(n_rows, 50))
    found = start("random", sample, FAMILIES["diag"], 2, np.zeros(50), np.random.default_rng(1))
    spread = np.sqrt(((found.means - sample.mean(axis=0)) ** 2).mean())
    used = min(n_rows, MAX_ROWS)
    assert 0.2 / np.sqrt(used) < spread < 2.0 / np.sqrt(used)
    assert np.abs(found.weights - 0.5).max() < 1.0 / np.sqrt(used)


def test_a_large_sample_is_walked_in_tiles() -> None:
    """One row more or less in the last tile, and the labels of the others stay."""
    sample = np.random.default_rng(0).normal(size=(30_001, 4))
    points = np.random.default_rng(1).normal(size=(7, 4))
    rows = CentredRows.of(sample)
    expected = _squared(sample, points).argmin(axis=1)
    np.testing.assert_array_equal(rows.nearest(points - rows.centre), expected)
