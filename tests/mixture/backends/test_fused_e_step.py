"""The E-step of a block at once: what it sums, and that other bits have another number."""

from __future__ import annotations

import hashlib
import operator
from functools import reduce

import numpy as np
import pytest
from one_block import e_step_at_once

from dgmm.fitting.em import data_pass

fused = pytest.importorskip("dgmm.mixture.backends.fused_products", reason="Numba is optional")
fused_e_step = pytest.importorskip("dgmm.mixture.backends.fused_e_step", reason="it needs Numba")

#: Of the pass below, by its arithmetic: where the bits change, so does `_ARITHMETIC`.
DIGESTS = {3: "131fe2e7a0e684dd"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_log_likelihoods_are_eight_sums_of_each_panel(dtype: type, is_weighted: bool) -> None:
    """Row c of a panel of 96 in sum c mod 8, with its weight in float64."""
    rng, d, k, n = np.random.default_rng(0), 3, 5, 96 + 53
    rows = rng.normal(size=(n, d)).astype(dtype)
    eta = rng.normal(size=(k, 2 * d + 1)).astype(dtype)
    weights = 1.0 + rng.random(n) if is_weighted else None
    of_rows = e_step_at_once(rows, eta, "squares", leaf_rows=1).log_likelihoods
    (found,) = e_step_at_once(rows, eta, "squares", weights=weights).log_likelihoods
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
                found = e_step_at_once(rows, eta.astype(dtype), form, leaf_rows=130, weights=own)
                digest.update(found.sums.tobytes() + found.log_likelihoods.tobytes())
    assert {data_pass._ARITHMETIC: digest.hexdigest()[:16]} == DIGESTS


def test_weights_that_are_read_only_need_no_code_of_their_own() -> None:
    rows, eta = np.zeros((10, 2)), np.zeros((3, 5))
    weights = np.ones(10)
    e_step_at_once(rows, eta, "squares", weights=weights)
    compiled = len(fused_e_step._e_step.signatures)
    weights.flags.writeable = False
    e_step_at_once(rows, eta, "squares", weights=weights)
    assert len(fused_e_step._e_step.signatures) == compiled
