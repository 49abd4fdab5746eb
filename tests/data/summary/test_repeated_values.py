"""Values that many rows share are found, told apart and counted; one line for each kind."""

from __future__ import annotations

import numpy as np
import pytest
import xarray
import zarr

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.fill_value import FillValue
from dgmm.data.open_dataset import as_dataset
from dgmm.data.summary.partial_summary import PartialSummary
from dgmm.data.summary.repeated_values import repeated_values, repetition_warnings
from dgmm.data.summary.summarise import summarise
from dgmm.data.summary.uniform_sample import SampleRule
from dgmm.errors import DataError
from dgmm.execution.threads import ThreadExecutor
from dgmm.mixture.backends import standardising_backend
from dgmm.reduction.blocks import BlockRange

N, D = 30_000, 3


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)


def summary_of(X, fill=None, *, missing="error", sample_rows=4000, n_threads=1):
    fill_value = None if fill is None else FillValue(float(fill))
    dataset = ArrayDataset(X, fill_value=fill_value)
    with ThreadExecutor(n_threads) as executor:
        return summarise(dataset, executor, missing=missing, sample_rows=sample_rows, seed=0)


def found_in(X, fill=None, **options):
    """(feature, value, kind) of what is named."""
    summary = summary_of(X, fill, **options)
    constant = (X[:1] == X).all(axis=0)
    return repeated_values(summary, constant, fill)


def kinds(values):
    return {(v.feature, v.value): v.kind for v in values}


def normal(seed=0):
    return np.random.default_rng(seed).normal(50.0, 8.0, size=(N, D))


def with_gaps(share, value, columns=slice(None), dtype="f8", seed=1):
    X = normal().astype(dtype)
    gap = np.random.default_rng(seed).random(N) < share
    X[gap, columns] = value
    return X, int(gap.sum())


@pytest.mark.parametrize("share", [0.0005, 0.03, 0.4, 0.7])
@pytest.mark.parametrize(("fill", "dtype"), [(-32000, "i2"), (-777.77, "f4"), (6.5e35, "f8")])
def test_cells_equal_to_the_fill_value_are_counted_exactly_in_all_rows(share, fill, dtype):
    X, count = with_gaps(share, fill, dtype=dtype)
    fill = float(np.dtype(dtype).type(fill))
    values = [v for v in found_in(X, fill) if v.kind == "fill"]
    assert [(v.feature, v.value, v.n_rows, v.share) for v in values] == [
        (i, fill, count, count / N) for i in range(D)
    ]
    assert all(v.is_exact for v in values)
    (text,) = repetition_warnings(values, ["a", "b", "c"])
    assert f"fill value, {fill:.6g}, are fitted as values: a ({100 * count / N:.3g} %, " in text
    assert f"{count:,} rows), b (" in text


@pytest.mark.parametrize("n_threads", [1, 3])
def test_fill_values_are_counted_in_the_rows_that_are_fitted(n_threads):
    X, _ = with_gaps(0.1, -5.0, 1)
    X[::7, 0] = np.nan
    summary = summary_of(X, -5.0, missing="drop", n_threads=n_threads)
    kept = np.isfinite(X).all(axis=1)
    np.testing.assert_array_equal(summary.n_fill, (X[kept] == -5.0).sum(axis=0))


@pytest.mark.parametrize("share", [0.08, 0.3, 0.6])
@pytest.mark.parametrize("value", [-888.0, 0.0, 66.0])
def test_a_value_that_many_rows_share_is_a_spike(share, value):
    X, count = with_gaps(share, value, 1)
    (found,) = found_in(X)
    assert (found.feature, found.value, found.kind) == (1, value, "spike")
    # 4,000 of 30,000 rows: five standard deviations of the share.
    assert abs(found.share - count / N) < 5 * np.sqrt(share * (1 - share) / 4000)
    assert not found.is_exact
    (text,) = repetition_warnings([found], ["a", "b", "c"])
    assert f"b = {value:.6g} ({100 * found.share:.3g} %) (shares of a sample of the rows)" in text


def test_a_sample_of_all_rows_gives_exact_shares():
    X, count = with_gaps(0.12, 71.0, 0)
    (found,) = found_in(X, sample_rows=N)
    assert (found.n_rows, found.share, found.is_exact) == (count, count / N, True)


