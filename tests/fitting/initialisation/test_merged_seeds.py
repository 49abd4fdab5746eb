"""Starts of many clusters: k-means++ seeds in blocks, and Ward's merges of twice as many."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.initialisation import StartCompute, start, ward_merges
from dgmm.fitting.initialisation.distance_rows import DistanceRows
from dgmm.fitting.initialisation.kmeans import lloyd
from dgmm.fitting.initialisation.kmeans_plus_plus import seeds
from dgmm.fitting.initialisation.merged_seeds import (
    LEAST_CLUSTERS,
    SURPLUS,
    accepted,
    are_worth_merging,
    draw_seeds,
    merged_seeds,
    merging_bytes,
)
from dgmm.fitting.initialisation.sample_rows import CentredRows, PlainCells
from dgmm.mixture.backends import compiled_backend
from dgmm.mixture.covariance import FAMILIES

Array = NDArray[np.float64]
K = LEAST_CLUSTERS
PLAIN = StartCompute()
NEEDS_NUMBA = pytest.mark.skipif(compiled_backend() is None, reason="needs Numba")
KINDS = pytest.mark.parametrize(
    ("backend", "is_single"),
    [
        ("numpy", False),
        pytest.param("numba", True, marks=NEEDS_NUMBA),
        pytest.param("numba", False, marks=NEEDS_NUMBA),
    ],
)


def _mixed(m: int, d: int, k: int, seed: int = 0) -> Array:
    """Clusters of unequal (Zipf) sizes and of unequal widths that touch, as float32 data are."""
    rng = np.random.default_rng(seed)
    shares = 1.0 / np.arange(1, k + 1)
    labels = rng.choice(k, m, p=shares / shares.sum())
    noise = rng.normal(size=(m, d)) * rng.uniform(0.2, 1.0, k)[labels, None]
    rows = 2.0 * rng.normal(size=(k, d))[labels] + noise
    return rows.astype(np.float32).astype(np.float64)


def _points(
    rows: Array,
    seed: int,
    compute: StartCompute = PLAIN,
    *,
    is_single: bool = False,
    weights: Array | None = None,
) -> Array | None:
    own = compute.over(CentredRows.of(rows), is_single=is_single)
    return merged_seeds(own, K, np.random.default_rng(seed), weights, compute)


def _between(points: Array) -> Array:
    """Squared distances of all pairs."""
    squares: Array = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    return squares


def _sum_of_squares(rows: Array, points: Array, weights: Array | None = None) -> float:
    """After Lloyd's iterations from points about the centre."""
    plain = CentredRows.of(rows)
    labels = lloyd(plain, points.copy(), weights)
    means = plain.means(labels, np.bincount(labels, minlength=K), points, weights)
    own = np.ones(len(rows)) if weights is None else weights
    return float((own * plain.deviations(means, labels)).sum())


