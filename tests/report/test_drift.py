"""The table of drift: size, significance and alarm of each component."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fabricated_runs import facts
from page_reading import Page

from dgmm.report import write_report
from dgmm.report.drift import anomaly_drift_table, drift_table
from dgmm.report.drift_figure import drift_figures
from dgmm.report.figure import ReportFigure
from dgmm.report.overview import overview
from dgmm.report.run_data import RunRecord
from dgmm.report.sections import sections
from dgmm.storage.atomic_files import write_json

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
    assert (first["Hellinger distance"], first["significance"]) == ("0.183", "55.2")
    assert second["alarm"] == "no"
    assert "runs/nightly/2026-01-01, fitted to 9,000 rows" in table.note
    assert "1 alarm." in table.note


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


def test_the_figure_has_sizes_beside_their_thresholds_and_marks_alarms() -> None:
    calm = COMPONENT | {"component": 3, "new_weight": 0.19, "shift": 0.1, "hellinger": 0.05}
    (figure,) = drift_figures(record(components=[COMPONENT, calm | {"alarms": []}]))
    assert isinstance(figure, ReportFigure)
    body = figure.drawing.body
    assert body.count('<rect class="dot accent"') == 3  # distance, weight and mean of component 2
    assert body.count('<circle class="hollow one"') == 3
    lines = [float(x) for x in re.findall(r'class="line dashed soft" d="M(\S+) ', body)]
    alarms = [float(x) + 5 for x in re.findall(r'class="dot accent" x="(\S+)"', body)]
    calm_ones = [float(x) for x in re.findall(r'class="hollow one" cx="(\S+)"', body)]
    assert calm_ones[0] < lines[0] < alarms[0]  # 0.05, 0.1, 0.183
    assert lines[1] < calm_ones[1] < lines[2] < alarms[1]  # -0.02, -0.01, 0.02, 0.05
    assert figure.table.rows[0] == ("2", "0.183", "0.05", "0.51", "yes")


def test_of_many_components_those_that_changed_most_are_drawn() -> None:
    many = [COMPONENT | {"component": j, "hellinger": 0.001 * j, "new_weight": 0.2,
                         "alarms": ["component"] * (j == 5)} for j in range(60)]  # fmt: skip
    (figure,) = drift_figures(record(components=many))
    assert isinstance(figure, ReportFigure)
    assert [int(row[0]) for row in figure.table.rows] == [5, *range(21, 60)]
    assert "The 40 of 60 that changed most are drawn." in figure.caption


def test_an_alarm_is_described_once_on_the_page_and_colours_the_verdict(tmp_path: Path) -> None:
    text = "component 2 is elsewhere"
    message = f"converged after 3 iterations; drift: {text}"
    warned = {"drift": DRIFT, "warnings": [f"drift: {text}"], "message": message}
    write_json(tmp_path / "run.json", facts(**warned))
    write_report(tmp_path)
    page = Page(tmp_path / "report.html").text
    assert page.count(text) == 1
    assert "converged after 3 iterations" in page
    about = overview(RunRecord.open(tmp_path))
    assert about.verdict == "Converged; the rows have changed"
    assert about.tone == "caution"
