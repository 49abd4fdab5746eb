"""Weights that a pass cannot use are refused with the row and what to do."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.data.row_weights import row_weights
from dgmm.errors import DataError


@pytest.mark.parametrize("weight", [1e39, 1.1e30, 0.9e-30, 1e-300])
def test_weights_beyond_what_float32_multiplies_by_are_refused(weight):
    with pytest.raises(DataError, match=r"^the weight of row 1 is .*Multiply all weights"):
        row_weights([1.0, weight, 0.0], 3)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_weights_that_are_none_are_refused(weight):
    with pytest.raises(DataError, match=r"^the weight of row 2 .* not negative"):
        row_weights([1.0, 0.0, weight], 3)


def test_masked_weights_are_refused_by_row():
    with pytest.raises(DataError, match="the weight of row 1 is nan"):
        row_weights(np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False]), 3)


def test_weights_at_the_ends_and_0_are_taken():
    np.testing.assert_array_equal(row_weights([1e-30, 0, 1e30], 3), [1e-30, 0.0, 1e30])
