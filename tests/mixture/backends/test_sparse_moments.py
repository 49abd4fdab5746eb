"""Moments over responsibilities that are not 0 have the bits of those over all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from one_block import e_step_at_once

from dgmm.mixture.backends.sparse_sizes import sparse_widths

fused = pytest.importorskip("dgmm.mixture.backends.fused_products", reason="Numba is optional")
moment_products = pytest.importorskip(
    "dgmm.mixture.backends.moment_products", reason="Numba is optional"
)
buffers = pytest.importorskip("dgmm.mixture.backends.sparse_buffers", reason="it needs Numba too")
sparse = pytest.importorskip("dgmm.mixture.backends.sparse_moments", reason="it needs Numba too")

DTYPE = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SHAPES = [
    ("norm", 70, 131),
    ("squares", 33, 64),
    ("none", 9, 3),
    ("masked squares", 9, 17),
    ("pairs", 5, 3),
    ("pairs", 16, 9),
    ("pairs", 35, 20),
]


def _memory(made: Any, d: int, k: int, dtype: Any) -> Any:
    """Buffers of any shape: narrow ones, for which it does not pay, are quicker to test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffers, "pays", lambda *_: True)
        return buffers.SparseBuffers.of(k, made, d, np.dtype(dtype))


def _sums(
    form: str, d: int, k: int, shares: list[float], dtype: Any, b: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Σ r φ (k, p) of two row panels, dense and by component; of each share so many are not 0."""
    rng, one = np.random.default_rng(0), dtype(1)
    made = fused.factors(form, d)
    p = made.which.shape[1]
    dtype = np.dtype(dtype)
    one_row = fused.linear_rows(form, d)
    _, wide, dense = fused.allocate_buffers(lambda _, n: np.empty(n, dtype), one_row, k, p, dtype)
    Y, L, _, R, Phi, *_ = dense
    memory = _memory(made, d, k, dtype)
    for share in shares:
        Y[:one_row, :b] = rng.normal(size=(one_row, b))
        if form == "norm":
            Y[d + 1, :b] = (Y[:d, :b] ** 2).sum(axis=0)
        L[:k] = 7.0  # columns beyond b hold anything
        L[:k, :b] = rng.random((k, b)) * (rng.random((k, b)) < share)
        L[0, :b] = rng.random(b)  # one component has responsibilities for all rows
        moment_products.transposed(one, L, R, b)
        moment_products.moments(one, made.which, made.n_products, Y, R, Phi, wide, b)
        sparse.sparse_moments(one, made.which, made.n_products, Y, L, tuple(memory), k, b)
    return wide[:p, :k].T, memory.sums[:k][:, memory.places]


@DTYPE
@pytest.mark.parametrize("b", [96, 51, 1])
@pytest.mark.parametrize(("form", "d", "k"), SHAPES)
def test_sums_have_the_bits_of_the_dense_ones(
    form: str, d: int, k: int, b: int, dtype: Any
) -> None:
    dense, by_component = _sums(form, d, k, [0.02, 0.9, 0.2], dtype, b)
    assert np.abs(dense).max() > 0
    np.testing.assert_array_equal(by_component, dense)


@DTYPE
def test_columns_are_multiplied_by_their_scale(dtype: Any) -> None:
    """Of components with few rows, and of those with many."""
    rng, d, k, b, one = np.random.default_rng(0), 70, 32, 90, dtype(1)
    made = fused.factors("norm", d)
    _, _, (Y, L, *_) = fused.allocate_buffers(
        lambda _, n: np.empty(n, dtype), d, k, d + 2, np.dtype(dtype)
    )
    Y[:d, :b] = rng.normal(size=(d, b))
    L[:k, :b] = rng.random((k, b)) * (rng.random((k, b)) < 0.1)
    L[:8, :b] = rng.random((8, b))
    scale = rng.random(L.shape[1]).astype(dtype)
    found = []
    for R, own in ((L * scale, None), (L, scale)):
        memory = _memory(made, d, k, dtype)
        sparse.sparse_moments(one, made.which, made.n_products, Y, R, tuple(memory), k, b, own)
        found.append(memory.sums)
    assert np.abs(found[0]).max() > 0
    np.testing.assert_array_equal(*found)


def _passed(
    rows: NDArray[Any],
    eta: NDArray[Any],
    weights: NDArray[Any] | None = None,
    form: str = "norm",
    leaf_rows: int = 250,
) -> tuple[NDArray[np.float64], NDArray[Any], bool]:
    """Sums (l, k, p) and log-likelihoods (l,) of leaves; whether any sum was taken by component."""
    found = e_step_at_once(rows, eta, form, leaf_rows=leaf_rows, weights=weights)
    return found.sums, found.log_likelihoods, bool(found.prepared.sparse[0].any())


def _clusters(form: str, d: int, k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows (500, d), of one component each and then of many, and natural parameters."""
    rng = np.random.default_rng(0)
    far, near = 10.0 * rng.normal(size=(k // 2, d)), 0.3 * rng.normal(size=(k - k // 2, d))
    centres = np.vstack([far, near])
    rows = far[rng.integers(k // 2, size=500)] + rng.normal(size=(500, d))
    rows[370:460] = rng.normal(size=(90, d))
    precision = rng.uniform(0.5, 1.0, (k, 1))
    constant = 0.5 * (np.log(precision) - centres**2 * precision).sum(axis=1, keepdims=True)
    quadratic = -0.5 * precision
    if form == "pairs":
        i, j = np.triu_indices(d)
        quadratic = quadratic * (i == j)
    return rows, np.hstack([quadratic, centres * precision, constant])


@DTYPE
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize(("form", "d", "k"), [("norm", 66, 300), ("pairs", 24, 20)])
def test_a_pass_by_component_has_the_bits_of_the_dense_one(
    monkeypatch: pytest.MonkeyPatch, form: str, d: int, k: int, is_weighted: bool, dtype: Any
) -> None:
    """Also where a block begins with rows of few components, and goes on with rows of many."""
    rows, eta = (array.astype(dtype) for array in _clusters(form, d, k))
    weights = None
    if is_weighted:
        weights = np.random.default_rng(1).uniform(0.5, 2.0, 500)
    sums, found, is_sparse = _passed(rows, eta, weights, form)
    assert is_sparse
    monkeypatch.setattr(buffers, "pays", lambda *_: False)
    dense, expected, is_sparse = _passed(rows, eta, weights, form)
    assert not is_sparse
    np.testing.assert_array_equal(sums, dense)
    np.testing.assert_array_equal(found, expected)


@DTYPE
@pytest.mark.parametrize(
    ("form", "is_first", "stays"),
    [("pairs", True, False), ("pairs", False, False), ("norm", True, False), ("norm", False, True)],
)
def test_with_pairs_a_block_stays_sparse_while_few_responsibilities_are_not_0(
    form: str, is_first: bool, stays: bool, dtype: Any
) -> None:
    """Without pairs the first panel decides."""
    one, d, k, b = dtype(1), 24, 9, 96
    many, few = np.ones((k, 104), dtype), np.zeros((k, 104), dtype)
    few[3, 5] = 1.0
    memory = tuple(_memory(fused.factors(form, d), d, k, dtype))
    assert sparse.stays_sparse(one, few, memory, k, b, is_first)
    assert sparse.stays_sparse(one, many, memory, k, b, is_first) is stays


@pytest.mark.parametrize("form", ["pairs", "norm"])
def test_sums_by_component_go_on_as_dense_ones(form: str) -> None:
    d, k = 24, 9
    made = fused.factors(form, d)
    memory, p = _memory(made, d, k, np.float64), len(made.order)
    memory.sums[:] = np.random.default_rng(0).normal(size=memory.sums.shape)
    wide = np.full((p + 3, 16), 7.0)
    sparse.make_dense(tuple(memory), wide, k)
    np.testing.assert_array_equal(wide[:p, :k], memory.sums[:k][:, memory.places].T)
    assert (wide[p:] == 0.0).all()
    assert (wide[:, k:] == 0.0).all()


@pytest.mark.parametrize(("form", "d", "k"), [("norm", 66, 300), ("pairs", 24, 20)])
def test_a_block_whose_first_rows_many_components_share_is_left_dense(
    form: str, d: int, k: int
) -> None:
    rows, eta = _clusters(form, d, k)
    _, _, is_sparse = _passed(
        np.vstack([rows[370:460]] * 2 + [rows]), eta, form=form, leaf_rows=700
    )
    assert not is_sparse


@DTYPE
@pytest.mark.parametrize("d", range(2, 70))
def test_rows_of_pairs_have_whole_squares(d: int, dtype: Any) -> None:
    """What lies beyond d features is multiplied too, and must be the row's own memory."""
    memory = _memory(fused.factors("pairs", d), d, 3, dtype)
    width, squares = memory.transposed.shape[1], -(-d // 16)
    assert width % 16 == 0
    assert width >= max(16 * squares, d + 1)
    assert memory.sums.shape[1] == 256 * squares * (squares + 1) // 2 + width


@DTYPE
@pytest.mark.parametrize(("form", "d", "k"), [("norm", 64, 256), ("pairs", 24, 20)])
def test_a_row_that_is_not_a_number_spreads_to_all_components(
    form: str, d: int, k: int, dtype: Any
) -> None:
    rows, eta = (array.astype(dtype) for array in _clusters(form, d, k))
    rows[150, 3] = np.nan
    sums, found, _ = _passed(rows, eta, form=form)
    assert np.isnan(sums[0]).any(axis=1).all()
    assert not np.isnan(sums[1]).any()
    assert np.isnan(found).tolist() == [True, False]


def test_responsibilities_below_the_floor_are_zero() -> None:
    """Of two components, one e⁻⁷¹ and one e⁻⁷³ as likely as a third, of the same form."""
    eta = np.zeros((3, 24 * 25 // 2 + 25))
    eta[:, -1] = [0.0, -71.0, -73.0]
    sums, *_ = _passed(np.ones((96, 24)), eta, form="pairs", leaf_rows=96)
    np.testing.assert_allclose(sums[0, :, -1], [96.0, 96.0 * np.exp(-71.0), 0.0], rtol=1e-12)


@pytest.mark.parametrize(
    ("form", "k", "d", "pays"),
    [
        ("norm", 256, 62, True),
        ("norm", 255, 62, False),
        ("norm", 256, 61, False),
        ("pairs", 2, 24, True),
        ("pairs", 1, 24, False),
        ("pairs", 256, 23, False),
    ],
)
def test_few_components_or_narrow_rows_are_left_dense(
    form: str, k: int, d: int, pays: bool
) -> None:
    made, dtype = fused.factors(form, d), np.dtype(np.float64)
    assert (buffers.SparseBuffers.of(k, made, d, dtype).sums.size > 0) is pays
    width = sum(sparse_widths(len(made.order), made.n_products, d))
    assert buffers.SparseBuffers.of(k, made, d, dtype).sums.shape[1] <= width


@pytest.mark.parametrize(
    ("n_products", "p", "ends"),
    [
        (0, 64, [64]),
        (0, 72, [72]),
        (0, 73, [64, 73]),
        (0, 130, [64, 130]),
        (0, 257, [64, 128, 192, 257]),
        (66, 133, [64, 66, 133]),  # products are made in panels of 64 rows
        (128, 257, [64, 128, 192, 257]),
    ],
)
def test_a_rest_of_few_rows_is_in_the_chain_before_it(
    n_products: int, p: int, ends: list[int]
) -> None:
    found = [0]
    while found[-1] < p:
        found.append(fused.end_of_chain(found[-1], n_products, p))
    assert found[1:] == ends


@DTYPE
@pytest.mark.parametrize("b", [96, 40])
def test_a_single_responsibility_is_found_in_any_column(dtype: Any, b: int) -> None:
    d, k, one = 70, 16, dtype(1)
    made = fused.factors("norm", d)
    _, _, (Y, L, *_) = fused.allocate_buffers(
        lambda _, n: np.empty(n, dtype), d, k, d + 2, np.dtype(dtype)
    )
    Y[:d, :b] = np.random.default_rng(0).normal(size=(d, b))
    scale = np.full(L.shape[1], 0.5, dtype)
    for c in range(b):
        L[:k] = 0.0
        L[:k, b:] = 7.0  # of no row
        L[11, c] = 0.25
        memory = _memory(made, d, k, dtype)
        sparse.sparse_moments(one, made.which, made.n_products, Y, L, tuple(memory), k, b, scale)
        expected = np.zeros((k, d))
        expected[11] = (dtype(0.125) * Y[:d, c]).astype(dtype)
        np.testing.assert_array_equal(memory.sums[:k, :d], expected)
