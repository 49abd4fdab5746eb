"""−½ ‖W y‖² of a panel: a product in which the zeros at the ends of rows are not multiplied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

fused = pytest.importorskip("dgmm.mixture.backends.fused_products", reason="Numba is optional")
whitened = pytest.importorskip("dgmm.mixture.backends.whitened_squares", reason="it needs Numba")

Array = NDArray[Any]
STEP = 104


def of_columns(W: Array, Y: Array) -> Array:
    """Those of the columns of Y (d, b), in buffers in which other numbers stand."""
    (d, b), (padded, ends) = Y.shape, whitened.in_whole_groups(W)
    panel = np.full((d, STEP), 1e3)
    panel[:, :b] = Y
    Z, out = np.full((whitened.HEIGHT, STEP), 7.0), np.full(STEP, 5.0)
    whitened.half_squares(1.0, padded, ends, panel, Z, out, b)
    return out[:b]


def by_all_products(W: Array, Y: Array) -> Array:
    """The same, of all numbers of W, in the chains of a log density."""
    d, b = Y.shape
    height = fused.in_whole_groups(d)
    eta, made = np.zeros((height, d + 1)), fused.factors("none", d)
    eta[:d, :d] = W
    panel, Z, panels = np.zeros((d + 1, STEP)), np.zeros((height, STEP)), np.zeros(64)
    panel[:d, :b], panel[d] = Y, 1.0
    fused.log_prob(1.0, eta, made.which, 0, panel, 0, Z, panels, b)
    total = np.zeros(b)
    for z in Z[:d, :b]:
        total -= 0.5 * z * z
    return total


@pytest.mark.parametrize("d", [1, 2, 4, 15, 16, 17, 33, 72, 73, 130])
@pytest.mark.parametrize("b", [1, 49, 96])
def test_leaving_out_zeros_changes_no_bit(d: int, b: int) -> None:
    rng = np.random.default_rng(d)
    W, Y = np.tril(rng.normal(size=(d, d))), rng.normal(size=(d, b))
    found = of_columns(W, Y)
    assert found.tobytes() == by_all_products(W, Y).tobytes()
    np.testing.assert_allclose(found, -0.5 * ((W @ Y) ** 2).sum(axis=0), rtol=d * 1e-14)


def test_what_a_group_of_rows_does_not_count_is_not_multiplied() -> None:
    """Else infinity times 0 would make the sum NaN."""
    W, Y = np.zeros((7, 7)), np.full((7, 96), np.inf)
    W[:4, :4], W[4:, :2], Y[:4] = np.tri(4), 1.0, 1.0
    np.testing.assert_array_equal(whitened.in_whole_groups(W)[1], [4, 2])
    np.testing.assert_array_equal(of_columns(W, Y), np.full(96, -0.5 * (1 + 4 + 9 + 16 + 3 * 4)))


def test_a_matrix_need_not_be_triangular() -> None:
    rng = np.random.default_rng(0)
    W, Y = rng.normal(size=(6, 6)), rng.normal(size=(6, 50))
    np.testing.assert_allclose(of_columns(W, Y), -0.5 * ((W @ Y) ** 2).sum(axis=0), rtol=1e-13)
