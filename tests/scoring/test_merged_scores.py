"""Clusters of rows: the sums of posteriors decide, whatever computes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dgmm import GaussianMixture
from dgmm.data.array_dataset import ArrayDataset
from dgmm.execution.threads import ThreadExecutor
from dgmm.scoring.in_memory import scores


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_rows_that_are_surely_in_a_component_are_in_its_cluster(backend):
    """Components 0 and 3, and 1 and 2, are one cluster each; 0 and 3 overlap, the others do not."""
    centres = np.array([[0.0, 0.0], [60.0, 0.0], [60.0, 60.0], [2.0, 0.0]])
    rng = np.random.default_rng(0)
    X = centres[rng.integers(4, size=3000)] + rng.normal(size=(3000, 2))
    fitted = GaussianMixture(4, means_init=centres, tol=1.0).fit(X).model_
    of_component = (0, 1, 1, 0)
    model = replace(fitted, clusters=of_component)
    with ThreadExecutor() as executor:
        names = ("clusters", "responsibilities", "max_posterior")
        found = scores(ArrayDataset(X), executor, model, names, backend=backend)
    P = np.zeros((len(X), 2))
    np.add.at(P.T, np.array(of_component), found["responsibilities"].T)
    np.testing.assert_array_equal(found["clusters"], P.argmax(axis=1))
    is_sure = found["max_posterior"] == 1.0
    assert 0.4 < is_sure.mean() < 0.9
    assert set(found["clusters"][is_sure]) >= {1}
