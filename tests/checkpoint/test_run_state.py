"""What was made of the sample is kept with a run's state, never made a second time."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.checkpoint import CheckpointStore, RunState
from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.standardisation import Standardisation
from dgmm.execution.threads import ThreadExecutor
from dgmm.fitting import preparation as preparing
from dgmm.fitting.preparation import prepare
from dgmm.fitting.settings import FitSettings

FIELDS = ("shift", "scale", "standardised_variance", "is_constant")


def prepared_fit(folder, X, **settings):
    store = CheckpointStore(folder, "a run", warn=pytest.fail)
    with RunState(store, every_s=60, max_iter=9) as state, ThreadExecutor(1) as executor:
        return prepare(ArrayDataset(X), executor, FitSettings(3, **settings), state)


@pytest.mark.parametrize("family", ["full", "spherical"])
def test_a_resumed_run_reads_its_units_and_its_regularisation_back(tmp_path, monkeypatch, family):
    X = np.random.default_rng(5).normal(size=(2111, 4)) * [1, 30, 0.02, 5]
    X[:, 3] = X[:, 0] + X[:, 1]  # singular: the floor and its warning are kept too
    first = prepared_fit(tmp_path / "state", X, covariance_type=family)

    def elsewhere(*_args, **_options):
        raise AssertionError("computed anew")

    monkeypatch.setattr(Standardisation, "from_sample", elsewhere)
    monkeypatch.setattr(preparing, "regularisation_of", elsewhere)
    second = prepared_fit(tmp_path / "state", X, covariance_type=family)
    for name in FIELDS:
        expected = getattr(first.standardisation, name)
        np.testing.assert_array_equal(getattr(second.standardisation, name), expected)
    np.testing.assert_array_equal(second.regularisation, first.regularisation)
    np.testing.assert_array_equal(second.sample, first.sample)
    assert second.warnings == first.warnings