@KINDS
def test_cells_are_those_of_all_points_however_they_are_added(
    backend: str, is_single: bool
) -> None:
    rows, points = CentredRows.of(_mixed(1500, 5, 9)), _mixed(37, 5, 9, seed=1)
    own = StartCompute(backend).over(rows, is_single=is_single)
    points[30] = points[2]  # equally near: the first counts
    cells = own.cells()
    for some in np.split(points, [1, 3, 20]):
        cells.add(some)
    squares = ((rows.values.T[:, None] - points[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(cells.labels, squares.argmin(axis=1))
    eps = float(np.finfo(np.float32 if is_single else np.float64).eps)
    largest = 2.0 * max(rows.squares.max(), (points**2).sum(axis=1).max())
    lost = np.abs(cells.distances() - squares.min(axis=1)).max()
    assert lost <= 8 * 7 * eps * largest
    assert cells.distances().dtype == np.float64


@KINDS
def test_a_row_that_is_a_point_is_at_distance_0(backend: str, is_single: bool) -> None:
    rows = CentredRows.of(_mixed(700, 24, 9) + 50.0 * (np.arange(700) % 2)[:, None])
    cells = StartCompute(backend).over(rows, is_single=is_single).cells()
    chosen = np.arange(0, 700, 7)
    cells.add(rows.take(chosen))
    assert np.array_equal(np.flatnonzero(cells.distances() == 0.0), chosen)


def test_rows_are_accepted_by_what_is_left_of_their_distance() -> None:
    rng = np.random.default_rng(3)
    points, before, shares = rng.normal(size=(60, 3)), rng.uniform(0.5, 9, 60), rng.random(60)
    chosen: list[int] = []
    for i in range(60):
        left = min([before[i], *(((points[i] - points[j]) ** 2).sum() for j in chosen)])
        if shares[i] < left / before[i]:
            chosen.append(i)
    assert 1 < len(chosen) < 60
    np.testing.assert_array_equal(accepted(_between(points), before, shares), chosen)


class _Recorded(PlainCells):
    """Cells that keep which rows became points."""

    def __init__(self, rows: CentredRows) -> None:
        super().__init__(rows)
        self.found: list[float] = []

    def add(self, points: Array) -> None:
        super().add(points)
        self.found += points[:, 0].tolist()


def test_seeds_in_blocks_have_the_distribution_of_k_means_plus_plus() -> None:
    """Of four seeds of five rows the last two come from one block; all orders are enumerated."""
    places, weights = np.array([0.0, 1.0, 3.0, 7.0, 8.0]), np.array([1.0, 2.0, 1.0, 3.0, 1.0])
    rows = CentredRows.about_origin(places[None])

    def chances(chosen: tuple[int, ...], chance: float) -> Counter[tuple[int, ...]]:
        if len(chosen) == 4:
            return Counter({chosen: chance})
        worth = weights.copy()
        if chosen:
            worth *= ((places[:, None] - places[list(chosen)]) ** 2).min(axis=1)
        found: Counter[tuple[int, ...]] = Counter()
        for row in np.flatnonzero(worth):
            found += chances((*chosen, int(row)), chance * worth[row] / worth.sum())
        return found

    n, rng = 3000, np.random.default_rng(0)
    seen: Counter[tuple[int, ...]] = Counter()
    for _ in range(n):
        cells = _Recorded(rows)
        assert draw_seeds(rows, cells, 4, rng, weights, _between) == 4
        seen[tuple(int(np.flatnonzero(places == place)[0]) for place in cells.found)] += 1
    expected = chances((), 1.0)
    assert abs(sum(expected.values()) - 1.0) <= 1e-12
    for order, chance in expected.items():
        assert abs(seen[order] / n - chance) <= 5 * np.sqrt(chance / n)


@NEEDS_NUMBA
def test_blocks_grow_with_the_seeds_and_end_at_what_fits_in_memory() -> None:
    """At 128 rows up to 512 seeds, then a quarter of these, and 1,024 from 4,096 seeds on."""
    rows = StartCompute("numba").over(CentredRows.of(_mixed(12_000, 2, 90)), is_single=False)
    cells, sizes, found = rows.cells(), list[int](), [0]
    add = cells.add

    def counted(points: Array) -> None:
        found.append(found[-1] + len(points))
        add(points)

    def between(points: Array) -> NDArray[np.floating[Any]]:
        sizes.append(len(points))
        limit = min(max(128, found[-1] // 4), 1024)
        assert len(points) <= min(limit, 8000 - found[-1])
        return CentredRows.about_origin(points.T.copy()).squared_distances(points)

    cells.add = counted  # type: ignore[method-assign]
    assert draw_seeds(rows, cells, 8000, np.random.default_rng(0), None, between) == 8000
    assert max(sizes) == 1024
    assert any(128 < size < 1024 for size in sizes)


def _wards_tree(rows: Array, k: int) -> Array:
    """Means of the clusters that SciPy's tree leaves."""
    labels = fcluster(linkage(rows, "ward"), k, "maxclust")
    return np.stack([rows[labels == j].mean(axis=0) for j in range(1, k + 1)])


def _are_close(found: Array, expected: Array, atol: float = 1e-12) -> None:
    by_rows = [points[np.lexsort(points.T)] for points in (found, expected)]
    np.testing.assert_allclose(*by_rows, atol=atol)


@KINDS
@pytest.mark.parametrize(
    ("n", "d", "k"), [(300, 4, 90), (301, 5, 1), (20, 1, 3), (1500, 8, 12), (1500, 2, 40)]
)
def test_merges_are_those_of_wards_tree(
    backend: str, is_single: bool, n: int, d: int, k: int
) -> None:
    rows = np.random.default_rng(0).normal(size=(n, d))
    found = StartCompute(backend).merged(rows, np.ones(n), k, is_single=is_single)
    _are_close(found, _wards_tree(rows, k))


@KINDS
def test_a_cluster_of_weight_merges_as_so_many_equal_rows(backend: str, is_single: bool) -> None:
    rng = np.random.default_rng(1)
    points, sizes, k = rng.normal(size=(80, 3)), rng.integers(1, 6, 80), 20
    expected = _wards_tree(np.repeat(points, sizes, axis=0), k)
    found = StartCompute(backend).merged(points, sizes.astype(float), k, is_single=is_single)
    _are_close(found, expected)


def _sizes(kind: str, n: int) -> Array:
    rng = np.random.default_rng(5)
    if kind == "equal":
        return np.ones(n)
    found: Array = rng.gamma(0.3, size=n) if kind == "gamma" else 10.0 ** rng.uniform(-100, 0, n)
    return found


@KINDS
@pytest.mark.parametrize("kind", ["gamma", "powers"])
def test_merges_of_very_unequal_sizes_are_those_of_the_definition(
    backend: str, is_single: bool, kind: str
) -> None:
    points, k = _mixed(120, 4, 30), 25
    means, sizes = points.copy(), _sizes(kind, len(points))
    found = StartCompute(backend).merged(points, sizes, k, is_single=is_single)
    while len(means) > k:
        costs = _between(means) * (sizes[:, None] * (sizes / (sizes[:, None] + sizes)))
        np.fill_diagonal(costs, np.inf)
        a, b = np.unravel_index(costs.argmin(), costs.shape)
        total = sizes[a] + sizes[b]
        means[a], sizes[a] = (sizes[a] * means[a] + sizes[b] * means[b]) / total, total
        means, sizes = np.delete(means, b, axis=0), np.delete(sizes, b)
    _are_close(found, means)


@pytest.mark.parametrize("kind", ["equal", "gamma", "powers"])
def test_sizes_do_not_make_plain_merges_look_more_often(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most 2.6 looks a merge; where pairs counted for both it was 3.5, 39 and 156."""
    looks, look = list[int](), ward_merges._Merges._look
    monkeypatch.setattr(
        *(ward_merges._Merges, "_look"), lambda own, some: looks.append(1) or look(own, some)
    )
    n, k = 600, 300
    PLAIN.merged(np.random.default_rng(0).normal(size=(n, 32)), _sizes(kind, n), k, is_single=False)
    assert n - k <= len(looks) <= 4 * (n - k)


@NEEDS_NUMBA
def test_merges_do_not_follow_what_float32_loses() -> None:
    """Far from the origin its distances are noise: a third of what a row's neighbours are apart."""
    rows = np.random.default_rng(2).normal(size=(400, 3)) + 2000.0
    noise = 2000.0**2 * 3 * np.finfo(np.float32).eps
    assert noise > 1.0
    found = StartCompute("numba").merged(rows, np.ones(400), 150, is_single=True)
    _are_close(found, _wards_tree(rows, 150), atol=1e-9)


@NEEDS_NUMBA
@pytest.mark.parametrize("is_single", [True, False])
def test_neighbours_are_listed_alike_on_any_threads(is_single: bool) -> None:
    rows, sizes = _mixed(1300, 7, 90), np.arange(1.0, 1301.0)
    alone = StartCompute("numba").merged(rows, sizes, 600, is_single=is_single)
    for n_threads in (2, 3):
        with ThreadExecutor(n_threads) as executor:
            compute = StartCompute("numba", executor)
            found = compute.merged(rows, sizes, 600, is_single=is_single)
        np.testing.assert_array_equal(found, alone)


@NEEDS_NUMBA
@pytest.mark.parametrize(
    ("rows", "kind", "most"),
    [("mixed", "equal", 0.5), ("uniform", "equal", 1), ("uniform", "gamma", 8.1)],
)
def test_few_merges_look_at_all_clusters_again(
    rows: str, kind: str, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists and bounds spare most of it: without them every merge, and many a pair, would look.

    Small clusters are in all lists: of very unequal sizes 16 looks a merge were needed, and after
    four for each cluster NumPy does the rest.
    """
    from dgmm.mixture.backends import numba_merges

    n, k, looks, merge = 1200, 600, list[int](), numba_merges.merge

    def noted(*args: object) -> int:
        looks.append(merge(*args))
        return looks[-1]

    monkeypatch.setattr(numba_merges, "merge", noted)
    points = _mixed(n, 24, 90) if rows == "mixed" else np.random.default_rng(0).random((n, 24))
    found = StartCompute("numba").merged(points, _sizes(kind, n), k, is_single=True)
    assert (looks[-1] == 0) == (kind == "equal")
    assert sum(looks) <= most * (n - k)
    _are_close(found, PLAIN.merged(points, _sizes(kind, n), k, is_single=False))


@NEEDS_NUMBA
@pytest.mark.parametrize("d", [3, 20])
def test_no_cluster_is_merged_for_less_than_its_bound(
    d: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at after each merge, of rows of unequal weights."""
    from dgmm.mixture.backends import numba_merges

    merge, n_checked = numba_merges.merge, 0

    def checked(means: Array, columns: Array, sizes: Array, n_left: int, *more: Any) -> int:
        nonlocal n_checked
        (_, _, _, least, _), (_, _, _, gone, _), _ = more
        for n in range((~gone).sum() - 1, n_left - 1, -1):
            if found := merge(means, columns, sizes, n, *more):
                return int(found)
            left, own = means[~gone], sizes[~gone]
            costs = _between(left) * (own[:, None] * own / (own[:, None] + own))
            np.fill_diagonal(costs, np.inf)
            assert (least[~gone] <= costs.min(axis=1) * (1 + 1e-9)).all()
            n_checked += 1
        return 0

    monkeypatch.setattr(numba_merges, "merge", checked)
    rng = np.random.default_rng(0)
    rows, sizes = rng.normal(size=(250, d)), rng.exponential(size=250)
    StartCompute("numba").merged(rows, sizes, 20, is_single=True)
    assert n_checked == 230


@NEEDS_NUMBA
def test_what_a_list_has_no_room_for_bounds_those_that_it_lacks() -> None:
    from dgmm.mixture.backends import numba_merges as compiled

    n, listed = 2 * compiled.LISTED, compiled.LISTED
    places = np.arange(1.0, n + 2.0)[:, None] ** 1.5
    lists = (
        *(np.full((n + 1, listed), -1, np.int32), np.full((n + 1, listed), np.inf)),
        *(np.full(n + 1, 1e9), np.empty(n + 1), np.empty(n + 1, np.int64)),
    )
    others = np.random.default_rng(0).permutation(np.arange(1, n + 1))
    compiled._refresh(0, others, places, np.ones(n + 1), np.arange(n + 1), lists)
    costs = 0.5 * (places[1:, 0] - places[0, 0]) ** 2
    near, own, far, least, nearest = lists
    np.testing.assert_array_equal(near[0], np.arange(1, listed + 1))
    np.testing.assert_array_equal(own[0], costs[:listed])
    assert (far[0], least[0], nearest[0]) == (costs[listed], costs[0], 1)


@KINDS
@pytest.mark.parametrize("kind", ["equal", "powers"])
def test_merging_holds_what_is_planned_of_it(backend: str, is_single: bool, kind: str) -> None:
    """At 2,100 clusters, which a matrix of all pairs would take 141 MB for (float32: 71 MB)."""
    k, d = 2100, 5
    rows, sizes = _mixed(SURPLUS * k, d, 90), _sizes(kind, SURPLUS * k)
    compute = StartCompute(backend)
    compute.merged(rows[:40], sizes[:40], 30, is_single=is_single)  # compiled before
    tracemalloc.start()
    try:
        compute.merged(rows, sizes, k, is_single=is_single)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    planned = merging_bytes(k, d)
    assert planned <= 4_000_000
    assert 0.1 * planned <= peak <= planned


@pytest.mark.parametrize("seed", [0, 1])
def test_clusters_of_unequal_sizes_end_no_higher_than_from_greedy_seeds(seed: int) -> None:
    rows = _mixed(6000, 8, K, seed)
    plain = CentredRows.of(rows)
    greedy = plain.take(seeds(plain, K, np.random.default_rng(seed)))
    points = _points(rows, seed)
    assert points is not None
    assert points.shape == (K, 8)
    assert _sum_of_squares(rows, points) <= 1.005 * _sum_of_squares(rows, greedy)


@NEEDS_NUMBA
@pytest.mark.parametrize("is_single", [True, False])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_compiled_points_are_the_plain_ones_on_any_threads(
    is_single: bool, is_weighted: bool
) -> None:
    rows = _mixed(2500, 6, 90)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, 2500) if is_weighted else None
    plain = _points(rows, 2, weights=weights)
    alone = _points(rows, 2, StartCompute("numba"), is_single=is_single, weights=weights)
    assert plain is not None
    assert alone is not None
    for n_threads in (2, 3):
        with ThreadExecutor(n_threads) as executor:
            compute = StartCompute("numba", executor)
            found = _points(rows, 2, compute, is_single=is_single, weights=weights)
        np.testing.assert_array_equal(found, alone)
    if is_single:  # a rounded distance may be drawn as another row
        values = [_sum_of_squares(rows, points, weights) for points in (plain, alone)]
        assert abs(values[1] / values[0] - 1.0) <= 0.02
    else:
        np.testing.assert_allclose(alone, plain, rtol=1e-9, atol=1e-9)


def test_sizes_alone_decide() -> None:
    rows = 2 * SURPLUS * K
    assert are_worth_merging(rows, K)
    assert not are_worth_merging(rows - 1, K)
    assert not are_worth_merging(rows, K - 1)
    assert are_worth_merging(10**6, 10**5)


def test_fewer_different_rows_than_clusters_start_as_few_clusters_do() -> None:
    rows = np.repeat(_mixed(200, 3, 20), 6, axis=0)
    assert len(rows) >= 2 * SURPLUS * K
    assert _points(rows, 0) is None
    found = start(
        "kmeans", rows, FAMILIES["spherical"], K, np.full(3, 1e-6), np.random.default_rng(0)
    )
    distinct = {tuple(row) for row in np.unique(rows.round(9), axis=0)}
    assert {tuple(row) for row in found.means.round(9)} >= distinct


@NEEDS_NUMBA
def test_clusters_that_float32_cannot_tell_apart_are_merged_in_float64() -> None:
    rng = np.random.default_rng(0)
    rows = 1e-3 * rng.normal(size=(2000, 8)) + 2e3 * (np.arange(2000) % 2)[:, None]
    compute = StartCompute("numba")
    assert _points(rows, 0, compute, is_single=True) is None
    found = start(
        *("kmeans", rows, FAMILIES["spherical"], K, np.zeros(8)),
        np.random.default_rng(0),
        compute=compute,
    )
    np.testing.assert_allclose(
        _sum_of_squares(rows, found.means - np.median(rows[::2], axis=0)),
        0.0,
        atol=2000 * 8 * 1e-6,
    )


def test_many_clusters_of_a_start_are_merged_seeds() -> None:
    rows = _mixed(2 * SURPLUS * K, 4, 60)
    rng = np.random.default_rng(7)
    own: DistanceRows = CentredRows.of(rows)
    points = merged_seeds(own, K, np.random.default_rng(7), None, PLAIN)
    assert points is not None
    labels = lloyd(own, points.copy())
    expected = np.stack([rows[labels == j].mean(axis=0) for j in range(K)])
    found = start("kmeans", rows, FAMILIES["spherical"], K, np.full(4, 1e-6), rng)
    np.testing.assert_allclose(found.means, expected, atol=1e-12)
