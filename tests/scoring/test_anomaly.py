"""The anomaly threshold is an exact order statistic of what was written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.weighted_dataset import weighted
from dgmm.data.zarr import output_store as zarr_output
from dgmm.execution.threads import ThreadExecutor
from dgmm.reduction.blocks import BlockGrid
from dgmm.scoring import anomaly
from dgmm.scoring.scoring_pass import Products, chunk_blocks

FLOATS = st.floats(allow_nan=False, width=64)


@given(st.lists(FLOATS, min_size=2, max_size=50))
def test_integers_are_in_the_order_of_the_values_and_come_back(values):
    array = np.array(values)
    keys = anomaly.sortable(array)
    np.testing.assert_array_equal(array[np.argsort(keys, kind="stable")], np.sort(array))
    back = [anomaly.from_sortable(int(k)) for k in keys]
    np.testing.assert_array_equal(back, array)


def written(path, values):
    """The arrays of a scoring pass over as many rows."""
    grid = BlockGrid(len(values), 400)  # blocks of 4096 rows
    Products(str(path), ("log_density", "anomaly")).create(grid, 1, {})
    log_density = zarr_output.OutputArray(str(path), "log_density")
    step = chunk_blocks(grid) * grid.rows_per_block
    for start in range(0, len(values), step):
        log_density.write(start, values[start : start + step])
    return grid, log_density, zarr_output.OutputArray(str(path), "anomaly")


@pytest.fixture(scope="module")
def values():
    rng = np.random.default_rng(0)
    log_density = rng.normal(-20, 30, 300_000)
    log_density[:70] = -np.inf
    log_density[70:5000] = -33.25  # ties
    log_density[[100_000, 299_999]] = np.nan  # dropped rows
    return log_density


@pytest.mark.parametrize("quantile", [1e-9, 0.0001, 0.001, 0.3, 0.5, 0.999999])
def test_the_threshold_is_the_order_statistic_and_flags_what_lies_below(tmp_path, values, quantile):
    grid, log_density, flags = written(tmp_path / "o.zarr", values)
    kept = np.sort(values[~np.isnan(values)])
    with ThreadExecutor(3) as executor:
        found = anomaly.threshold(anomaly.WrittenRows(log_density), grid, executor, quantile)
        flagged = anomaly.flag(log_density, flags, grid, executor, found)
    scored = np.sort(values[np.isfinite(values)])
    wanted = int(quantile * len(kept))
    assert found == (scored[0] if wanted < 70 else kept[wanted])
    expected = np.where(np.isnan(values), -1, values < found)
    np.testing.assert_array_equal(flags.read(0, len(values)), expected)
    assert flagged.n_anomalies == (expected == 1).sum() <= max(70, quantile * len(kept))


@settings(max_examples=25, deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=60), st.floats(0.001, 0.999))
def test_any_few_values_have_their_exact_threshold(tmp_path_factory, some, quantile):
    array = np.array(some)
    grid, log_density, _ = written(tmp_path_factory.mktemp("few") / "o.zarr", array)
    with ThreadExecutor(1) as executor:
        found = anomaly.threshold(anomaly.WrittenRows(log_density), grid, executor, quantile)
    expected = np.sort(array)[anomaly.rows_below(quantile, len(array))]
    if expected == -np.inf:
        expected = min(array[np.isfinite(array)], default=np.finfo(np.float64).min)
    assert found == expected


@pytest.mark.parametrize(
    ("quantile", "n", "rows"),
    [
        (0.07, 1_000_000, 70_000),  # 70,000.00000000001 as a product
        (0.57, 100, 57),  # 56.99999999999999
        (0.0003, 9_990_000, 2997),
        (1e-05, 3_100_000, 31),
        (0.001, 2_999, 2),
        (np.float64(0.29), 1_300, 377),
    ],
)
def test_a_decimal_share_of_rows_is_exact(quantile, n, rows):
    assert anomaly.rows_below(quantile, n) == rows


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 999), st.integers(1, 10**9))
def test_a_share_in_thousandths_is_that_of_whole_numbers(thousandths, n):
    assert anomaly.rows_below(thousandths / 1000, n) == thousandths * n // 1000


def test_where_no_row_has_a_density_all_are_flagged(tmp_path):
    values = np.full(90, -np.inf)
    values[7] = np.nan
    grid, log_density, flags = written(tmp_path / "o.zarr", values)
    with ThreadExecutor(1) as executor:
        found = anomaly.threshold(anomaly.WrittenRows(log_density), grid, executor, 0.25)
        flagged = anomaly.flag(log_density, flags, grid, executor, found)
    assert np.isfinite(found)
    assert flagged.n_anomalies == 89
    assert flags.read(0, 90)[7] == -1


@pytest.mark.parametrize("unit", [1.0, 3.0, 1e-6])
@pytest.mark.parametrize("quantile", [0.001, 0.3, 0.999])
def test_the_threshold_of_weighted_rows_is_that_of_copies(tmp_path, values, quantile, unit):
    weights = np.random.default_rng(1).integers(0, 4, len(values)).astype(float)
    grid, log_density, _ = written(tmp_path / "w.zarr", values)
    copies = np.repeat(values, weights.astype(int))
    own, copied, _ = written(tmp_path / "c.zarr", copies)
    rows, column = (
        ArrayDataset(np.ones((len(values), 400), np.int8)),
        ArrayDataset(weights[:, None]),
    )
    dataset = weighted(rows, column, "counts").in_units_of(unit, weights.sum() / unit)
    with ThreadExecutor(2) as executor:
        found = anomaly.threshold(
            anomaly.WrittenRows.of(log_density, dataset), grid, executor, quantile
        )
        expected = anomaly.threshold(anomaly.WrittenRows(copied), own, executor, quantile)
    assert found == expected
