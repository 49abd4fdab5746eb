"""The products of a row panel, for every number of components and of rows of Φ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from one_block import e_step_at_once

fused = pytest.importorskip("dgmm.mixture.backends.fused_products", reason="Numba is optional")
moment_products = pytest.importorskip(
    "dgmm.mixture.backends.moment_products", reason="Numba is optional"
)
fused_e_step = pytest.importorskip("dgmm.mixture.backends.fused_e_step", reason="it needs Numba")

FLOATS = pytest.mark.parametrize("dtype", [np.float64, np.float32])
ROW_PANEL = moment_products.ROW_PANEL


@FLOATS
@pytest.mark.parametrize("b", [1, 50, ROW_PANEL])
def test_moments_are_the_product_for_any_number_of_components(dtype: Any, b: int) -> None:
    """Of integers, hence exact: groups of four, two and one vector, with 3 to 12 rows of Φ."""
    rng, one = np.random.default_rng(0), np.dtype(dtype).type(1.0)
    for d, k in ((1, 1), (2, 17), (4, 40), (8, 56), (9, 65), (32, 64), (33, 112), (12, 136)):
        for form in ("none", "norm", "squares"):
            made = fused.factors(form, d)
            p = len(made.order)
            _, sums, (Y, _, tile, R, Phi, *_) = fused.allocate_buffers(
                lambda _, size: np.empty(size, dtype), d, k, p, np.dtype(dtype)
            )
            Y[:d] = rng.integers(-4, 5, (d, Y.shape[1]))
            Y[d + 1 :] = 7.0 if form == "norm" else 0.0
            weights = rng.integers(1, 4, Y.shape[1]).astype(dtype)
            resp = rng.integers(0, 4, (k, ROW_PANEL)).astype(dtype)
            for begin in range(0, b, tile.shape[1]):
                width = min(tile.shape[1], b - begin)
                tile[:k, :width] = resp[:, begin : begin + width]
                own = weights[begin : begin + tile.shape[1]]
                moment_products.transposed(one, tile, R, width, own, begin)
            moment_products.moments(one, made.which, made.n_products, Y, R, Phi, sums, b)
            rows = Y[:, :b].astype(np.float64)
            phi = rows[made.which[0]] * rows[made.which[1]]
            expected = phi @ (resp[:, :b].astype(np.float64) * weights[:b]).T
            np.testing.assert_array_equal(sums[:p, :k], expected)


@FLOATS
@pytest.mark.parametrize("weighted", [False, True])
def test_bits_do_not_follow_how_much_of_a_panel_is_held(
    dtype: Any, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A panel of 96 rows in one, two or four tiles; blocks that end in the midst of one."""
    rng, d, k, n = np.random.default_rng(1), 3, 45, 2 * ROW_PANEL + 53
    rows = rng.normal(size=(n, d)).astype(dtype)
    eta = rng.normal(size=(k, 2 * d + 1)).astype(dtype)
    weights = rng.uniform(0.5, 2.0, n) if weighted else None
    widths, found = set(), []
    for most in (0, 2**15, 2**20):
        monkeypatch.setattr(fused, "_TILE_BYTES", most)
        widths.add(fused._tile_columns(k, np.dtype(dtype).itemsize))
        of_all = e_step_at_once(rows, eta, "squares", weights=weights)
        found.append(of_all.sums.tobytes() + of_all.log_likelihoods.tobytes())
    assert len(widths) >= 2
    assert len(set(found)) == 1


@FLOATS
def test_rows_that_are_read_only_need_no_code_of_their_own(dtype: Any) -> None:
    """As cached ones are: a worker that compiled for them again would need its memory for that."""
    d, k, n = 2, 3, 200
    rows = np.random.default_rng(2).normal(size=(n, d)).astype(dtype)
    read_only = rows.copy()
    read_only.flags.writeable = False
    n_compiled = []
    for own in (rows, read_only):
        e_step_at_once(own, np.ones((k, 5), dtype), "squares")
        n_compiled.append(len(fused_e_step._e_step.signatures))
    assert rows.flags.writeable
    assert n_compiled[0] == n_compiled[1]
