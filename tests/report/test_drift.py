"""The table of drift: size, significance and alarm of each component."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dgmm.report.drift import anomaly_drift_table, drift_table
from dgmm.report.run_data import RunRecord
from dgmm.report.sections import sections

COMPONENT: dict[str, Any] = {
    "component": 2,
    "weight": 0.2,
    "new_weight": 0.25,
    "rows": 2500.0,
    "shift": 0.51,
    "bhattacharyya": 0.034,
    "hellinger": 0.183,
    "significance": 55.2,
    "significance_needed": 5.1,
    "weight_errors": 8.8,
    "alarms": ["component", "weight"],
}
DRIFT: dict[str, Any] = {
    "against": "runs/nightly/2026-01-01",
    "reason": "",
    "rows": 10_000.0,
    "fitted_rows": 9000.0,
    "thresholds": {
        "hellinger": 0.1,
        "weight": 0.02,
        "anomaly_ratio": 2.0,
        "significance": 3.0,
        "standard_errors": 4.0,
    },
    "components": [COMPONENT, COMPONENT | {"component": 3, "hellinger": None, "alarms": []}],
    "anomalies": {"rate": 0.01, "new_rate": 0.03, "standard_errors": 12.0, "is_alarm": True},
    "alarms": ["component 2 is elsewhere"],
}


def record(**changes: Any) -> RunRecord:
    return RunRecord(Path("run"), {"drift": DRIFT | changes})


def test_each_component_has_its_size_significance_and_alarm() -> None:
    table = drift_table(record())
    assert table is not None
    first, second = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert first["alarm"] == "place or shape and weight"
    assert (first["Hellinger distance"], first["8·B·n/p"]) == ("0.183", "55.2")
    assert second["alarm"] == "no"
    assert "runs/nightly/2026-01-01, fitted to 9,000 rows" in table.note
    assert "Alarms: component 2 is elsewhere." in table.note


def test_the_rate_of_anomalies_stands_beside_the_expected_one() -> None:
    table = anomaly_drift_table(record())
    assert table is not None
    assert table.rows[0][:2] == ("1 %", "3 %")
    assert table.rows[0][3] == "yes"
    assert anomaly_drift_table(record(anomalies=None)) is None


def test_a_first_run_says_why_there_is_no_drift() -> None:
    table = drift_table(record(against=None, reason="no finished run lies in runs", components=[]))
    assert table is not None
    assert table.note == "Drift was not measured: no finished run lies in runs."


def test_the_page_has_the_section_only_where_drift_was_looked_at() -> None:
    def is_shown(one: RunRecord) -> bool:
        return any(s.anchor == "drift" and not s.is_empty for s in sections(one))

    assert is_shown(record())
    assert not is_shown(RunRecord(Path("run"), {}))
