"""A plain array whose results go back as its source's: read in place, with the array's own bits."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import zarr

from dgmm.data.in_place_dataset import InPlaceDataset
from dgmm.data.sources.row_source import SourceDescription
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.zarr.dataset import open_zarr
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockRange

ROWS = np.random.default_rng(0).normal(size=(9000, 2))


@dataclass(frozen=True)
class Named:
    """What the data set asks of its source."""

    description: SourceDescription
    is_changed: bool = False

    def check_unchanged(self):
        if self.is_changed:
            raise DataError("obs changed")


@pytest.fixture
def rows(tmp_path):
    zarr.save_array(str(tmp_path / "x.zarr"), ROWS)
    return open_zarr(str(tmp_path / "x.zarr"))


def test_the_rows_are_the_arrays_own_and_the_names_the_sources(rows):
    described = SourceDescription("stars", ("B", "V"), np.dtype("f8"), warnings=("faint",))
    dataset = InPlaceDataset(rows, Named(described))
    assert isinstance(dataset, StoredDataset)
    again = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - the test's own
    again = again.with_cache(1 << 20).with_retries(1.0)
    blocks = list(again.read_blocks(BlockRange(0, again.grid.n_blocks)))
    np.testing.assert_array_equal(np.concatenate([block.values for block in blocks]), ROWS)
    assert dataset.feature_names == ("B", "V")
    assert dataset.warnings == ("faint",)
    assert dataset.fingerprint() == rows.fingerprint(), "runs of the array alone go on"
    assert dataset.locate(8999) == rows.locate(8999)
    assert (dataset.n_samples, dataset.n_features, dataset.dtype) == (9000, 2, np.dtype("f8"))
    assert (dataset.zarr_format, dataset.read_bytes) == (rows.zarr_format, rows.read_bytes)
    assert again.rows.cache_bytes == 1 << 20


def test_a_change_of_either_is_noticed(rows, tmp_path):
    described = SourceDescription("stars", ("B", "V"), np.dtype("f8"))
    InPlaceDataset(rows, Named(described)).check_unchanged()
    with pytest.raises(DataError, match="obs changed"):
        InPlaceDataset(rows, Named(described, is_changed=True)).check_unchanged()
    zarr.open_array(str(tmp_path / "x.zarr"))[0, 0] = 5.0
    with pytest.raises(DataError, match="changed during the run"):
        InPlaceDataset(rows, Named(described)).check_unchanged()
