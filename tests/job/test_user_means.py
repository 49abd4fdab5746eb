"""run.json has the components in the user's units: means, medians, or quantiles of members."""

from __future__ import annotations

import json

import numpy as np
import zarr
from formula_jobs import record
from preprocessed_jobs import PROFILES, ROWS, N, array, job_with
from test_run_record import faults

from dgmm.cli.entry_point import run
from dgmm.run_record import json_schema

CLIP = [{"clip": {"quantiles": [0.3, 0.8], "columns": ["c"]}}]


def test_quantiles_of_clipped_features_are_those_of_the_members(tmp_path):
    job = job_with(tmp_path, array(tmp_path), CLIP)
    assert run(["run", "--quiet", str(job)]) == 0
    found = record(tmp_path / "run")
    assert faults(found, json_schema()) == []
    assert found["preprocess"]["means_are"] == ["mean"] * 6 + ["quantiles"]
    quantiles = found["preprocess"]["quantiles"]
    assert (quantiles["shares"], quantiles["features"]) == ([0.05, 0.5, 0.95], ["c"])
    # The sample has all rows.
    labels = zarr.open_group(tmp_path / "run" / "outputs.zarr", mode="r")["labels"][:]
    assert len(labels) == N
    low, high = np.quantile(ROWS[:, 6], [0.3, 0.8])
    for k, own in enumerate(quantiles["values"]):
        expected = np.quantile(ROWS[labels == k, 6], [0.05, 0.5, 0.95])
        np.testing.assert_allclose(own[0], np.clip(expected, low, high), rtol=1e-9)


def test_what_each_feature_has_follows_from_the_steps(tmp_path):
    assert run(["run", "--quiet", str(job_with(tmp_path, array(tmp_path), PROFILES))]) == 0
    found = record(tmp_path / "run")["preprocess"]
    projected = ["mean of the projection"] * 3
    assert found["means_are"] == ["quantiles"] * 3 + projected + ["median"]
    assert np.shape(found["quantiles"]["values"]) == (3, 3, 3)
    assert json.dumps(found)
