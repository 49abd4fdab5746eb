"""Values in messages keep the digits that tell them from their neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.data.number_words import exact


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.float32(0.1), "0.1"),
        (0.1, "0.1"),
        (10_000_001.0, "10000001"),
        (20260101.0, "20260101"),
        (-1_000_000_005.25, "-1000000005.25"),
        (np.float32(9.96921e36), "9.96921e+36"),
        (6.5e300, "6.5e+300"),
        (1 / 3, "0.333333333333"),
        (-9999.0, "-9999"),
        (0.0, "0"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
    ],
)
def test_a_value_reads_as_it_was_written(value, words):
    assert exact(float(value)) == words
