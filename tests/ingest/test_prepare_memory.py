"""Preparing holds what `plan` says, however many rows there are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
SCRIPT = Path(__file__).with_name("preparing_process.py")


def measured(folder: Path, n_samples: int) -> dict[str, int]:
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), str(n_samples)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ended.stdout)


def test_sixteen_times_the_rows_take_the_same_memory_and_no_more_than_planned(tmp_path):
    few = measured(tmp_path / "few", 2_000_000)
    many = measured(tmp_path / "many", 32_000_000)
    assert many["peak"] <= 1.1 * few["peak"]
    assert few["peak"] <= few["planned"]
    assert many["peak"] <= many["planned"]
