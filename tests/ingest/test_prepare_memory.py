"""Preparing holds what `plan` says, however many rows there are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
SCRIPT = Path(__file__).with_name("preparing_process.py")
#: glibc gives each thread a heap of its own and keeps what is freed in it: peaks then follow how
#: threads happened to meet (101 to 103 MB of 2 million rows, 110 to 112 of 8 million). With one
#: heap, and chunks of rows taken from the system and given back, a peak is what preparing holds.
ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "131072"}
#: Two threads meet with the most that each holds only where each has several groups: 4 million
#: rows are 8 groups, 102.9 to 104.3 MB. 8 million take 104.3 to 105.3 MB, 128 million 107.0 to
#: 107.7; of that the parts' descriptions, which the plan has too, are 0.9 MB.
FEW, MANY = 8_000_000, 128_000_000


def measured(folder: Path, n_samples: int) -> dict[str, int]:
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), str(n_samples)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | ALLOCATOR,
    )
    return json.loads(ended.stdout)


def test_sixteen_times_the_rows_take_the_same_memory_and_no_more_than_planned(tmp_path):
    few = measured(tmp_path / "few", FEW)
    many = measured(tmp_path / "many", MANY)
    assert many["peak"] <= 1.1 * few["peak"]
    assert few["peak"] <= few["planned"]
    assert many["peak"] <= many["planned"]
