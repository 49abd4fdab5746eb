"""k-means‖ is the algorithm of its citation, in one read a round, bit-identical anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.dataset import Dataset
from dgmm.data.standardisation import Standardisation
from dgmm.data.zarr.dataset import open_zarr
from dgmm.errors import DataError
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.initialisation import StartRequest, reads_all_rows, start
from dgmm.fitting.initialisation.all_rows import AllRows, Block, PerRestart
from dgmm.fitting.initialisation.kmeans import kmeans, lloyd
from dgmm.fitting.initialisation.kmeans_parallel import (
    MOST_ROUNDS,
    N_READS,
    OVERSAMPLING,
    ROUNDS,
    cluster,
    draw_candidates,
    kmeans_parallel,
)
from dgmm.fitting.initialisation.kmeans_plus_plus import seeds
from dgmm.fitting.initialisation.oversampling import (
    ClusterMeasure,
    CountMeasure,
    RoundMeasure,
    SampledStarts,
    squared_distances,
)
from dgmm.fitting.initialisation.sample_rows import CentredRows
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.parameters import Parameters, m_step
from dgmm.random_streams import Stage, stream
from dgmm.reduction.blocks import ROW_QUANTUM, BlockRange
from dgmm.reduction.executor import Executor

Array = NDArray[np.float64]
EPS = float(np.finfo(np.float64).eps)


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadExecutor]:
    with ThreadExecutor(2) as opened:
        yield opened


def _units(d: int) -> Standardisation:
    """Standardised rows are the rows themselves."""
    zeros = np.zeros(d)
    return Standardisation(zeros, np.ones(d), np.ones(d), np.zeros(d, dtype=np.bool_))


def _rows(X: Array | Dataset, executor: Executor, n_dropped: int = 0) -> AllRows:
    dataset = ArrayDataset(X) if isinstance(X, np.ndarray) else X
    return AllRows(dataset, executor, _units(dataset.n_features), n_dropped)


def _request(sample: Array, k: int, seed: int = 0, family: str = "full") -> StartRequest:
    added = np.full(sample.shape[1], 1e-6)
    return StartRequest(sample, FAMILIES[family], k, added, np.random.default_rng(seed))


def _sum_of_squares(X: Array, centres: Array) -> float:
    return float(
        squared_distances(CentredRows.about_origin(np.ascontiguousarray(X.T)), centres).sum()
    )


def _clusters(n: int, k: int, d: int, seed: int = 0, apart: float = 8.0) -> Array:
    rng = np.random.default_rng(seed)
    centres = apart * rng.normal(size=(k, d))
    return centres[rng.integers(k, size=n)] + rng.normal(size=(n, d))


def test_every_candidate_is_a_row_of_the_data(executor: ThreadExecutor) -> None:
    X = _clusters(20_000, 6, 3)
    (found,) = draw_candidates(_rows(X, executor), [_request(X[:500], 6)], 0, [(0,)])
    known = {row.tobytes() for row in X}
    assert len(found) > 6
    assert {row.tobytes() for row in found} <= known
    assert len(np.unique(found, axis=0)) == len(found)  # a candidate is at distance 0: never again


def test_a_round_takes_each_row_with_the_probability_of_the_paper(executor: ThreadExecutor) -> None:
    """Frequencies over 400 seeds against min(1, ℓ·d²/φ), row by row, within five deviations."""
    X = np.concatenate([np.linspace(0.1, 3.0, 60), [40.0]])[:, None] * np.ones((1, 2))
    candidates, oversampling, n_seeds = np.zeros((1, 2)), 5.0, 400
    distances = (X**2).sum(axis=1)
    expected = np.minimum(1.0, oversampling * distances / distances.sum())
    assert expected[-1] == 1.0
    times = np.zeros(len(X))
    rows = _rows(X, executor)
    for seed in range(n_seeds):
        measure = RoundMeasure(seed, ((3, 0, 1),), (candidates,), (None,), oversampling)
        drawn = rows.reduce(measure, "read").values[0]
        assert drawn.cost == pytest.approx(distances.sum(), rel=len(X) * EPS)
        times += (X[:, None, 0] == drawn.rows[None, :, 0]).any(axis=1)
    deviation = np.sqrt(expected * (1 - expected) / n_seeds)
    assert (np.abs(times / n_seeds - expected) <= 5 * deviation).all()


def test_a_round_takes_about_l_rows_however_many_blocks_there_are(executor: ThreadExecutor) -> None:
    """No row is likelier than 1 here: Σ p = ℓ, and the number's variance is at most ℓ."""
    X = np.random.default_rng(0).normal(size=(9 * ROW_QUANTUM, 64))
    rows = _rows(X, executor)
    assert rows.dataset.grid.n_blocks == 9
    candidates, oversampling = np.zeros((1, 64)), 64.0
    measure = RoundMeasure(0, ((32, 0, 1),), (candidates,), (None,), oversampling)
    drawn = rows.reduce(measure, "read").values[0]
    assert abs(len(drawn.rows) - oversampling) <= 5 * np.sqrt(oversampling)


