"""Mean responsibilities by label."""

from __future__ import annotations

import numpy as np

from dgmm.mixture.covariance import family_named
from dgmm.mixture.kernels.scorer import Scorer
from dgmm.mixture.parameters import Parameters
from dgmm.scoring.overlap import overlap


def mixture() -> Parameters:
    """Three components that overlap, and one far from all rows."""
    means = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.5], [900.0, 900.0]])
    return Parameters.of(family_named("full"), np.full(4, 0.25), means, np.stack([np.eye(2)] * 4))


def test_it_is_the_mean_of_responsibilities_by_label():
    sample = np.random.default_rng(0).normal(size=(5000, 2))
    R = Scorer(mixture()).responsibilities(sample.T)
    labels = R.argmax(axis=0)
    shares = overlap(mixture(), sample)
    for k in range(3):
        expected = R[:, labels == k].mean(axis=1)
        # Sums of m values of at most 1, in another order.
        np.testing.assert_allclose(shares[k], expected, atol=5000 * np.finfo(float).eps)


def test_a_component_without_rows_has_no_mean():
    shares = overlap(mixture(), np.random.default_rng(0).normal(size=(50, 2)))
    assert np.isnan(shares[3]).all()
    assert np.isfinite(shares[:3]).all()
