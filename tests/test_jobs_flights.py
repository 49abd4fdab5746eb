"""The job on a table that comes with dgmm, from end to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

PROJECT = Path(__file__).resolve().parent.parent


@pytest.mark.timeout(240)
def test_flights_are_written_fitted_and_joined_with_their_results(tmp_path: Path) -> None:
    command = [sys.executable, str(PROJECT / "jobs" / "flights.py"), "--rows", "4000"]
    command += ["--path", str(tmp_path / "flights"), "--output", str(tmp_path / "run")]
    command += ["--set", "cluster.kind=threads", "--set", "output.report=false"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    flights, rows = pd.read_parquet(tmp_path / "flights"), pd.read_parquet(tmp_path / "run/rows")
    assert len(flights) == len(rows) == 336_776 // 84 + 1
    assert sorted(rows["flight_id"]) == sorted(flights["flight_id"])
    assert rows["flight_id"].iloc[0] == "00000000"
    assert rows.groupby("carrier", observed=True).size().sum() == len(flights)
    assert "air_time" in done.stdout
    assert "flight_id" in done.stdout