def test_one_read_takes_the_rows_that_two_reads_would(executor: ThreadExecutor) -> None:
    """Blocks whose own φ is small keep more than is wanted, and merging leaves those out again."""
    rng = np.random.default_rng(1)
    scales = np.repeat([1.0, 0.01, 5.0, 0.3], ROW_QUANTUM)[:, None]
    X = scales * rng.normal(size=(4 * ROW_QUANTUM, 64))
    rows, oversampling = _rows(X, executor), 40.0
    measure = RoundMeasure(7, ((20, 3, 2),), (np.zeros((1, 64)),), (None,), oversampling)
    drawn = rows.reduce(measure, "read").values[0]
    streams = [stream(Stage.INITIALISATION, 7, 20, 3, 2, block) for block in range(4)]
    numbers = np.concatenate([rng.random(ROW_QUANTUM) for rng in streams])
    distances = (X**2).sum(axis=1)
    margin = numbers - oversampling * distances / distances.sum()
    assert np.abs(margin).min() > len(X) * EPS  # no row is at the threshold, where rounding decides
    np.testing.assert_array_equal(drawn.rows, X[margin < 0])


def test_rounds_merge_to_the_same_bits_in_any_order_of_arrival(executor: ThreadExecutor) -> None:
    X = _clusters(6 * ROW_QUANTUM, 5, 64)
    request = lambda: [_request(X[:200], 5)]  # noqa: E731 - a stream is used up
    expected = draw_candidates(_rows(X, executor), request(), 4, [(0,)])[0]
    with ThreadExecutor(1) as alone:
        one = draw_candidates(_rows(X, alone), request(), 4, [(0,)])[0]
    shuffled = draw_candidates(_rows(X, _LastFirst()), request(), 4, [(0,)])[0]
    assert expected.tobytes() == one.tobytes() == shuffled.tobytes()


class _LastFirst:
    """An executor whose results come in reverse, a block a task."""

    n_threads = 1000

    def run(
        self, task: object, runs: Sequence[BlockRange], **_: object
    ) -> Iterator[tuple[BlockRange, object]]:
        for run in reversed(runs):
            yield run, task(run)  # type: ignore[operator]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_bits_come_of_any_chunks_and_threads(
    family: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    X = _clusters(3 * ROW_QUANTUM + 17, 4, 64).astype(np.float32)
    folder = tmp_path_factory.mktemp("chunks")
    seen = set()
    for n_threads, chunk in ((1, 1000), (2, 5000), (3, len(X))):
        path = folder / f"{chunk}.zarr"
        zarr.create_array(str(path), data=X, chunks=(chunk, 64))
        with ThreadExecutor(n_threads) as threads:
            rows = _rows(open_zarr(str(path)), threads)
            request = _request(X[:300].astype(np.float64), 4, family=family)
            (p,) = kmeans_parallel(rows, [request], 0, [(0,)])
        seen.add((p.weights.tobytes(), p.means.tobytes(), p.covariances.tobytes()))
    assert len(seen) == 1


def test_restarts_share_reads_and_each_has_the_bits_of_its_run_alone() -> None:
    X = _clusters(9000, 5, 3)
    requests = lambda: [_request(X[:400], 5, seed) for seed in range(3)]  # noqa: E731
    with _Counting() as executor:
        together = kmeans_parallel(_rows(X, executor), requests(), 1, [(i,) for i in range(3)])
        assert executor.n_passes == N_READS == ROUNDS + 2
        for restart in range(3):
            rows = _rows(X, executor)
            (alone,) = kmeans_parallel(rows, [requests()[restart]], 1, [(restart,)])
            assert alone.means.tobytes() == together[restart].means.tobytes()
    assert len({p.means.tobytes() for p in together}) == 3


class _Counting(ThreadExecutor):
    """Counts passes."""

    def __init__(self) -> None:
        super().__init__(2)
        self.n_passes = 0

    def run(
        self, task: object, runs: Sequence[BlockRange], **_: object
    ) -> Iterator[tuple[BlockRange, object]]:  # type: ignore[override]
        self.n_passes += 1
        return super().run(task, runs)  # type: ignore[arg-type]


