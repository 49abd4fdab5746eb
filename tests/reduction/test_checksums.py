"""Checksums of arrays are those of their bytes, and take no memory of their size."""

from __future__ import annotations

import hashlib
import tracemalloc

import numpy as np
import pytest

from dgmm.reduction.checksums import combined, digest_of


@pytest.mark.parametrize("dtype", ["f8", "f4", "i1", "i4"])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (1,), (7, 3), (1000, 2)])
def test_a_digest_is_that_of_the_bytes_whatever_the_layout(dtype, shape):
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    expected = hashlib.sha256(values.tobytes()).hexdigest()
    assert digest_of(values) == digest_of(np.asfortranarray(values)) == expected


def test_a_digest_copies_nothing():
    values = np.zeros((1000, 5000), np.float32)
    tracemalloc.start()
    digest_of(values)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < values.nbytes / 20  # other threads of the process allocate too


def test_digests_of_two_parts_are_combined_in_their_order():
    first, second = {"labels": "1a", "density": "2b"}, {"labels": "3c", "anomaly": "4d"}
    both = {"density": "2b", "anomaly": "4d"}
    assert combined(first, second) == both | {"labels": hashlib.sha256(b"1a3c").hexdigest()}
    assert combined(second, first) == both | {"labels": hashlib.sha256(b"3c1a").hexdigest()}
