"""The weights are read alone: what is no weight is refused by row, the others are added up."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import zarr

from dgmm.checkpoint.encoding import decode, encode
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.standardisation import Standardisation
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.summary.counted_weights import CountedWeights, weight_warnings
from dgmm.data.summary.repeated_values import repeated_values
from dgmm.data.summary.summarise import summarise
from dgmm.data.summary.weight_summary import PartialWeights, weigh
from dgmm.data.summary.weight_sums import WeightSums
from dgmm.data.weighted_dataset import weighted
from dgmm.data.zarr.dataset import open_zarr
from dgmm.data.zarr.vector import open_zarr_vector
from dgmm.errors import DataError
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting.weighing import in_fitted_units
from dgmm.reduction.blocks import BlockRange

N = 300_000  # rows in two blocks of weights


def test_weights_are_added_up():
    weights = np.random.default_rng(1).lognormal(size=N)
    weights[::5] = 0.0
    record = _counted(weights).record()
    assert record["sum"] == pytest.approx(weights.sum(), rel=1e-13)
    assert record["n_eff"] == pytest.approx(weights.sum() ** 2 / (weights**2).sum(), rel=1e-13)
    assert (record["max"], record["max_row"]) == (weights.max(), weights.argmax())
    assert (record["zeros"], record["positive_rows"]) == (N // 5, N - N // 5)
    unit = weights.sum() / (weights > 0).sum()
    assert _weighed(weights).unit == pytest.approx(unit, rel=1e-13)


@pytest.mark.parametrize("j", [-900, -20, 20, 900])
def test_a_power_of_two_of_all_weights_moves_no_bit_of_what_em_sees(j):
    weights = np.random.default_rng(1).lognormal(size=1000)
    plain, scaled = _weighed(weights), _weighed(np.ldexp(weights, j))
    np.testing.assert_array_equal(np.ldexp(weights, j) / scaled.unit, weights / plain.unit)
    assert scaled.sums.effective_rows == plain.sums.effective_rows


def test_equal_weights_are_1_exactly():
    assert _weighed(np.full(1000, 0.1)).unit == 0.1
    assert _weighed(np.full(1000, 3.0), "counts").unit == 1.0


@pytest.mark.parametrize("n_threads", [1, 3])
def test_bits_do_not_follow_the_workers(n_threads):
    weights = np.random.default_rng(2).lognormal(size=3 * N)
    one, other = _weighed(weights).sums, _weighed(weights, n_threads=n_threads).sums
    np.testing.assert_array_equal(one.sums, other.sums)
    np.testing.assert_array_equal(one.squares, other.squares)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_what_is_no_weight_is_refused_by_row(value):
    weights = np.ones(N)
    weights[[N - 7, N - 3]] = value
    with pytest.raises(DataError, match=f"the weight of row {N - 7} is {value:g}, expected"):
        _weighed(weights)


def test_counts_are_whole_numbers():
    weights = np.arange(1.0, 9.0)
    weights[5] = 2.5
    with pytest.raises(DataError, match=r"the weight of row 5 is 2\.5, expected a whole number"):
        _weighed(weights, "counts")
    assert _weighed(weights, "importance").n_rows == 8


def test_too_few_rows_of_positive_weight_are_refused():
    with pytest.raises(DataError, match="all weights are zero"):
        _weighed(np.zeros(9))
    with pytest.raises(DataError, match="2 of 9 rows have a positive weight"):
        _weighed(np.eye(9)[0] + np.eye(9)[4], n_components=3)
    assert _weighed(np.eye(9)[0] + np.eye(9)[4], n_components=2).n_weightless == 7


def test_counts_are_those_that_float64_holds():
    assert _weighed(np.array([1.0, 2.0**53]), "counts").largest.weight == 2.0**53
    with pytest.raises(DataError, match=r"row 1 is 9\.00.*, expected a count of at most 2\^53"):
        _weighed(np.array([1.0, 2.0**53 + 2]), "counts")
    assert _weighed(np.array([1.0, 2.0**53 + 2])).kind == "importance"


def test_of_rows_with_one_weight_the_first_is_named():
    weights = np.full(N, 2.0)
    weights[[3, N - 3]], weights[[7, N - 7]] = 5.0, 1.0
    found = _weighed(weights)
    assert (found.largest.row, found.smallest.row) == (3, 7)


def test_a_weight_that_changes_nothing_is_refused():
    with pytest.raises(DataError, match="the weight of row 3 is 1e-40, less than"):
        _weighed(np.array([1.0, 2.0, 1.0, 1e-40]))


def test_a_row_that_outweighs_others_is_warned_of():
    weights = np.ones(1000)
    weights[77] = 500.0
    rows = ArrayDataset(np.ones((1000, 1)))
    heavy, few = weight_warnings(_counted(weights), 5, rows)
    assert heavy.startswith("one row has 33% of all weight: row 77 has 500 of 1499")
    assert f"worth {1499**2 / (999 + 500**2):.4g} rows" in few
    assert not list(weight_warnings(_counted(np.ones(1000)), 5, rows))


@pytest.mark.parametrize(("share", "n_free", "n"), [(0.11, 5, 1), (0.09, 5, 0), (0.09, 11, 1)])
def test_warnings_begin_at_a_tenth_of_the_weight_and_ten_rows_per_parameter(share, n_free, n):
    """105 rows with the weight of 100, one of which has a share of it."""
    weights = np.append(np.full(104, (1.0 - share) * 100.0 / 104), share * 100.0)
    weights = np.rint(weights * 1000)
    found = _counted(weights)
    worth = weights.sum() ** 2 / (weights**2).sum()
    assert 50 < worth < 110
    rows = ArrayDataset(np.ones((105, 1)))
    assert len(list(weight_warnings(found, n_free, rows))) == n


@pytest.mark.parametrize("kind", ["counts", "importance"])
def test_a_row_that_is_left_out_is_neither_recorded_nor_warned_of(kind):
    """The heaviest row is left out, and one of weight 0: the rest is what counts."""
    weights = np.random.default_rng(1).integers(1, 8, 1000).astype(float)
    weights[[77, 500]] = 1e6, 0.0
    rows = np.ones((1000, 1))
    rows[77] = np.nan
    found, counted = _counted(weights, rows, kind), np.delete(weights, [77, 500])
    record = found.record()
    assert record["sum"] == pytest.approx(counted.sum(), rel=1e-13)
    assert record["n_eff"] == pytest.approx(counted.sum() ** 2 / (counted**2).sum(), rel=1e-13)
    assert (record["max"], record["max_row"]) == (pytest.approx(7.0), np.argmax(weights == 7))
    assert (record["zeros"], record["positive_rows"]) == (1, 999)
    assert not list(weight_warnings(found, 5, ArrayDataset(rows)))
    expected = counted.sum() if kind == "counts" else record["n_eff"]
    assert found.rows_of(counted.sum() / _weighed(weights, kind).unit) == pytest.approx(expected)


@pytest.mark.parametrize("left_out", [False, True])
def test_equal_weights_are_rows_whichever_of_them_are_left_out(left_out):
    rows, weights = np.ones((1000, 1)), np.full(1000, 0.1)
    rows[:300] = np.nan if left_out else 1.0
    n = 700 if left_out else 1000
    found = _counted(weights, rows)
    assert found.record()["sum"] == pytest.approx(0.1 * n)
    assert found.record()["n_eff"] == pytest.approx(n)
    assert found.rows_of(float(n)) == n
    assert not found.has_approximate_criteria


@pytest.mark.parametrize("left_out", [False, True])
def test_weights_whose_sum_is_beyond_float64_are_worth_rows(left_out):
    weights, rows = 1.7e308 * ((np.arange(200) + 1) / 200), np.ones((200, 1))
    rows[::4] = np.nan if left_out else 1.0
    counted = np.ldexp(weights[~np.isnan(rows[:, 0])], -10)
    found = _counted(weights, rows)
    assert found.total == np.inf
    weight = (counted / np.ldexp(_weighed(weights).unit, -10)).sum()
    scaled = counted / counted.max()
    n_eff = scaled.sum() ** 2 / (scaled**2).sum()
    assert found.rows_of(weight) == pytest.approx(n_eff, rel=1e-13)
    assert found.largest_share == pytest.approx(scaled.max() / scaled.sum(), rel=1e-13)


def test_one_weight_per_row():
    with pytest.raises(DataError, match="there are 3 weights for 4 rows"):
        weighted(ArrayDataset(np.ones((4, 2))), ArrayDataset(np.ones((3, 1))), "counts")


def test_sums_are_a_monoid():
    weights = np.random.default_rng(3).lognormal(sigma=5, size=200)
    parts = [WeightSums.of(part) for part in np.array_split(weights, 4)] + [
        WeightSums.of(weights[:0])
    ]
    whole, merged = WeightSums.of(weights), WeightSums.of(weights[:0])
    for part in parts:
        merged = merged.merge(part)
    np.testing.assert_array_equal(merged.counts, whole.counts)
    np.testing.assert_allclose(merged.sums, whole.sums, rtol=1e-14)


def test_the_sample_of_skewed_weights_is_five_times_as_exact_as_a_uniform_one():
    """Weights of log-sd 2: the weighted mean's error is at most a fifth of uniform sampling's."""
    n, m = 100_000, 2000
    rng = np.random.default_rng(0)
    rows, weights = rng.normal(size=(n, 1)), rng.lognormal(sigma=2.0, size=n)
    truth = np.average(rows[:, 0], weights=weights)
    by_weight, uniform = [], []
    for seed in range(30):
        found = _summary(rows, weights, m, seed)
        assert len(found.sample) == m
        by_weight.append(np.average(found.sample[:, 0], weights=found.sample_weights))
        drawn = rng.choice(n, m, replace=False)
        uniform.append(np.average(rows[drawn, 0], weights=weights[drawn]))
    errors = [np.sqrt(np.mean((np.array(means) - truth) ** 2)) for means in (by_weight, uniform)]
    assert errors[0] <= errors[1] / 5


def test_what_the_sample_stands_for_is_all_weight():
    weights = np.random.default_rng(5).lognormal(sigma=2.0, size=50_000)
    totals = [
        _summary(np.ones((50_000, 1)), weights, 1000, s).sample_weights.sum() for s in range(20)
    ]
    assert np.mean(totals) == pytest.approx(50_000, rel=0.02)  # weights have the mean 1


def test_equal_weights_give_the_uniform_sample():
    rows = np.random.default_rng(6).normal(size=(20_000, 2))
    plain = _summary(rows, None, 500, 3)
    for kind, weight in (("counts", 3.0), ("importance", 0.1)):
        found = _summary(rows, np.full(20_000, weight), 500, 3, kind)
        np.testing.assert_array_equal(found.sample_numbers, plain.sample_numbers)
        assert found.sample_weights is None


def test_a_sample_of_all_rows_has_their_weights():
    weights = np.random.default_rng(7).lognormal(size=400)
    weights[::4] = 0.0
    rows = np.ones((400, 1))
    rows[::4] = np.nan
    found = _summary(rows, weights, 1000, 0)
    there = weights > 0
    np.testing.assert_array_equal(found.sample_numbers, np.flatnonzero(there))
    np.testing.assert_allclose(found.sample_weights, (weights / weights[there].mean())[there])


@pytest.mark.parametrize("heavy", [True, False])
def test_values_that_many_rows_share_are_looked_for_by_weight(heavy):
    """A tenth of the rows have the value: a hundredth of the weight, or nearly half."""
    rng = np.random.default_rng(8)
    rows, weights = rng.normal(size=(20_000, 1)), rng.uniform(0.5, 1.5, 20_000)
    rows[::10] = 7.0
    weights[::10] *= 9.0 if heavy else 0.1
    found = repeated_values(_summary(rows, weights, 10_000, 0), np.zeros(1, bool), None)
    share = weights[::10].sum() / weights.sum()
    shares = [value.share for value in found if value.value == 7.0]
    assert shares == ([pytest.approx(share, rel=0.05)] if heavy else [])


def test_quartiles_are_those_of_copies():
    rng = np.random.default_rng(9)
    for n in range(2, 40):
        rows, counts = rng.integers(9, size=(n, 3)).astype(float), rng.integers(1, 5, n)
        copies = np.repeat(rows, counts, axis=0)
        found = Standardisation.from_sample(rows, common_scale=False, weights=counts.astype(float))
        expected = Standardisation.from_sample(copies, common_scale=False)
        np.testing.assert_array_equal(found.shift, expected.shift)
        np.testing.assert_array_equal(found.is_constant, expected.is_constant)
        np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-12)


def test_finished_parts_of_the_read_are_saved_and_come_back():
    weights = np.random.default_rng(1).lognormal(size=1000)
    weights[3] = 0.0
    found = _weighed(weights)
    assert encode(decode(encode(found))).tree == encode(found).tree
    part = PartialWeights.of(weights, 70)
    assert encode(decode(encode(part))).tree == encode(part).tree
    assert part.largest.row == 70 + weights.argmax()


def test_stored_rows_with_weights_go_to_other_processes(tmp_path):
    rows, weights = np.arange(18_000.0).reshape(9000, 2), np.arange(9000.0)
    group = zarr.open_group(tmp_path, mode="w")
    group.create_array("rows", data=rows, chunks=(500, 2))
    group.create_array("w", data=weights, chunks=(333,))
    dataset = weighted(
        open_zarr(str(tmp_path), "rows"), open_zarr_vector(str(tmp_path), "w"), "counts"
    )
    wanted = dataset.with_cache(10**6).with_retries(1.0)
    sent = pickle.loads(pickle.dumps(wanted))  # noqa: S301 - what was pickled here
    assert isinstance(sent, StoredDataset)
    for _ in range(2):  # the second time from the cache
        blocks = list(sent.read_blocks(BlockRange(0, sent.grid.n_blocks)))
        np.testing.assert_array_equal(np.concatenate([b.values for b in blocks]), rows)
        np.testing.assert_array_equal(np.concatenate([b.weights for b in blocks]), weights)


def _dataset(rows, weights, kind="importance"):
    return weighted(ArrayDataset(rows), ArrayDataset(weights[:, None]), kind)


def _weighed(weights, kind="importance", n_components=1, n_threads=1):
    dataset = _dataset(np.ones((len(weights), 1)), weights, kind)
    with ThreadExecutor(n_threads) as executor:
        return weigh(dataset, executor, n_components)


def _counted(weights, rows=None, kind="importance"):
    rows = np.ones((len(weights), 1)) if rows is None else rows
    return CountedWeights.of(
        _weighed(weights, kind), _summary(rows, weights, 10, 0, kind, missing="drop")
    )


def _summary(rows, weights, sample_rows, seed, kind="importance", missing="error"):
    with ThreadExecutor(1) as executor:
        if weights is None:
            return summarise(
                ArrayDataset(rows), executor, missing="error", sample_rows=sample_rows, seed=seed
            )
        dataset = _dataset(rows, weights, kind)
        found = weigh(dataset, executor, 1)
        return summarise(
            in_fitted_units(dataset, found),
            executor,
            missing=missing,
            sample_rows=sample_rows,
            seed=seed,
            weights=found,
        )
