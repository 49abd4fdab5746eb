"""What compiled scoring takes of a panel's log densities, against the definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp, xlogy

from dgmm.data.standardisation import Standardisation
from dgmm.mixture.backends import get
from dgmm.mixture.covariance import family_named
from dgmm.mixture.kernels import Workspace
from dgmm.mixture.kernels.scorer import RowScores, Scorer
from dgmm.mixture.parameters import Parameters
from dgmm.model.mixture_model import MixtureModel
from dgmm.scoring.row_scores import write_scores

scoring = pytest.importorskip("dgmm.mixture.backends.fused_scoring", reason="it needs Numba")
STORES = pytest.mark.parametrize("stores", [False, True], ids=["no posteriors", "posteriors"])
Array = NDArray[Any]


def of_panel(L: Array, stores: bool) -> tuple[Array, Array]:
    """The rows of `_normalise` for L (k, b), and what it left in place of L."""
    k, b = L.shape
    panel, values = np.zeros((k, 104)), np.zeros((5, 104))
    panel[:, :b] = L
    scoring._normalise(1.0, panel, k, b, values, stores)
    return values[:, :b], panel[:, :b]


@STORES
@pytest.mark.parametrize(("k", "b"), [(1, 1), (2, 96), (5, 31), (70, 50)])
def test_labels_sums_and_entropies_are_those_of_the_definition(
    k: int, b: int, stores: bool
) -> None:
    L = 30 * np.random.default_rng(k).normal(size=(k, b))
    values, left = of_panel(L, stores)
    lse = logsumexp(L, axis=0)
    R = np.exp(L - lse)
    np.testing.assert_array_equal(values[scoring._LABEL], L.argmax(axis=0))
    np.testing.assert_allclose(values[scoring._MAXIMUM], lse, rtol=0, atol=1e-13)
    np.testing.assert_allclose(values[scoring._SUM], R.max(axis=0), rtol=1e-13)
    np.testing.assert_allclose(values[scoring._DOT], -xlogy(R, R).sum(axis=0), atol=1e-13)
    posteriors = left * values[scoring._SUM]
    assert np.allclose(posteriors, R, rtol=0, atol=1e-13) if stores else (left == L).all()


@STORES
def test_components_that_are_impossible_add_nothing(stores: bool) -> None:
    L = np.array([[-np.inf, -1e9, 0.0], [0.0, 0.0, -np.inf], [-700.0, 0.0, -1e300]])
    values, _ = of_panel(L, stores)
    np.testing.assert_array_equal(values[scoring._LABEL], [1.0, 1.0, 0.0])
    np.testing.assert_array_equal(values[scoring._SUM], [1.0, 0.5, 1.0])
    np.testing.assert_allclose(values[scoring._DOT], [0.0, np.log(2.0), 0.0], atol=1e-15)


def test_a_posterior_of_1e_100_is_a_result() -> None:
    """In passes of EM it is 0."""
    _, left = of_panel(np.array([[0.0], [-230.0]]), stores=True)
    np.testing.assert_allclose(left[1], np.exp(-230.0), rtol=1e-13)


def test_of_equal_components_the_first_is_the_label() -> None:
    L = np.random.default_rng(0).normal(size=(3, 40))
    values, _ = of_panel(L[[0, 1, 0, 2, 1, 2]], stores=False)
    expected = np.array([0.0, 1.0, 3.0])[L.argmax(axis=0)]
    np.testing.assert_array_equal(values[scoring._LABEL], expected)


def _model(family: str, k: int, d: int) -> MixtureModel:
    rng = np.random.default_rng(0)
    full = np.eye(d) + 0.3 * np.ones((d, d))
    covariances = {"full": np.stack([full] * k), "tied": full,
                   "diag": rng.uniform(0.5, 2.0, (k, d)),
                   "spherical": rng.uniform(0.5, 2.0, k)}[family]  # fmt: skip
    weights, means = rng.dirichlet(np.full(k, 5.0)), 2.0 * rng.normal(size=(k, d))
    parameters = Parameters.of(family_named(family), weights, means, covariances)
    return MixtureModel(parameters, Standardisation.identity(d), tuple(f"x{i}" for i in range(d)))


def _scored(model: MixtureModel, X: Array, backend: str, posteriors: Array | None) -> Any:
    out = RowScores.empty(len(X), posteriors)
    write_scores(X, Scorer(model.parameters), Workspace(get(backend)), model, out)
    return out


_SIZES = [(32, 16), (4, 4), (16, 32)]
_SHAPES = [(f, *size) for f in ("full", "tied", "diag", "spherical") for size in _SIZES]


# One covariance: sizes around the rows of its factor that are multiplied together.
@pytest.mark.parametrize(
    ("family", "k", "d"), [*_SHAPES, *(("tied", 5, d) for d in (1, 2, 15, 17, 33, 80))]
)
def test_densities_are_within_1e_12_and_labels_equal(family: str, k: int, d: int) -> None:
    model = _model(family, k, d)
    rng = np.random.default_rng(1)
    X = model.parameters.means[rng.integers(k, size=300)] + rng.normal(size=(300, d))
    wide = np.empty((300, k))
    expected, found = _scored(model, X, "numpy", None), _scored(model, X, "numba", wide)
    np.testing.assert_allclose(found.log_density, expected.log_density, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(wide.sum(axis=1), 1.0, rtol=1e-14 * k)
    # Neither whether posteriors are wanted nor where a row stands changes a bit.
    alone = _scored(model, X[5:], "numba", None)
    for name in ("labels", "max_posterior", "log_density"):
        assert getattr(alone, name).tobytes() == getattr(found, name)[5:].tobytes()
