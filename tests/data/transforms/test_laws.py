"""Laws of transformations: inverses, merging in any cut, missing values, and scikit-learn's PCA."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.decomposition import PCA

from dgmm.data.transforms.asked_step import AskedStep
from dgmm.data.transforms.centred_scatter import CentredScatter
from dgmm.data.transforms.column_moments import ColumnMoments
from dgmm.data.transforms.elementwise import Asinh, Clip, Log, Standardise, n_outside
from dgmm.data.transforms.measured_rows import MeasuredRows, fitted_step, measured
from dgmm.data.transforms.preprocessing import Preprocessing
from dgmm.data.transforms.principal_components import PrincipalComponents
from dgmm.data.transforms.row_sample import RowSample, sample_size
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
    np.testing.assert_allclose(found.apply_with_residual(ROWS)[1], far, atol=1e-9 * scale)


def test_incomplete_rows_count_in_no_component_and_have_no_scores():
    gaps = np.concatenate([ROWS, [[np.nan] + [0.0] * (D - 1)]])
    found = PrincipalComponents.of_scatter(CentredScatter.of_rows(gaps), n=2)
    expected = PrincipalComponents.of_scatter(CentredScatter.of_rows(ROWS), n=2)
    assert found.axes.tobytes() == expected.axes.tobytes()
    assert np.isnan(found.apply(gaps)[-1]).all()
    assert np.isnan(found.apply_with_residual(gaps)[1][-1])


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


@pytest.mark.parametrize("cut", [1, 3, 255, 256, 257])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_scores_of_a_row_have_the_same_bits_whatever_stands_beside_it(cut, n):
    found = PrincipalComponents.of_scatter(merged(N), n=n, whiten=True)
    whole = found.apply(ROWS)
    parts = [found.apply(ROWS[start : start + cut]) for start in range(0, N, cut)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert found.apply(ROWS[::-1])[::-1].tobytes() == whole.tobytes()
    scores, distance = found.apply_with_residual(ROWS)
    assert scores.tobytes() == whole.tobytes()
    pieces = [found.apply_with_residual(ROWS[s : s + cut])[1] for s in range(0, N, cut)]
    assert np.concatenate(pieces).tobytes() == distance.tobytes()


def test_moments_of_each_column_are_those_of_its_values_whatever_the_cut():
    rows = ROWS + 1e6
    rows[RNG.random(rows.shape) < 0.2] = np.nan
    rows[3, 3] = np.inf
    rows[:, 5] = np.nan
    found = ColumnMoments.of_rows(rows[:0])
    for start in range(0, N, 41):
        found = found.merge(ColumnMoments.of_rows(rows[start : start + 41]))
    known = np.where(np.isfinite(rows), rows, np.nan)[:, :5]
    np.testing.assert_array_equal(found.weight[:5], np.isfinite(known).sum(axis=0))
    np.testing.assert_allclose(found.mean[:5], np.nanmean(known, axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.variance[:5], np.nanvar(known, axis=0), rtol=1e-8)
    assert (found.mean[5], found.variance[5]) == (0.0, 0.0)


def test_moments_count_weights_as_copies():
    weights = RNG.integers(0, 4, N).astype(float)
    found = ColumnMoments.of_rows(ROWS, weights)
    copies = np.repeat(ROWS, weights.astype(int), axis=0)
    np.testing.assert_allclose(found.mean, copies.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.variance, copies.var(axis=0), rtol=1e-10)


def test_a_sample_is_the_same_in_any_cut_and_uniform():
    rows = np.arange(300_000, dtype=float)[:, np.newaxis]
    whole = RowSample.of_rows(rows, 0)
    parts = [RowSample.of_rows(rows[i : i + 70_000], i) for i in range(0, 300_000, 70_000)]
    found = parts[-1]
    for part in parts[-2::-1]:
        found = part.merge(found)
    assert found.rows.tobytes() == whole.rows.tobytes()
    assert len(found.rows) == sample_size(1) == 131_072
    # Of a uniform sample without replacement the mean is off by a standard deviation of 180.
    assert found.rows.mean() == pytest.approx(149_999.5, abs=4 * 180)
    few = RowSample.of_rows(rows[:500], 0)
    assert sorted(few.rows[:, 0]) == rows[:500, 0].tolist()


def test_weighted_bounds_are_those_of_copies_and_infinity_is_never_clipped():
    weights = RNG.integers(1, 4, N).astype(float)
    found = Clip.of_quantiles(ROWS, (0.1, 0.9), weights)
    copies = np.repeat(ROWS, weights.astype(int), axis=0)
    low, high = np.quantile(copies, (0.1, 0.9), axis=0, method="inverted_cdf")
    np.testing.assert_array_equal([found.low, found.high], [low, high])
    assert np.isposinf(found.apply(np.full((1, D), np.inf))).all()
    empty = Clip.of_quantiles(np.full((4, 1), np.nan), (0.1, 0.9))
    assert empty.apply(np.array([[7.0]])) == 7.0


ASKED = (
    AskedStep("log", {"offset": 20.0}, columns=("a",)),
    AskedStep("standardise"),
    AskedStep("pca", {"n": 2, "whiten": False}, variables=("v",)),
)
NAMES = ("v[1]", "a", "v[2]", "b", "v[3]", "c")


def chain():
    found = Preprocessing(NAMES)
    for step in ASKED:
        values, counts = found.applied(ROWS)
        sums = MeasuredRows(
            measured(step, step.groups(found.output_names), values, 0, None), counts
        )
        fitted = fitted_step(step, found.output_names, sums, is_weighted=False, lost=1.0)
        found = found.then(step, fitted)
    return found


def test_components_stand_where_the_first_of_their_columns_was():
    found = chain()
    assert found.output_names == ("v_pc1", "v_pc2", "a", "b", "c")
    rows = ROWS.copy()
    rows[:, 1] = np.log(rows[:, 1] + 20.0)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    scores = PCA(2, svd_solver="full").fit_transform(rows[:, [0, 2, 4]])
    expected = np.column_stack([scores, rows[:, [1, 3, 5]]])
    np.testing.assert_allclose(found.apply(ROWS), expected, atol=1e-9)


def test_all_steps_are_undone_but_for_what_components_leave_out():
    found = chain()
    back = found.inverse(found.apply(ROWS))
    np.testing.assert_allclose(back[:, [1, 3, 5]], ROWS[:, [1, 3, 5]], rtol=1e-9)
    step = found.steps[2].groups[0][1]
    standardised = Preprocessing(NAMES, steps=found.steps[:2]).apply(ROWS)[:, [0, 2, 4]]
    nearest = step.inverse(step.apply(standardised))
    undone = found.steps[1].transform
    expected = nearest * undone.deviation[[0, 2, 4]] + undone.mean[[0, 2, 4]]
    np.testing.assert_allclose(back[:, [0, 2, 4]], expected, rtol=1e-9)


def test_a_record_gives_back_the_same_bits_and_a_damaged_one_is_refused():
    found = chain()
    text = json.dumps(found.record(), allow_nan=False)
    again = Preprocessing.of_record(json.loads(text))
    assert again.apply(ROWS).tobytes() == found.apply(ROWS).tobytes()
    assert again.record() == json.loads(text)
    for damage in (
        lambda steps: steps[1]["deviation"].pop(),
        lambda steps: steps[1]["deviation"].__setitem__(0, 0.0),
        lambda steps: steps[1]["mean"].__setitem__(0, None),
        lambda steps: steps[1]["columns"].__setitem__(0, "q"),
        lambda steps: steps[2]["groups"][0]["axes"][0].pop(),
        lambda steps: steps[2]["names"].pop(),
        lambda steps: steps[0].pop("step"),
        lambda steps: steps[0].__setitem__("step", "sqrt"),
    ):
        record = json.loads(text)
        damage(record["steps"])
        with pytest.raises(DataError):
            Preprocessing.of_record(record)
    with pytest.raises(DataError):
        Preprocessing.of_record(None)
