"""Values in messages keep the digits that tell them from their neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.data.number_words import exact, in_units


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.float32(0.1), "0.1"),
        (0.1, "0.1"),
        (10_000_001.0, "10000001"),
        (20260101.0, "20260101"),
        (-2147483648.0, "-2147483648"),
        (123456792.0, "123456792"),
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


@pytest.mark.parametrize(
    ("n_bytes", "words"),
    [
        (0, "0 bytes"),
        (1023, "1,023 bytes"),
        (7200, "7.03 KiB"),
        (1000 * 2**20, "1,000 MiB"),
        (256 * 2**20, "256 MiB"),
        (2**62, "4,096 PiB"),
    ],
)
def test_bytes_read_in_the_largest_unit_of_which_there_is_one(n_bytes, words):
    assert in_units(n_bytes) == words
