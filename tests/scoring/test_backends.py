"""Scoring gives on Numba what it gives on NumPy, within the guard's bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dgmm
from dgmm.data.standardisation import Standardisation
from dgmm.errors import DataError
from dgmm.mixture.backends import get
from dgmm.mixture.covariance import family_named
from dgmm.mixture.kernels import Guard, Workspace
from dgmm.mixture.kernels.scorer import RowScores, Scorer
from dgmm.mixture.parameters import Parameters
from dgmm.model.mixture_model import MixtureModel
from dgmm.scoring.row_scores import write_scores

pytest.importorskip("numba", reason="Numba is optional")
FAMILIES = pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])


def mixture(family: str, k: int, d: int, seed: int = 0) -> MixtureModel:
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(k, d, d)) / np.sqrt(d)
    full = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(d)
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": np.diagonal(full, axis1=1, axis2=2).copy(),
        "spherical": full[:, 0, 0].copy(),
    }[family]
    means = 2.0 * rng.normal(size=(k, d))
    weights = rng.dirichlet(np.full(k, 5.0))
    parameters = Parameters.of(family_named(family), weights, means, covariances)
    scale = np.full(d, 0.5)
    standardisation = Standardisation(np.ones(d), scale, np.ones(d), np.zeros(d, np.bool_))
    return MixtureModel(parameters, standardisation, tuple(f"x{i}" for i in range(d)))


def rows_of(model: MixtureModel, n: int, dtype: Any) -> Any:
    rng = np.random.default_rng(1)
    Y = model.parameters.means[rng.integers(model.n_components, size=n)]
    Y = Y + rng.normal(size=Y.shape)
    return model.standardisation.means_to_user(Y).astype(dtype)


def scored(model: MixtureModel, X: Any, backend: str, posteriors: Any = None, places: Any = None):
    out = RowScores.empty(len(X), posteriors, places)
    entropy = write_scores(X, Scorer(model.parameters), Workspace(get(backend)), model, out)
    return out, entropy


def bound_of(model: MixtureModel, X: Any) -> Any:
    """Of a log density's error, by row: the guard's, and the rounding of the number itself."""
    Y = model.standardisation.apply(X, np.float64)
    error = Guard(1.0).log_prob_error(model.parameters) * np.einsum("ij,ij->j", Y, Y)
    return np.minimum(error, 1e-6) + 1e-13


@FAMILIES
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
@pytest.mark.parametrize(("n", "k", "d"), [(1, 1, 1), (95, 3, 2), (193, 37, 9), (200, 8, 17)])
def test_numba_scores_are_those_of_numpy_within_the_guard(family, dtype, n, k, d):
    model = mixture(family, k, d)
    X = rows_of(model, n, dtype)
    wide = [np.full((n, k), np.nan) for _ in range(2)]
    (expected, entropy), (found, other) = (
        scored(model, X, backend, posteriors)
        for backend, posteriors in zip(("numpy", "numba"), wide, strict=True)
    )
    bound = bound_of(model, X)
    assert (np.abs(found.log_density - expected.log_density) <= bound).all()
    assert (np.abs(wide[1] - wide[0]) <= 2 * bound[:, None]).all()
    np.testing.assert_allclose(found.max_posterior, wide[1].max(axis=1), rtol=1e-7)
    ordered = np.sort(wide[0], axis=1)
    is_clear = k == 1 or ordered[:, -1] - ordered[:, -2] > 4 * bound
    assert ((found.labels == expected.labels) | ~np.asarray(is_clear)).all()
    assert abs(entropy - other) <= 1e-10 * n


@FAMILIES
def test_rows_far_away_are_scored_by_the_centred_kernel_on_both(family):
    model = mixture(family, 5, 4)
    X = rows_of(model, 400, np.float64)
    X[[0, 120, 121, 399]] += np.array([[1e9], [1e12], [1e170], [1e300]])
    (expected, _), (found, _) = (scored(model, X, backend) for backend in ("numpy", "numba"))
    far = [0, 120, 121, 399]
    np.testing.assert_array_equal(found.log_density[far], expected.log_density[far])
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert np.isneginf(found.log_density[[121, 399]]).all()
    assert np.isfinite(found.log_density[200:300]).all()


@FAMILIES
def test_posteriors_are_written_where_complete_rows_belong(family):
    model = mixture(family, 3, 2)
    X = rows_of(model, 150, np.float32)
    places = np.arange(0, 450, 3)
    posteriors, alone = np.full((450, 3), np.nan, np.float32), np.empty((150, 3), np.float32)
    scored(model, X, "numba", posteriors, places)
    scored(model, X, "numba", alone)
    np.testing.assert_array_equal(posteriors[places], alone)
    assert np.isnan(np.delete(posteriors, places, axis=0)).all()


def test_the_scores_of_a_row_do_not_depend_on_what_was_in_the_buffers():
    used = Workspace(get("numba"))
    many, few = mixture("tied", 21, 9), mixture("tied", 4, 3)
    for model, n in ((many, 700), (few, 3), (few, 500)):
        X, out = rows_of(model, n, np.float64), RowScores.empty(n)
        write_scores(X, Scorer(model.parameters), used, model, out)
        expected, _ = scored(model, X, "numba")
        assert out.log_density.tobytes() == expected.log_density.tobytes()


def test_a_model_and_an_estimator_score_alike(tmp_path: Path):
    X = np.random.default_rng(0).normal(size=(500, 3))
    fitted = dgmm.GaussianMixture(2, random_state=0).fit(X)
    for name in ("predict", "predict_proba", "score_samples"):
        ours, theirs = (getattr(side, name)(X) for side in (fitted, fitted.model_))
        assert ours.tobytes() == theirs.tobytes()
    X[7, 1] = np.nan
    for side in (fitted, fitted.model_):
        with pytest.raises(DataError, match=r"1 of 500 rows .* feature x1"):
            side.predict(X)
