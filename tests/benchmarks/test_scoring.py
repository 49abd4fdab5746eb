"""The benchmark of scoring runs, on few rows, and holds every family to its goal."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import goals, scoring
from benchmarks.results import Results


def test_the_trial_of_scoring_measures_every_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scoring, "_TRIAL", goals.Shape(4000, 3, 2))
    monkeypatch.setattr(scoring, "_SECONDS_FOR_A_SHAPE", 0.0)
    monkeypatch.setattr(scoring, "select", lambda *_, **__: "numpy")
    found = Results("scoring", {}, tmp_path, is_trial=True)
    scoring.run(found)
    assert len(capsys.readouterr().out.splitlines()) == 8 + 6
    against = [m for m in found.measurements if m.part.endswith("tiles")]
    assert [m.goal for m in against] == [2.5] * 5 + [2.0]
    own = [m for m in found.measurements if m not in against]
    in_memory = [m for m in own if m.what.endswith("in memory")]
    families = [m.part.split(",")[0] for m in in_memory]
    assert families == ["full", "tied", "diag", "spherical"]
    assert [m.goal for m in in_memory] == [goals.SCORING_AGAINST_PASS] * 4
    assert all(m.value > 0 for m in found.measurements)
