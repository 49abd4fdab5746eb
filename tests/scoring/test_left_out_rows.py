"""What a fit leaves out, scoring leaves out too: label −1, whatever else its cells hold."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from clusters import gaussian_clusters

import dgmm
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.errors import DataError
from dgmm.execution.threads import ThreadExecutor
from dgmm.scoring.in_memory import scores
from dgmm.scoring.scoring_pass import Products, scoring_pass

N, D = 500, 3


@pytest.fixture(scope="module")
def rows():
    return gaussian_clusters(N, D, 2)[0]


@pytest.fixture(scope="module")
def model(rows):
    return dgmm.GaussianMixture(2, random_state=0).fit(rows).model_


def _weighted(rows, *odd):
    changed, weights = rows.copy(), np.ones(N)
    changed[7, 1] = np.nan
    weights[[7, 8]] = 0.0
    for row in odd:
        changed[row, 0] = np.inf
    return ArrayDataset(changed, weights=weights)


def test_incomplete_rows_of_weight_zero_are_dropped_in_memory(rows, model):
    with ThreadExecutor(1) as executor:
        found = scores(_weighted(rows), executor, model, ("labels",))["labels"]
    assert np.flatnonzero(found == -1).tolist() == [7]


def test_incomplete_rows_of_weight_zero_are_dropped_in_a_scoring_pass(rows, model, tmp_path):
    dataset, products = _weighted(rows), Products(str(tmp_path / "outputs.zarr"), ("labels",))
    products.create(dataset.grid, 2, {})
    with ThreadExecutor(1) as executor:
        scoring_pass(
            dataset, executor, model, products, missing=MissingPolicy.ERROR, backend="numpy"
        )
    found = zarr.open_array(tmp_path / "outputs.zarr" / "labels", mode="r")[:]
    assert np.flatnonzero(found == -1).tolist() == [7]


def test_incomplete_rows_with_a_weight_are_refused_beside_them(rows, model):
    with (
        ThreadExecutor(1) as executor,
        pytest.raises(DataError, match=r"^1 of 500 rows .* row 20, feature x0"),
    ):
        scores(_weighted(rows, 20), executor, model, ("labels",))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_fill_cells_of_dropped_rows_are_not_counted(rows, tmp_path, zarr_format, recwarn):
    gaps, path = rows.copy(), str(tmp_path / "x.zarr")
    gaps[7] = [np.nan, -9999.0, 0.0]
    zarr.create_array(path, data=gaps, chunks=(100, D), fill_value=-9999.0, zarr_format=zarr_format)
    mixture = dgmm.GaussianMixture(2, random_state=0, missing="drop").fit(path)
    labels = mixture.predict(path)
    assert np.flatnonzero(labels == -1).tolist() == [7]
    assert not [one for one in recwarn if "fill value" in str(one.message)]
