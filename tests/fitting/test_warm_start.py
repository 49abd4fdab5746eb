"""`warm_start`: repeated fits go on from each other, converge, and never lose likelihood."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
from clusters import gaussian_clusters, write_zarr

import dgmm
from dgmm.errors import ConvergenceWarning

FAMILIES = ["full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"]


@pytest.fixture(scope="module")
def rows():
    """Components close to each other: EM takes many steps."""
    return gaussian_clusters(500, 2, 3, seed=3, spread=1.6)[0]


def slow(k=3, **parameters):
    """From starts at random, without EM on a sample."""
    options = {
        "init_params": "random_from_data",
        "n_sample_starts": 0,
        "random_state": 5,
        "n_threads": 1,
    }
    return dgmm.GaussianMixture(k, warm_start=True, reg_covar=0, **options | parameters)


def scores_until_converged(mixture, X, fits=400):
    """Score after each fit until one has converged."""
    scores = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for _ in range(fits):
            scores.append(mixture.fit(X).score(X))
            if mixture.converged_:
                break
    return np.array(scores)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("max_iter", [1, 4, 6])
@pytest.mark.parametrize("family", FAMILIES)
def test_repeated_fits_converge_and_never_lose_likelihood(rows, family, max_iter, dtype):
    mixture = slow(covariance_type=family, max_iter=max_iter, tol=5e-4)
    scores = scores_until_converged(mixture, rows.astype(dtype))
    assert mixture.converged_
    assert mixture.n_iter_ <= max_iter
    assert (np.diff(scores) >= -1e-12).all()


def test_plain_fits_of_one_iteration_are_one_fit_in_parts(rows):
    parts, whole = slow(max_iter=1), slow(max_iter=400, acceleration="none")
    scores = scores_until_converged(parts, rows)
    assert len(scores) == whole.fit(rows).n_iter_
    np.testing.assert_allclose(parts.means_, whole.means_, rtol=1e-9)


def test_rows_on_disk_and_copies_of_the_estimator_go_on_as_well(rows, tmp_path):
    usual = slow(max_iter=1)
    wanted = scores_until_converged(usual, rows)
    path, mixture = write_zarr(tmp_path / "rows.zarr", rows), slow(max_iter=1)
    assert scores_until_converged(mixture, path, fits=2).tolist() == wanted[:2].tolist()
    assert not mixture.converged_
    for copied in (copy.deepcopy(mixture), pickle.loads(pickle.dumps(mixture))):  # noqa: S301
        assert scores_until_converged(copied, path).tolist() == wanted[2:].tolist()


@pytest.mark.parametrize("draw", [lambda: 5, lambda: np.random.RandomState(5)])
def test_equal_random_states_give_equal_bits(rows, draw):
    ends = [slow(max_iter=2, random_state=draw()) for _ in range(2)]
    scores = [scores_until_converged(mixture, rows).tolist() for mixture in ends]
    assert scores[0] == scores[1]
    assert ends[0].means_.tobytes() == ends[1].means_.tobytes()


def converged(rows):
    mixture = slow(max_iter=1, tol=1e-2)
    scores_until_converged(mixture, rows)
    assert mixture.converged_
    return mixture


@pytest.mark.parametrize(
    ("parameters", "change"),
    [
        ({}, lambda X: X[::2]),
        ({}, lambda X: X + np.array([0.0, 1e-9])),
        ({"reg_covar": 1e-3}, lambda X: X),
        ({"reg_covar_relative": 1e-3}, lambda X: X),
    ],
    ids=["fewer rows", "other values", "reg_covar", "reg_covar_relative"],
)
def test_a_step_under_other_conditions_is_no_convergence(rows, parameters, change):
    mixture = converged(rows).set_params(tol=10.0, **parameters)
    with pytest.warns(ConvergenceWarning, match="MAX_ITER_REACHED"):
        mixture.fit(change(rows))
    assert mixture.fit(change(rows)).converged_  # under equal settings it is


def test_a_fit_that_took_no_step_leaves_no_likelihood(rows):
    mixture = slow(max_iter=0).fit(rows)
    with pytest.warns(ConvergenceWarning, match="MAX_ITER_REACHED"):
        mixture.set_params(max_iter=1, tol=1e6).fit(rows)
