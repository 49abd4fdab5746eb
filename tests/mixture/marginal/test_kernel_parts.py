"""What is kept for a pattern counts the arrays that it holds, and parts add up whole or not."""

from __future__ import annotations

from dataclasses import replace

import mixtures
import numpy as np
import pytest
from missing_rows import BACKENDS, KERNELS

from dgmm.mixture.backends import get
from dgmm.mixture.covariance import FAMILIES
from dgmm.mixture.marginal.kernel_parts import PatternPart
from dgmm.mixture.marginal.lifted_sums import LiftedSums

K, D = 2, 64


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_pattern_counts_every_array_that_it_holds(backend, kernel):
    """One of 64 features is missing, of full covariances: all numbers are of 8 bytes."""
    complete = KERNELS[kernel](mixtures.scene(FAMILIES["full"], 300, K, D).parameters)
    observed = np.arange(D) != 5
    part = PatternPart.of(complete.parameters, complete.complete, observed, get(backend))
    q, m = D - 1, 1
    known = K + K * q + 2 * K * q * q  # weights, means, covariances, factors
    conditional = q + m + D * (D + 1) // 2 + K * m * q + K * m * m  # features, places, B, C
    has_lift = part.lift is not None and kernel == "product"
    own = K * (q * (q + 1) // 2 + q + 1) if kernel == "product" else K  # η, or the log norms
    numbers = known + conditional + own + (K * q if has_lift else 0)  # and the old means
    assert part.n_bytes == pytest.approx(8 * numbers, rel=0.01)


@pytest.mark.parametrize("name", ["scatter", "observed"])
@pytest.mark.parametrize("lacks", ["total", "addend"])
def test_sums_of_different_kinds_do_not_add_up(name, lacks):
    kernel = KERNELS["product"](mixtures.scene(FAMILIES["full"], 50, K, 3).parameters)
    plain = kernel.zero()
    more = replace(plain, **{name: np.ones((K, 3))})
    total, addend = (plain, more) if lacks == "total" else (more, plain)
    with pytest.raises(ValueError, match=f"has no {name}"):
        LiftedSums(total).add(addend)
