"""Moments over responsibilities that are not 0 have the bits of those over all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dgmm.mixture.backends import Block, get

fused = pytest.importorskip("dgmm.mixture.backends.fused_products", reason="Numba is optional")
moment_products = pytest.importorskip(
    "dgmm.mixture.backends.moment_products", reason="Numba is optional"
)
listed = pytest.importorskip("dgmm.mixture.backends.listed_moments", reason="it needs Numba too")

DTYPE = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SHAPES = [("norm", 70, 131), ("squares", 33, 64), ("none", 9, 3), ("masked squares", 9, 17)]


def _sums(
    form: str, d: int, k: int, shares: list[float], dtype: Any, b: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Σ r φ (k, p) of two row panels, dense and listed; of each share so many are not 0."""
    rng, one = np.random.default_rng(0), dtype(1)
    made = fused.factors(form, d)
    p = made.which.shape[1]
    dtype = np.dtype(dtype)
    one_row = fused.linear_rows(form, d)
    _, wide, buffers = fused.allocate_buffers(lambda _, n: np.empty(n, dtype), one_row, k, p, dtype)
    Y, L, _, R, Phi, *_ = buffers
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listed, "pays", lambda *_: True)  # narrow ones are quicker to test
        memory = listed.listed_buffers(k, made, d, dtype)
    for share in shares:
        Y[:one_row, :b] = rng.normal(size=(one_row, b))
        if form == "norm":
            Y[d + 1, :b] = (Y[:d, :b] ** 2).sum(axis=0)
        L[:k] = 7.0  # columns beyond b hold anything
        L[:k, :b] = rng.random((k, b)) * (rng.random((k, b)) < share)
        L[0, :b] = rng.random(b)  # one component has a part in every row
        moment_products.transposed(one, L, R, b)
        moment_products.moments(one, made.which, made.n_products, Y, R, Phi, wide, b)
        listed.listed_moments(one, made.which, made.n_products, Y, L, memory, k, b)
    return wide[:p, :k].T, memory[0][:k, :p]


@DTYPE
@pytest.mark.parametrize("b", [96, 51, 1])
@pytest.mark.parametrize(("form", "d", "k"), SHAPES)
def test_sums_have_the_bits_of_the_dense_ones(
    form: str, d: int, k: int, b: int, dtype: Any
) -> None:
    dense, sparse = _sums(form, d, k, [0.02, 0.9, 0.2], dtype, b)
    assert np.abs(dense).max() > 0
    np.testing.assert_array_equal(sparse, dense)


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
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(listed, "pays", lambda *_: True)
            memory = listed.listed_buffers(k, made, d, np.dtype(dtype))
        listed.listed_moments(one, made.which, made.n_products, Y, R, memory, k, b, own)
        found.append(memory[0])
    assert np.abs(found[0]).max() > 0
    np.testing.assert_array_equal(*found)


def _passed(rows: NDArray[Any], eta: NDArray[Any], weights: NDArray[Any] | None) -> Any:
    (n, d), (k, p), dtype = rows.shape, eta.shape, eta.dtype
    sums, lse = np.zeros((1, k, p)), np.empty(n, dtype)
    block = Block(
        form="norm",
        rows=rows,
        factor=np.ones(d, dtype),
        offset=np.zeros(d, dtype),
        eta=eta,
        sums=sums,
        lse=lse,
        allocate=lambda _, size: np.empty(size, dtype),
        weights=weights,
        leaf_rows=n,
        latest=lambda _key, make: make(),
    )
    assert get("numba").e_step(block)
    return sums[0].T, lse


@DTYPE
@pytest.mark.parametrize("is_weighted", [False, True])
def test_a_pass_of_many_components_has_the_bits_of_the_dense_one(
    monkeypatch: pytest.MonkeyPatch, is_weighted: bool, dtype: Any
) -> None:
    """Also where a block begins with rows of few components, and goes on with rows of many."""
    rng, d, k = np.random.default_rng(0), 66, 300
    centres = 5.0 * rng.normal(size=(k, d))
    rows = centres[rng.integers(k, size=400)] + rng.normal(size=(400, d))
    rows[200:] = 0.3 * rng.normal(size=(200, d))
    precision = np.where(np.arange(k) % 2, 1.0, 0.01)[:, None]  # half of them are wide
    constant = -0.5 * (centres**2 * precision).sum(axis=1, keepdims=True)
    eta = np.hstack([-0.5 * precision, centres * precision, constant]).astype(dtype)
    weights = rng.uniform(0.5, 2.0, 400).astype(dtype) if is_weighted else None
    rows = rows.astype(dtype)
    n_calls = []
    pays = listed.pays
    monkeypatch.setattr(listed, "pays", lambda *of: n_calls.append(pays(*of)) or n_calls[-1])
    found = _passed(rows, eta, weights)
    assert n_calls == [True]
    monkeypatch.setattr(listed, "pays", lambda *_: False)
    for mine, dense in zip(found, _passed(rows, eta, weights), strict=True):
        np.testing.assert_array_equal(mine, dense)


@DTYPE
def test_a_row_that_is_not_a_number_spreads_to_all_components(dtype: Any) -> None:
    rng, d, k = np.random.default_rng(0), 64, 256
    eta = rng.normal(size=(k, d + 2)).astype(dtype)
    rows = rng.normal(size=(200, d)).astype(dtype)
    rows[150, 3] = np.nan
    sums, lse = _passed(rows, eta, None)
    assert np.isnan(sums).any(axis=0).all()
    assert np.flatnonzero(np.isnan(lse)).tolist() == [150]


def test_few_components_or_narrow_rows_are_left_dense() -> None:
    assert listed.pays(256, fused.factors("norm", 62), 62)
    assert not listed.pays(255, fused.factors("norm", 62), 62)
    assert not listed.pays(256, fused.factors("norm", 61), 61)
    assert not listed.pays(256, fused.factors("pairs", 16), 16)


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
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(listed, "pays", lambda *_: True)
            memory = listed.listed_buffers(k, made, d, np.dtype(dtype))
        listed.listed_moments(one, made.which, made.n_products, Y, L, memory, k, b, scale)
        expected = np.zeros((k, d))
        expected[11] = (dtype(0.125) * Y[:d, c]).astype(dtype)
        np.testing.assert_array_equal(memory[0][:k, :d], expected)
