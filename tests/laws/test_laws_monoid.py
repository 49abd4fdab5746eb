"""Merging is associative and commutative up to rounding, and rows may be cut anywhere."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise

import em_runs
import mixtures
import numpy as np
import pytest
from families import ALL_FAMILIES
from hypothesis import given, settings
from hypothesis import strategies as st
from mixtures import EPS, Scene

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.row_block import RowBlock
from dgmm.data.summary.partial_summary import PartialSummary
from dgmm.data.summary.uniform_sample import SampleRule
from dgmm.mixture.backends import NumpyBackend
from dgmm.mixture.kernels import CentredKernel, Kernel, ProductKernel
from dgmm.mixture.sufficient_statistics import Statistics
from dgmm.reduction.blocks import ROW_QUANTUM

CASES = [
    pytest.param(
        mixtures.scene(family), centred, id=f"{name}-{'centred' if centred else 'product'}"
    )
    for name, family in ALL_FAMILIES.items()
    for centred in (False, True)
]
cuts = st.lists(st.integers(0, 400), max_size=6).map(lambda inner: [0, *sorted(inner), 400])


def _kernel(scene: Scene, centred: bool) -> Kernel:
    if centred:
        return CentredKernel.of(scene.parameters)
    return ProductKernel.of(scene.parameters, with_scatter=True)


def _parts(scene: Scene, centred: bool, at: list[int]) -> list[Statistics]:
    kernel = _kernel(scene, centred)
    pieces = pairwise(at)
    return [em_runs.one_pass(kernel, scene.Y[:, a:b]) for a, b in pieces]


def _assert_close(found: Statistics, expected: Statistics, scene: Scene) -> None:
    """Equal up to the rounding of one sum over all rows in another order."""
    n = scene.Y.shape[1]
    size = np.abs(scene.Y).max() ** 2 * n
    assert found.n_rows == expected.n_rows
    likelihood = abs(found.log_likelihood - expected.log_likelihood)
    assert likelihood <= 2 * n * EPS * abs(expected.log_likelihood)
    assert np.abs(found.sums - expected.sums).max() <= 2 * n * EPS * size
    assert (found.scatter is None) == (expected.scatter is None)
    if found.scatter is not None and expected.scatter is not None:
        assert np.abs(found.scatter - expected.scatter).max() <= 2 * n * EPS * size
    assert (found.reference is None) == (expected.reference is None)
    if found.reference is not None and expected.reference is not None:
        np.testing.assert_array_equal(found.reference, expected.reference)


@pytest.mark.parametrize(("scene", "centred"), CASES)
@settings(deadline=None, max_examples=15)
@given(at=cuts)
def test_rows_cut_anywhere_merge_to_the_statistics_of_all(
    scene: Scene, centred: bool, at: list[int]
) -> None:
    whole = em_runs.one_pass(_kernel(scene, centred), scene.Y)
    _assert_close(reduce(Statistics.merge, _parts(scene, centred, at)), whole, scene)


@pytest.mark.parametrize(("scene", "centred"), CASES)
def test_merging_is_associative_up_to_rounding(scene: Scene, centred: bool) -> None:
    a, b, c = _parts(scene, centred, [0, 90, 250, 400])
    _assert_close(a.merge(b).merge(c), a.merge(b.merge(c)), scene)


@pytest.mark.parametrize(("scene", "centred"), CASES)
def test_merging_is_commutative_to_the_bit(scene: Scene, centred: bool) -> None:
    a, b = _parts(scene, centred, [0, 150, 400])
    left, right = a.merge(b), b.merge(a)
    assert (left.n_rows, left.log_likelihood) == (right.n_rows, right.log_likelihood)
    np.testing.assert_array_equal(left.sums, right.sums)
    np.testing.assert_array_equal(left.scatter, right.scatter)


@pytest.mark.parametrize(("scene", "centred"), CASES)
def test_zero_is_neutral_to_the_bit(scene: Scene, centred: bool) -> None:
    (a,) = _parts(scene, centred, [0, 400])
    width = None if a.scatter is None else len(a.scatter)
    zero = Statistics.zero(*a.sums.shape, width, a.reference)
    for merged in (zero.merge(a), a.merge(zero)):
        assert (merged.n_rows, merged.log_likelihood) == (a.n_rows, a.log_likelihood)
        np.testing.assert_array_equal(merged.sums, a.sums)
        np.testing.assert_array_equal(merged.scatter, a.scatter)
        np.testing.assert_array_equal(merged.reference, a.reference)


@pytest.mark.parametrize(("scene", "centred"), CASES)
def test_no_rows_have_the_statistics_zero(scene: Scene, centred: bool) -> None:
    empty = em_runs.one_pass(_kernel(scene, centred), scene.Y[:, :0])
    assert (empty.n_rows, empty.log_likelihood) == (0, 0.0)
    assert not empty.sums.any()


def _summary_parts(at: list[int]) -> list[PartialSummary]:
    """Rows with a NaN, an infinity and an outlier, cut into blocks at `at`."""
    rng = np.random.default_rng(3)
    rows = 5.0 + rng.normal(size=(400, 3))
    rows[17, 1], rows[230, 2], rows[399, 0] = np.nan, -np.inf, 1e30
    rule = SampleRule.expecting(50, ROW_QUANTUM, 0)
    pieces = pairwise(at)
    return [
        PartialSummary.of_block(
            RowBlock(block, a, rows[a:b]), ArrayDataset(rows), rule, NumpyBackend()
        )
        for block, (a, b) in enumerate(pieces)
        if b > a
    ]


@settings(deadline=None, max_examples=25)
@given(at=cuts)
def test_summaries_of_rows_cut_anywhere_merge_to_that_of_all(at: list[int]) -> None:
    (whole,) = _summary_parts([0, 400])
    merged = reduce(PartialSummary.merge, _summary_parts(at))
    assert (merged.n_read, merged.first_faulty) == (whole.n_read, whole.first_faulty)
    np.testing.assert_array_equal(merged.n_nan, whole.n_nan)
    np.testing.assert_array_equal(merged.n_inf, whole.n_inf)
    for name in ("minimum", "maximum", "minimum_row", "maximum_row"):
        found, expected = (getattr(part.extremes, name) for part in (merged, whole))
        np.testing.assert_array_equal(found, expected)
    assert merged.moments.count == whole.moments.count
    allowed = 400 * EPS
    np.testing.assert_allclose(merged.moments.mean, whole.moments.mean, rtol=allowed)
    np.testing.assert_allclose(merged.moments.variance, whole.moments.variance, rtol=4 * allowed)


@settings(deadline=None, max_examples=25)
@given(at=cuts)
def test_merging_summaries_is_associative(at: list[int]) -> None:
    parts = _summary_parts(at)
    left = reduce(PartialSummary.merge, parts)
    right = reduce(lambda after, before: before.merge(after), reversed(parts))
    assert (left.n_read, left.first_faulty) == (right.n_read, right.first_faulty)
    np.testing.assert_array_equal(left.extremes.minimum_row, right.extremes.minimum_row)
    np.testing.assert_allclose(left.moments.mean, right.moments.mean, rtol=400 * EPS)
    np.testing.assert_allclose(left.moments.variance, right.moments.variance, rtol=1600 * EPS)
