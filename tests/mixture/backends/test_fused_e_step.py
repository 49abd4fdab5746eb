"""The E-step of a block at once: what it sums, and that other bits have another number."""

from __future__ import annotations

import hashlib
import operator
from functools import reduce
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dgmm.fitting.em import data_pass
from dgmm.mixture.backends import Block

fused = pytest.importorskip("dgmm.mixture.backends.fused_products", reason="Numba is optional")
fused_e_step = pytest.importorskip("dgmm.mixture.backends.fused_e_step", reason="it needs Numba")

Array = NDArray[np.float64]
#: Of the pass below, by its arithmetic: where the bits change, so does `_ARITHMETIC`.
DIGESTS = {3: "131fe2e7a0e684dd"}


def _found(
    rows: NDArray[Any], eta: NDArray[Any], form: str, leaf_rows: int, weights: Array | None
) -> tuple[Array, Array]:
    """Sums (l, k, p) and log-likelihoods (l,) of leaves."""
    (n, d), (k, p), dtype = rows.shape, eta.shape, eta.dtype
    n_leaves = -(-n // leaf_rows)
    sums, log_likelihoods = np.zeros((n_leaves, k, p)), np.empty(n_leaves)
    block = Block(
        rows=rows,
        factor=np.ones(d, dtype),
        offset=np.zeros(d, dtype),
        form=form,
        eta=eta,
        allocate=lambda _, size: np.empty(size, dtype),
        sums=sums,
        log_likelihoods=log_likelihoods,
        weights=weights,
        leaf_rows=leaf_rows,
        latest=lambda _key, make: make(),
    )
    assert fused_e_step.e_step(block)
    return sums, log_likelihoods


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_log_likelihoods_are_eight_sums_of_each_panel(dtype: type, is_weighted: bool) -> None:
    """Row c of a panel of 96 in sum c mod 8, with its weight in float64."""
    rng, d, k, n = np.random.default_rng(0), 3, 5, 96 + 53
    rows = rng.normal(size=(n, d)).astype(dtype)
    eta = rng.normal(size=(k, 2 * d + 1)).astype(dtype)
    weights = 1.0 + rng.random(n) if is_weighted else None
    _, of_rows = _found(rows, eta, "squares", 1, None)
    _, (found,) = _found(rows, eta, "squares", n, weights)
    terms = (of_rows * (1.0 if weights is None else weights)).tolist()
    panels = []
    for panel in (terms[:96], terms[96:]):
        # From Python 3.12 on sum() compensates its rounding.
        partial = [reduce(operator.add, panel[i::8], 0.0) for i in range(8)]
        panels.append(reduce(operator.add, partial, 0.0))
    assert found == panels[0] + panels[1]


def test_other_bits_have_another_number() -> None:
    """Saved parts of a pass are merged only with parts of the same arithmetic."""
    digest = hashlib.sha256()
    for form, d, k in (("pairs", 25, 4), ("pairs", 3, 9), ("squares", 5, 20), ("norm", 70, 260)):
        for dtype in (np.float32, np.float64):
            numbers = np.arange(300 * d).reshape(300, d)
            rows = ((numbers * 37 % 101 - 50) / 16).astype(dtype)
            p = len(fused.factors(form, d).order)
            eta = -(np.arange(k * p).reshape(k, p) * 29 % 13) / dtype(64)
            weights = 1.0 + np.arange(300) % 7 / 8
            for own in (None, weights):
                for array in _found(rows, eta.astype(dtype), form, 130, own):
                    digest.update(array.tobytes())
    assert {data_pass._ARITHMETIC: digest.hexdigest()[:16]} == DIGESTS


def test_weights_that_are_read_only_need_no_code_of_their_own() -> None:
    rows, eta = np.zeros((10, 2)), np.zeros((3, 5))
    weights = np.ones(10)
    _found(rows, eta, "squares", 10, weights)
    compiled = len(fused_e_step._e_step.signatures)
    weights.flags.writeable = False
    _found(rows, eta, "squares", 10, weights)
    assert len(fused_e_step._e_step.signatures) == compiled
