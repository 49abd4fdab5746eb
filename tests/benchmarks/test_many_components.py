"""The benchmark of many components measures starts that end alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.many_components import run
from benchmarks.results import Results
from dgmm.mixture.backends import compiled_backend


@pytest.mark.skipif(compiled_backend() is None, reason="needs Numba")
def test_the_trial_measures_starts_that_end_with_one_sum_of_squares(tmp_path: Path) -> None:
    found = Results("many", {}, tmp_path, is_trial=True)
    run(found)
    alone = found.measurements.pop()
    assert alone.part == "k-means start alone, 2,000 × 8, k = 256"
    assert alone.value > 0.0
    by_name = {m.what: m for m in found.measurements}
    assert abs(by_name["sum of squares over NumPy's"].value - 1.0) <= 1e-6
    assert by_name["start in passes of spherical float32"].value > 0.0
    assert by_name["CPU time of NumPy's start over ours"].value > 0.0
