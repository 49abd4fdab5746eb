"""Reading a file's rows holds no more than the source says, however many rows there are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "bounded_reading.py"


@pytest.fixture(scope="module")
def peaks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[int]]]:
    folder = tmp_path_factory.mktemp("files")
    command = [sys.executable, str(SCRIPT), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[list[int]]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("kind", ["npy", "npz", "hdf5", "h5ad"])
def test_what_is_held_does_not_grow_with_the_rows(
    peaks: dict[str, list[list[int]]], kind: str
) -> None:
    few, many = peaks[kind]
    assert many[0] <= 1.1 * few[0]
    assert many[1] == few[1]
    assert many[0] <= many[1]
