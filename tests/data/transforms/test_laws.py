"""Laws of transformations: inverses, merging in any cut, missing values, and scikit-learn's PCA."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from dgmm.data.transforms.centred_scatter import CentredScatter
from dgmm.data.transforms.elementwise import Asinh, Clip, Log, Standardise, n_outside
from dgmm.data.transforms.principal_components import PrincipalComponents
from dgmm.errors import DataError

RNG = np.random.default_rng(8)
N, D = 700, 6
ROWS = RNG.normal(size=(N, D)) @ RNG.normal(size=(D, D)) + 1000.0 * np.arange(D)
STEPS = [
    Asinh(5.0),
    Log(20.0),
    Clip.of_quantiles(ROWS, (0.0, 1.0)),
    Standardise.of_moments(ROWS.mean(axis=0), ROWS.var(axis=0)),
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_an_inverse_gives_the_values_back_and_nan_stays(step):
    rows = ROWS.copy()
    rows[3, 2] = np.nan
    changed = step.apply(rows)
    np.testing.assert_array_equal(np.isnan(changed), np.isnan(rows))
    np.testing.assert_allclose(step.inverse(changed), rows, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
@pytest.mark.parametrize("cut", [1, 64, N])
def test_rows_are_transformed_alike_in_any_cut(step, cut):
    parts = [step.apply(ROWS[start : start + cut]) for start in range(0, N, cut)]
    assert np.concatenate(parts).tobytes() == step.apply(ROWS).tobytes()


def test_a_value_outside_the_domain_is_missing_and_counted():
    rows = np.array([[1.0, -3.0], [np.nan, 0.0], [-2.0, 5.0]])
    changed = Log(2.0).apply(rows)
    np.testing.assert_array_equal(np.isnan(changed), [[False, True], [True, False], [True, False]])
    assert n_outside(rows, changed).tolist() == [1, 1]


def test_clipping_sets_to_quantiles_and_a_constant_column_is_only_shifted():
    clipped = Clip.of_quantiles(ROWS, (0.1, 0.9)).apply(ROWS)
    np.testing.assert_array_equal(clipped.min(axis=0), np.quantile(ROWS, 0.1, axis=0))
    assert (clipped == ROWS).mean() == pytest.approx(0.8, abs=0.01)
    assert (
        Standardise.of_moments(np.array([7.0]), np.zeros(1)).apply(np.full((2, 1), 7.0)).max() == 0
    )


def merged(cut, rows=ROWS, weights=None):
    found = CentredScatter.zero(D)
    for start in range(0, len(rows), cut):
        own = slice(start, start + cut)
        found = found.merge(CentredScatter.of_rows(rows[own], weights and weights[own]))
    return found


@pytest.mark.parametrize("cut", [1, 37, N])
def test_scatter_is_numpys_whatever_the_cut_and_the_offset(cut):
    found = merged(cut, ROWS + 1e6)
    assert found.weight == N
    np.testing.assert_allclose(found.scatter / (N - 1), np.cov(ROWS.T), rtol=1e-8)


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("asked", [{"n": 3}, {"n": D}, {"variance": 0.9}])
@pytest.mark.parametrize("cut", [41, N])
def test_components_are_those_of_scikit_learn(whiten, asked, cut):
    found = PrincipalComponents.of_scatter(merged(cut), whiten=whiten, **asked)
    peer = PCA(asked.get("n", asked.get("variance")), whiten=whiten, svd_solver="full").fit(ROWS)
    scale = np.abs(ROWS - ROWS.mean(axis=0)).max()
    assert found.axes.shape == peer.components_.shape
    np.testing.assert_allclose(found.axes, peer.components_, atol=1e-10)
    np.testing.assert_allclose(found.variance, peer.explained_variance_, rtol=1e-10)
    assert found.share == pytest.approx(peer.explained_variance_ratio_.sum(), rel=1e-12)
    np.testing.assert_allclose(found.apply(ROWS), peer.transform(ROWS), atol=1e-10 * scale)
    back = peer.inverse_transform(peer.transform(ROWS))
    np.testing.assert_allclose(found.inverse(found.apply(ROWS)), back, atol=1e-10 * scale)
    far = np.linalg.norm(ROWS - back, axis=1)
    np.testing.assert_allclose(found.residual(ROWS), far, atol=1e-9 * scale)


def test_incomplete_rows_count_in_no_component_and_have_no_scores():
    gaps = np.concatenate([ROWS, [[np.nan] + [0.0] * (D - 1)]])
    found = PrincipalComponents.of_scatter(CentredScatter.of_rows(gaps), n=2)
    expected = PrincipalComponents.of_scatter(CentredScatter.of_rows(ROWS), n=2)
    assert found.axes.tobytes() == expected.axes.tobytes()
    assert np.isnan(found.apply(gaps)[-1]).all()
    assert np.isnan(found.residual(gaps)[-1])


def test_weights_count_as_copies():
    weights = RNG.integers(0, 4, N).astype(float)
    found = CentredScatter.of_rows(ROWS, weights)
    copies = CentredScatter.of_rows(np.repeat(ROWS, weights.astype(int), axis=0))
    assert found.weight == copies.weight
    np.testing.assert_allclose(found.scatter, copies.scatter, rtol=1e-10)


@pytest.mark.parametrize(
    ("rows", "asked", "told"),
    [
        (ROWS[:1], {"n": 1}, "1 rows have all of them"),
        (np.ones((9, 2)), {"n": 1}, "all constant"),
        (ROWS, {"n": D + 1}, f"n is {D + 1}, the columns are {D}"),
    ],
)
def test_what_has_no_such_components_is_refused(rows, asked, told):
    with pytest.raises(DataError, match=told):
        PrincipalComponents.of_scatter(CentredScatter.of_rows(rows), **asked)
