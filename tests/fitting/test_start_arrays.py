"""Starts of a user's own: what is taken, what is refused, and that it is taken as it stands."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from clusters import gaussian_clusters
from sklearn.mixture import GaussianMixture as Peer

import dgmm
from dgmm.errors import DataError

LOPSIDED = np.array([[2.0, 0.3, -0.4], [0.3, 1.5, 0.25], [-0.4, 0.75, 3.0]])


@pytest.fixture(scope="module")
def rows():
    return gaussian_clusters(300)[0]


def begun(rows, k=3, **start):
    """The mixture at its start."""
    with np.errstate(all="raise"):
        return dgmm.GaussianMixture(k, max_iter=0, random_state=0, **start).fit(rows)


@pytest.mark.filterwarnings("ignore:reg_covar, ")
@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize(
    ("family", "precisions", "entry"),
    [
        ("tied", LOPSIDED, r"\[2, 1\] is 0\.75"),
        ("full", np.stack([np.eye(3), np.eye(3), LOPSIDED]), r"\[2, 2, 1\] is 0\.75"),
    ],
)
def test_asymmetric_precisions_are_refused_in_any_unit(rows, family, precisions, entry, unit):
    words = rf"precisions_init is not symmetric: .*{entry if unit == 1.0 else ''}"
    with pytest.raises(DataError, match=words):
        begun(rows / np.sqrt(unit), covariance_type=family, precisions_init=precisions * unit)


@pytest.mark.parametrize("apart", [0.0, 5e-9, 2e-8, 1e-6, 4e-6, 6e-6, 1e-3])
@pytest.mark.parametrize("off_diagonal", [0.0, 0.5, -0.1])
def test_scikit_learns_tolerance_decides_what_is_symmetric(rows, off_diagonal, apart):
    precisions = np.eye(3)
    precisions[0, 1], precisions[1, 0] = off_diagonal, off_diagonal + apart
    start = {"covariance_type": "tied", "precisions_init": precisions}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one iteration is not enough
            Peer(2, max_iter=1, tol=0, random_state=0, **start).fit(rows)
    except ValueError:
        with pytest.raises(DataError, match="not symmetric"):
            begun(rows, 2, **start)
    else:
        taken = begun(rows, 2, **start).precisions_
        np.testing.assert_allclose(taken, precisions, rtol=0, atol=max(apart, 1e-14))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_inverses_computed_in_any_type_are_symmetric(rows, dtype):
    wanted = np.linalg.inv(np.array([[1.0, 0.37, 0.2], [0.37, 0.9, -0.3], [0.2, -0.3, 1.2]]))
    precisions = wanted.astype(dtype)
    precisions[0, 1] = np.nextafter(precisions[0, 1], dtype(9))  # one rounding off
    taken = begun(rows, covariance_type="tied", precisions_init=precisions).precisions_
    np.testing.assert_allclose(taken, wanted, rtol=4 * float(np.finfo(dtype).eps) + 1e-14)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("k", [3, 7, 11])
def test_weights_that_a_narrow_type_cannot_sum_to_1_are_taken(rows, k, dtype):
    weights = np.arange(1, k + 1).astype(dtype)
    weights /= weights.sum()
    taken = begun(rows, k, covariance_type="tied", weights_init=weights).weights_
    assert taken.sum() == pytest.approx(1.0, abs=k * np.finfo(np.float64).eps)
    np.testing.assert_allclose(taken, weights, rtol=k * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    "weights",
    [
        np.array([0.5, 0.25, 0.26]),
        np.array([0.5, 0.25, 0.25 + 2e-8]),
        np.array([0.5, 0.25, 0.25001], np.float32),
        np.array([0.6, 0.5, -0.1]),
    ],
)
def test_weights_that_sum_to_something_else_are_refused(rows, weights):
    with pytest.raises(DataError, match="weights_init must be at least 0 and sum to 1"):
        begun(rows, weights_init=weights)


def test_a_start_that_is_given_whole_measures_no_distances(rows, monkeypatch):
    """They took two fifths of a fit of 1,000 rows from a given start."""

    def measured(_):
        raise AssertionError("distances are measured")

    monkeypatch.setattr("dgmm.fitting.restarts.measured_scales", measured)
    begun(
        rows,
        weights_init=np.full(3, 1 / 3),
        means_init=rows[:3],
        precisions_init=np.stack([np.eye(rows.shape[1])] * 3),
    )
    with pytest.raises(AssertionError, match="distances"):
        begun(rows)
