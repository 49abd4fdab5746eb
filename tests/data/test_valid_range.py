"""Values outside an array's valid range are counted and refused; arrays within it are read."""

from __future__ import annotations

import numpy as np
import pytest
import xarray
import zarr

from dgmm import GaussianMixture
from dgmm.data.open_dataset import as_dataset
from dgmm.data.selected_features import SelectedFeatures
from dgmm.data.summary.summarise import summarise
from dgmm.data.valid_range import valid_range_of
from dgmm.errors import DataError
from dgmm.execution.threads import ThreadExecutor

N, D = 9000, 3


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)


def rows(dtype="f8"):
    return np.clip(np.random.default_rng(2).normal(20.0, 4.0, (N, D)), 1.0, 39.0).astype(dtype)


def with_gaps(dtype="f8"):
    X = rows(dtype)
    X[[4, 6000, 8999], 0] = 77
    X[5000, 2] = 0
    return X


def stored(path, X, attributes, zarr_format):
    zarr.create_array(
        str(path), data=X, chunks=(1000, D), attributes=attributes, zarr_format=zarr_format
    )
    return str(path)


def given(where, X, attributes, path):
    """What a user hands over."""
    if where == "memory":
        return xarray.DataArray(X, dims=("a", "b"), attrs=attributes)
    if where == "variable":
        return xarray.Variable(("a", "b"), X, attributes)
    if where == "store":
        return zarr.create_array({}, data=X, attributes=attributes)
    return stored(path, X, attributes, int(where))


def summary_of(X, missing="error"):
    with ThreadExecutor(1) as executor:
        return summarise(as_dataset(X), executor, missing=missing, sample_rows=100, seed=0)


WHERE = ["2", "3", "store", "memory", "variable"]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        (
            {"valid_range": [1, 40]},
            r"valid_range = 1 to 40\).* x0 in 3 of 9,000 rows, x2 in 1 of 9,000 rows\. ",
        ),
        ({"valid_max": 40.0}, r"valid_max = 40\).*: x0 in 3 of 9,000 rows\. Write NaN"),
        ({"valid_min": "0.5"}, r"valid_min = 0\.5\).*: x2 in 1 of 9,000 rows\. Write NaN"),
        ({"valid_min": 0.5, "valid_max": 80}, r"valid_min = 0\.5, valid_max = 80\).*: x2 in 1 of"),
    ],
)
def test_values_outside_are_counted_by_feature_and_refused(tmp_path, where, attributes, words):
    with pytest.raises(DataError, match=words):
        summary_of(given(where, with_gaps(), attributes, tmp_path / "X"))


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("dtype", ["f4", "i2"])
def test_values_within_are_read(tmp_path, where, dtype):
    X = rows(dtype)
    attributes = {"valid_range": [float(X.min()), 39], "valid_max": "NaN", "valid_min": -1e300}
    assert summary_of(given(where, X, attributes, tmp_path / "X")).n_kept == N


def test_bounds_are_rounded_as_the_floats_are():
    X = np.full((4, 1), 0.1, "f4")
    attributes = {"valid_min": 0.1, "valid_max": np.float64(0.1)}
    valid = valid_range_of("X", attributes, X.dtype)
    assert valid.rows_outside(X) == 0
    wide = X.astype("f8")
    assert valid_range_of("X", attributes, wide.dtype).rows_outside(wide) == 4


def test_rows_that_are_dropped_are_not_counted(tmp_path):
    X = with_gaps()
    X[[4, 5000, 6000, 8999], 1] = np.nan, np.inf, np.nan, -np.inf
    path = stored(tmp_path / "X", X, {"valid_range": [0.5, 50]}, 3)
    assert summary_of(path, "drop").n_kept == N - 4
    with pytest.warns(UserWarning, match="4 of 9,000 rows"):
        mixture = GaussianMixture(2, missing="drop", random_state=1).fit(path)
    assert np.count_nonzero(mixture.predict(path) == -1) == 4


def test_a_prediction_refuses_them_too(tmp_path):
    mixture = GaussianMixture(2, random_state=1).fit(rows())
    path = stored(tmp_path / "X", with_gaps(), {"valid_max": 40}, 2)
    with pytest.raises(DataError, match=r"valid_max = 40\).* in [12] of [\d,]+ rows from row"):
        mixture.predict(path)
    with pytest.raises(DataError, match=r'valid_max = 40\).* x0 in 3 of .*missing="drop"'):
        GaussianMixture(2, random_state=1).fit(path)


def test_columns_in_another_order_keep_their_range(tmp_path):
    path = stored(tmp_path / "X", with_gaps(), {"valid_max": 40}, 3)
    dataset = SelectedFeatures(as_dataset(path), (2, 0, 1))
    with (
        ThreadExecutor(1) as executor,
        pytest.raises(DataError, match=r": x0 in 3 of 9,000 rows\."),
    ):
        summarise(dataset, executor, missing="error", sample_rows=100, seed=0)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"valid_range": [4]}, "valid_range is 4; expected two numbers"),
        ({"valid_range": "0 to 30"}, "valid_range is 0 to 30; expected two numbers"),
        ({"valid_min": [1, 2, 3]}, "valid_min is 1 to 2 to 3; expected one number"),
    ],
)
def test_bounds_that_are_no_numbers_are_refused(tmp_path, attributes, words):
    for where in WHERE:
        with pytest.raises(DataError, match=f"attribute {words}"):
            as_dataset(given(where, rows()[:9], attributes, tmp_path / where))


@pytest.mark.parametrize("attributes", [{}, {"valid_range": None}, {"valid_max": np.inf}])
def test_no_bound_is_no_range(attributes):
    assert valid_range_of("X", attributes, np.dtype("f8")) is None