def test_values_of_few_rows_are_nothing_to_name():
    assert found_in(normal()) == ()
    assert found_in(with_gaps(0.03, 7.0)[0]) == ()
    pairs = np.repeat(normal()[: N // 2], 2, axis=0)
    assert found_in(pairs) == ()
    assert found_in(np.repeat(normal()[:15], 2, axis=0)) == ()


def test_two_spikes_of_one_feature_are_both_found():
    X, _ = with_gaps(0.4, -1.0, 0)
    X[np.random.default_rng(5).random(N) < 0.3, 0] = 99.0
    assert kinds(found_in(X)) == {(0, -1.0): "spike", (0, 99.0): "spike"}


def levels():
    rng = np.random.default_rng(3)
    return np.column_stack([rng.integers(0, 2, N), rng.integers(0, 10, N), rng.poisson(4.0, N)])


def test_flags_categories_and_counts_take_levels():
    found = found_in(levels())
    assert {v.kind for v in found} == {"level"}
    assert {v.feature for v in found} == {0, 1, 2}


def test_a_code_among_counts_is_no_level_like_the_others():
    X = levels()
    X[np.random.default_rng(8).random(N) < 0.07] = -99
    assert {key for key, kind in kinds(found_in(X)).items() if kind == "spike"} == {
        (0, -99.0),
        (1, -99.0),
        (2, -99.0),
    }


def test_rounded_measurements_take_levels_and_a_code_among_them_does_not():
    rng = np.random.default_rng(6)
    X = np.round(rng.normal(4.0, [0.5, 0.2, 1.0], size=(160, 3)), 1)
    found = found_in(X, sample_rows=N)
    assert found
    assert {v.kind for v in found} == {"level"}
    assert all("missing to drop" not in text for text in repetition_warnings(found, "abc"))
    X[::9, 2] = -7.0
    assert kinds(found_in(X, sample_rows=N))[2, -7.0] == "spike"


def test_a_frequent_value_of_few_measured_rows_is_a_level_and_saturation_a_spike():
    rng = np.random.default_rng(6)
    x = np.round(rng.normal(1.6, 0.4, size=170), 2)
    x[:10] = 1.57  # 6 %, where others have up to 5 rows
    (found,) = found_in(x[:, None], sample_rows=N)
    assert (found.value, found.kind) == (1.57, "level")
    y = np.minimum(np.round(rng.normal(1.6, 0.4, size=2000), 2), 2.0)
    assert kinds(found_in(y[:, None], sample_rows=N)) == {(0, 2.0): "spike"}


def test_zeros_of_counts_are_levels_even_where_zero_is_the_fill_value():
    assert {v.kind for v in found_in(levels(), 0.0)} == {"level"}
    X = levels()
    X[np.random.default_rng(8).random(N) < 0.4, 2] = 0
    assert kinds(found_in(X, 0.0))[2, 0.0] == "fill"


def test_zeros_among_continuous_values_are_named_where_zero_is_the_fill_value():
    X, count = with_gaps(0.01, 0.0, 1)
    assert [(v.feature, v.n_rows, v.kind) for v in found_in(X, 0.0)] == [(1, count, "fill")]
    assert found_in(X) == ()
    whole, _ = with_gaps(0.02, 0, 1, "i4")
    assert kinds(found_in(whole, 0.0))[1, 0.0] == "fill"  # far from all others


def test_a_feature_that_was_never_written_is_named():
    X = normal()
    X[:, 2] = -4.5
    (found,) = found_in(X, -4.5)
    assert (found.feature, found.n_rows, found.kind) == (2, N, "fill")
    assert found_in(X) == ()


def test_many_features_are_one_line_of_each_kind():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 90))
    X[rng.random(N) < 0.2, :30] = -1.5
    X[rng.random(N) < 0.2, 30:60] = 8.5
    X[:, 60:] = X[:, 60:] > 0.3
    found = found_in(X, -1.5)
    lines = list(repetition_warnings(found, [f"f{i}" for i in range(90)]))
    assert len(lines) == 3
    assert "f9 (" in lines[0]
    assert "and 20 more" in lines[0]
    assert "f39 = 8.5" in lines[1]
    assert "and 20 more" in lines[1]
    assert "f60 (0: " in lines[2]
    assert "and 25 more" in lines[2]


def test_the_counts_of_parts_add_up():
    X, _ = with_gaps(0.2, 3.0, 0)
    dataset = ArrayDataset(X, fill_value=FillValue(3.0))
    rule, backend = SampleRule(0, 0), standardising_backend(0)
    blocks = dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks))
    parts = [PartialSummary.of_block(block, dataset, rule, backend) for block in blocks]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    np.testing.assert_array_equal(merged.n_fill, (X == 3.0).sum(axis=0))


def test_a_zarr_array_in_memory_is_held_to_the_same_conventions():
    values = normal()
    plain = zarr.create_array(store={}, data=values, fill_value=-3.0)
    assert as_dataset(plain).fill_value == FillValue(-3.0)
    packed = zarr.create_array(store={}, data=values, attributes={"scale_factor": 0.1})
    dataset = as_dataset(packed)
    blocks = dataset.read_blocks(BlockRange(0, dataset.grid.n_blocks))
    np.testing.assert_array_equal(np.concatenate([b.values for b in blocks]), values * 0.1)


def test_a_labelled_map_in_memory_is_refused_and_a_labelled_table_is_not():
    values = normal()[:40]
    coords = {"y": np.linspace(0, 1, 40), "x": [10, 20, 30]}
    labelled = xarray.DataArray(values, dims=("y", "x"), coords=coords)
    with pytest.raises(DataError, match="dimensions y and x have numeric coordinates"):
        as_dataset(labelled)
    table = labelled.assign_coords(x=["a", "b", "c"])
    np.testing.assert_array_equal(as_dataset(table).X, values)
    stacked = labelled.expand_dims(v=["t"]).stack(row=("y", "x")).transpose("row", "v")
    assert as_dataset(stacked).n_samples == 120
    with pytest.raises(DataError, match="attributes _FillValue say"):
        as_dataset(table.assign_attrs(_FillValue=-1.0))
