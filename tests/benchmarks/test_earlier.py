"""The benchmark against an earlier commit compares this tree with what git holds of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks import earlier, goals
from benchmarks.measuring import PROJECT
from benchmarks.results import Results


def _head() -> str:
    command = ["git", "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no checkout")
    return found.stdout.strip()


def test_this_tree_is_compared_with_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earlier, "COMMIT", _head())
    case = ("diag", "float64", goals.Shape(2000, 3, 2))
    monkeypatch.setattr(goals, "PASS_AGAINST_EARLIER", {case: 1.0})
    results = Results("earlier", {}, tmp_path, is_trial=True)
    earlier.run(results)
    (found,) = results.measurements
    assert found.what == "diag, float64, 2,000 × 3, k = 2"
    assert found.goal == 1.0
    assert f"processor time {found.detail['processor']:.2f} ×" in found.note
    assert found.detail["processor"] > 0
    assert 0 < found.detail["now_ms"] == pytest.approx(found.detail["before_ms"] / found.value)


def test_a_commit_that_is_not_there_is_a_remark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earlier, "COMMIT", "0" * 40)
    results = Results("earlier", {}, tmp_path, is_trial=True)
    earlier.run(results)
    assert not results.measurements
    assert results.remarks[0].startswith("the earlier commit 0000000000 cannot be had here")