def test_weights_are_numbers_of_rows_and_sum_to_all_of_them(executor: ThreadExecutor) -> None:
    X = _clusters(30_000, 6, 5)
    candidates = X[::3000].copy()
    (counts,) = _rows(X, executor).reduce(CountMeasure((candidates,), (None,)), "read").values
    nearest = ((X[:, None] - candidates[None]) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(counts.values, np.bincount(nearest, minlength=len(candidates)))
    assert counts.values.sum() == len(X)


def test_candidates_count_by_their_weights_when_they_are_clustered() -> None:
    """Two heaps and one far candidate of weight 1: two centres part the heaps, not the far one."""
    rng = np.random.default_rng(0)
    heaps = np.concatenate([rng.normal(-5, 0.1, (20, 2)), rng.normal(5, 0.1, (20, 2))])
    candidates = np.concatenate([heaps, [[30.0, 30.0]]])
    light = np.concatenate([np.full(40, 1e5), [1.0]])
    heavy = np.concatenate([np.ones(40), [1e5]])
    for weights, farthest in ((light, 5.0), (heavy, 30.0)):
        centres = cluster(candidates, weights, _request(candidates, 2))
        assert centres.max() == pytest.approx(farthest, abs=0.2)


def test_a_weight_stands_for_as_many_equal_rows() -> None:
    rng = np.random.default_rng(3)
    points, weights = rng.normal(size=(30, 2)), rng.integers(1, 6, size=30)
    repeated = CentredRows.of(np.repeat(points, weights, axis=0))
    once, first = CentredRows.of(points), points[:4]
    labels = lloyd(once, first - once.centre, weights.astype(np.float64))
    expected = lloyd(repeated, first - repeated.centre)
    np.testing.assert_array_equal(np.repeat(labels, weights), expected)


def test_weighted_seeds_are_drawn_in_proportion_to_weight_times_squared_distance() -> None:
    rows = CentredRows.of(np.array([[0.0], [1.0], [3.0]]))
    weights = np.array([1.0, 18.0, 1.0])
    pairs = [tuple(seeds(rows, 2, np.random.default_rng(s), weights)) for s in range(6000)]
    share = np.mean([pair[0] == 1 for pair in pairs])
    assert abs(share - 0.9) <= 5 * np.sqrt(0.09 / 6000)
    # From row 0 rows 1 and 2 draw with 18·1 and 1·9, and of two draws the better is kept. Row 1
    # leaves 1·4, row 2 leaves 18·1: row 2 is taken only if both draws give it.
    second = np.array([pair[1] == 2 for pair in pairs if pair[0] == 0])
    expected = (9 / 27) ** 2
    assert abs(second.mean() - expected) <= 5 * np.sqrt(expected / len(second))


def test_a_rare_far_cluster_that_the_sample_misses_is_found(executor: ThreadExecutor) -> None:
    """20 rows of 200,000; k-means on the sample cannot know them, and pays for it."""
    X, far = _clusters(200_000, 4, 3), np.array([300.0, -300.0, 300.0])
    X[100_000:100_020] = far + np.random.default_rng(1).normal(size=(20, 3))
    sample = X[:5000].copy()
    (p,) = kmeans_parallel(_rows(X, executor), [_request(sample, 5)], 0, [(0,)])
    of_sample = kmeans(_request(sample, 5))
    rare = int(np.abs(p.means - far).sum(axis=1).argmin())
    np.testing.assert_allclose(p.means[rare], X[100_000:100_020].mean(axis=0), rtol=1e-9)
    assert p.weights[rare] == pytest.approx(20 / 200_000)
    assert _sum_of_squares(X, p.means) < 0.2 * _sum_of_squares(X, of_sample.means)


@pytest.mark.parametrize("k", [1, 8, 40])
def test_without_rare_clusters_it_is_about_as_good_as_kmeans_on_everything(
    k: int, executor: ThreadExecutor
) -> None:
    """Within 10 %, the median of nine streams: k-means itself may end 9 % above its best."""
    X = _clusters(20_000, 8, 4, apart=2.0)
    ratios = []
    for seed in range(9):
        (p,) = kmeans_parallel(_rows(X, executor), [_request(X[:2000], k, seed)], seed, [(0,)])
        everything = CentredRows.of(X)
        rng = np.random.default_rng(seed)
        labels = lloyd(everything, everything.take(seeds(everything, k, rng)))
        counts = np.bincount(labels, minlength=k)
        means = everything.means(labels, counts, np.zeros((k, 4))) + everything.centre
        ratios.append(_sum_of_squares(X, p.means) / _sum_of_squares(X, means))
    assert np.median(ratios) < 1.1


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
def test_components_start_with_the_moments_of_all_rows_nearest_to_a_centre(
    family: object, executor: ThreadExecutor
) -> None:
    X = _clusters(2 * ROW_QUANTUM + 5, 3, 64)
    centres = X[:3].copy()
    (found,) = _rows(X, executor).reduce(ClusterMeasure(family, (centres,), (None,)), "read").values  # type: ignore[arg-type]
    labels = ((X[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
    estimate = m_step(family, found)  # type: ignore[arg-type]
    for j in range(3):
        own = X[labels == j]
        assert estimate.counts[j] == len(own)
        # Deviations of up to 100 are summed over n rows.
        np.testing.assert_allclose(
            estimate.means[j], own.mean(axis=0), atol=100 * len(own) * EPS, rtol=0
        )
    scatter = sum(
        (np.cov(X[labels == j].T, bias=True) * (labels == j).sum() for j in range(3)),
        np.zeros((64, 64)),
    )
    pooled = estimate.family.variances(estimate.covariances, 3, 64)
    shares = estimate.counts / len(X)
    expected = np.diag(scatter) / len(X)
    if estimate.family.common_scale:
        expected = np.full(64, expected.mean())
    np.testing.assert_allclose(shares @ pooled, expected, rtol=len(X) * EPS * 100)


def test_dropped_rows_are_left_out_and_change_no_other_rows_draw(executor: ThreadExecutor) -> None:
    X = _clusters(3000, 3, 2)
    hole = X.copy()
    hole[1::7] = np.nan
    n_dropped = len(hole[1::7])
    kept = np.delete(X, np.arange(1, len(X), 7), axis=0)
    measure = RoundMeasure(0, ((3, 0, 1),), (kept[:1],), (None,), 30.0)
    drawn = _rows(hole, executor, n_dropped).reduce(measure, "read").values[0]
    assert np.isfinite(drawn.rows).all()
    assert drawn.cost == pytest.approx(_sum_of_squares(kept, kept[:1]), rel=len(X) * EPS)
    whole = _rows(X, executor).reduce(measure, "read").values[0]
    expected = whole.keys[~np.isin(whole.rows[:, 0], X[1::7, 0])]
    assert set(expected) <= set(drawn.keys)  # φ is smaller without them: no fewer are taken
    (counts,) = (
        _rows(hole, executor, n_dropped).reduce(CountMeasure((kept[:2],), (None,)), "read").values
    )
    assert counts.values.sum() == len(kept)


def test_data_that_change_between_reads_are_refused(executor: ThreadExecutor) -> None:
    X = _clusters(500, 2, 2)
    X[3] = np.nan
    with pytest.raises(DataError, match="the data changed during the run"):
        _rows(X, executor, n_dropped=2).reduce(CountMeasure((X[:1],), (None,)), "read")


@pytest.mark.parametrize("n_distinct", [1, 2, 5])
def test_fewer_different_rows_than_components_still_start(
    n_distinct: int, executor: ThreadExecutor
) -> None:
    X = np.repeat(np.random.default_rng(0).normal(size=(n_distinct, 2)), 40, axis=0)
    (p,) = kmeans_parallel(_rows(X, executor), [_request(X, 6)], 0, [(0,)])
    assert isinstance(p, Parameters)
    assert np.isfinite(p.means).all()
    assert not p.singular.any()
    assert p.weights.sum() == pytest.approx(1.0)


def test_rounds_go_on_while_there_are_fewer_candidates_than_components() -> None:
    """Each far row takes a whole round; a geometric row of them leaves one candidate a round."""
    far = 1e5 ** np.arange(1, 13)
    X = np.concatenate([np.random.default_rng(0).normal(size=3000), far])[:, None]
    with _Counting() as executor:
        (found,) = draw_candidates(_rows(X, executor), [_request(X[:100], 9)], 0, [(0,)])
        assert ROUNDS < executor.n_passes <= MOST_ROUNDS
    assert len(found) >= 9


def test_a_drawn_value_is_a_monoid_up_to_rounding() -> None:
    X = _clusters(300, 3, 2)
    parts = []
    for number, rows in enumerate(np.split(X, 3)):
        block = Block(number, CentredRows.about_origin(np.ascontiguousarray(rows.T)))
        rng = np.random.default_rng(number)
        parts.append(SampledStarts.of_block(20.0, block, X[:1], rng))
    a, b, c = parts
    left, right = a.merge(b).merge(c), a.merge(b.merge(c))
    np.testing.assert_array_equal(left.rows, right.rows)
    assert left.cost == pytest.approx(right.cost, rel=4 * EPS)
    assert (left.keys < left.oversampling / left.cost).all()
    assert PerRestart((a,)).merge(PerRestart((b,))).values[0].cost == a.merge(b).cost


def test_it_is_no_method_of_a_sample() -> None:
    assert reads_all_rows("kmeans_parallel")
    with pytest.raises(DataError, match="expected one that takes a sample"):
        start(
            "kmeans_parallel",
            np.zeros((5, 2)),
            FAMILIES["full"],
            2,
            np.zeros(2),
            np.random.default_rng(0),
        )


def test_the_oversampling_is_the_papers() -> None:
    assert (OVERSAMPLING, ROUNDS) == (2.0, 5)
