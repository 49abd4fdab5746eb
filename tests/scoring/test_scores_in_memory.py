"""Scores in memory: each thread writes those of its own rows."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.missing_rows import MissingPolicy
from dgmm.data.standardisation import Standardisation
from dgmm.execution.threads import ThreadExecutor
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.parameters import Parameters
from dgmm.model.mixture_model import MixtureModel
from dgmm.scoring.in_memory import WEIGHTS, _Scores, scores

N, NAMES = 5 * 4096 + 9, ("labels", "log_density")


def _model() -> MixtureModel:
    means = np.array([[-2.0, 0.0], [2.0, 1.0]])
    p = Parameters.of(FAMILIES["diag"], np.array([0.4, 0.6]), means, np.ones((2, 2)))
    return MixtureModel(p, Standardisation.identity(2), ("a", "b"))


@pytest.mark.parametrize("caller_computes", [False, True])
def test_rows_of_several_blocks_have_their_own_scores_and_weights(
    caller_computes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dgmm.reduction.blocks._BLOCK_BYTES", 1)
    rng = np.random.default_rng(5)
    X, weights = rng.normal(size=(N, 2)), rng.uniform(1.0, 2.0, size=N)
    dataset = ArrayDataset(X, weights=weights)
    assert dataset.grid.n_blocks == 6
    found: list[dict[str, Any]] = []
    for n_threads in (1, 3):
        with ThreadExecutor(n_threads, caller_computes=caller_computes) as executor:
            found.append(scores(dataset, executor, _model(), NAMES, backend="numpy"))
    for name in (*NAMES, WEIGHTS):
        np.testing.assert_array_equal(found[0][name], found[1][name])
    np.testing.assert_array_equal(found[1][WEIGHTS], weights)
    distances = ((X[:, None, :] - _model().means) ** 2).sum(axis=2)
    L = np.log([0.4, 0.6]) - 0.5 * distances - np.log(2 * np.pi)
    np.testing.assert_array_equal(found[1]["labels"], L.argmax(axis=1))
    np.testing.assert_allclose(found[1]["log_density"], np.logaddexp(*L.T), rtol=1e-12)


def test_workers_cannot_write_them() -> None:
    """They would fill copies, and what is returned would be left as it was."""
    dataset = ArrayDataset(np.ones((3, 2)))
    task = _Scores(dataset, _model(), NAMES, {}, MissingPolicy.ERROR, "", "numpy")
    with pytest.raises(TypeError, match="threads of this process"):
        pickle.dumps(task)
