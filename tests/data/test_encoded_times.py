"""Dates and time spans stored as numbers are refused; durations in plain units are read."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import xarray
import zarr

from dgmm.data.open_dataset import as_dataset
from dgmm.data.zarr.dataset import open_zarr
from dgmm.errors import DataError

# xarray writes consolidated metadata in version 3, of which zarr warns.
pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata")

N, D = 36, 3
DATES = np.arange("1987-06-01T07", N * D, dtype="M8[h]").reshape(N, D).astype("M8[ns]")
DATES[5, 2] = "NaT"
SPANS = DATES - DATES[0, 0]
START = np.datetime64("2000-01-01", "ns")


def written(path, zarr_format, values, encoding=None):
    dataset = xarray.Dataset({"X": (("event", "stage"), values)})
    encoding = {"X": encoding or {}}
    dataset.to_zarr(path, zarr_format=zarr_format, encoding=encoding, consolidated=False)
    return str(path)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("values", "encoding", "words"),
    [
        (DATES, None, r"attributes units, calendar say .* dates \(units = hours since 1987"),
        (DATES, {"units": "days since 1970-01-01", "dtype": "f8"}, r"units = days since 1970"),
        (SPANS, None, r"attributes dtype say .* time spans \(dtype = timedelta64\[ns\]\)"),
    ],
)
def test_times_are_refused_and_the_remedy_works_as_written(
    tmp_path, zarr_format, values, encoding, words
):
    path = written(tmp_path / "a", zarr_format, values, encoding)
    with pytest.raises(DataError, match=words) as caught:
        open_zarr(path, "X")
    raw = xarray.open_zarr(path, consolidated=False, decode_times=False)["X"]
    store = zarr.storage.MemoryStore()
    raw.to_dataset().to_zarr(store, zarr_format=zarr_format, consolidated=False)
    for X in (raw, raw.variable, zarr.open_array(store, path="X", mode="r")):
        with pytest.raises(DataError, match=words):
            as_dataset(X)
    remedy = re.search(r"as hours: (.*)$", str(caught.value))[1]
    ds = xarray.open_zarr(path, consolidated=False).load()
    new = str(tmp_path / "b")
    eval(remedy, {"ds": ds, "numpy": np, "name": "X", "path": new})  # noqa: S307 - what dgmm advises
    hours = (values - START if values is DATES else values) / np.timedelta64(1, "h")
    np.testing.assert_array_equal(as_dataset(zarr.open_array(f"{new}/X")).reader.rows(0, N), hours)
    assert np.isnan(hours).sum() == 1


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"units": "Seconds Since 1970-1-1"}, "attributes units say"),
        ({"units": "ms since 1970-01-01T00:00:00Z"}, "attributes units say"),
        ({"units": "common_years since -44-03-15"}, "attributes units say"),
        ({"units": "days", "calendar": "noleap"}, "attributes calendar say"),
        ({"units": "days", "dtype": "timedelta64[s]"}, "attributes dtype say"),
    ],
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_any_of_the_marks_is_enough(tmp_path, zarr_format, attributes, words):
    path, values = str(tmp_path / "X"), np.ones((N, D), "i8")
    zarr.create_array(path, data=values, attributes=attributes, zarr_format=zarr_format)
    with pytest.raises(DataError, match=words):
        open_zarr(path)


@pytest.mark.parametrize(
    "attributes",
    [
        {"units": "days"},
        {"units": "hours", "dtype": "float32"},
        {"units": "days since launch"},
        {"units": "percent since 1990"},
        {"units": 1},
    ],
)
def test_durations_in_plain_units_are_read(tmp_path, attributes):
    path = str(tmp_path / "X")
    zarr.create_array(path, data=np.ones((N, D)), attributes=attributes)
    assert json.loads((tmp_path / "X/zarr.json").read_text())["attributes"] == attributes
    assert open_zarr(path).n_samples == N
