"""Quantiles of the members of components, on a sample."""

from __future__ import annotations

import numpy as np

from dgmm.mixture.covariance import family_named
from dgmm.mixture.parameters import Parameters
from dgmm.scoring.member_quantiles import labels_of, member_quantiles

RNG = np.random.default_rng(8)
CENTRES = np.array([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]])
PARAMETERS = Parameters.of(
    family_named("full"), np.array([0.4, 0.6]), CENTRES, np.array([np.eye(3)] * 2)
)


def test_rows_are_labelled_by_what_they_have():
    truth = RNG.integers(0, 2, 9000)
    rows = CENTRES[truth] + RNG.normal(size=(9000, 3))
    rows[RNG.random(rows.shape) < 0.2] = np.nan
    rows[np.isnan(rows).all(axis=1)] = 0.0
    truth[(rows == 0.0).all(axis=1)] = 0
    np.testing.assert_array_equal(labels_of(PARAMETERS, rows), truth)


def test_they_are_numpys_of_the_rows_with_each_label_and_nan_without_any():
    labels = np.array([0, 2, 0, 0, 2, 0])
    values = np.array([[1.0], [7.0], [2.0], [np.nan], [9.0], [4.0]])
    found = member_quantiles(labels, 3, values, None)
    np.testing.assert_allclose(found[0, 0], [1.1, 2.0, 3.8], rtol=1e-12)
    np.testing.assert_allclose(found[2, 0], [7.1, 8.0, 8.9], rtol=1e-12)
    assert np.isnan(found[1]).all()


def test_weights_count():
    labels, values = np.zeros(3, dtype=int), np.array([[1.0], [2.0], [3.0]])
    found = member_quantiles(labels, 1, values, np.array([1.0, 1.0, 98.0]))
    assert found[0, 0].tolist() == [3.0, 3.0, 3.0]
