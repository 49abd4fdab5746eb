"""The report's tables of flagged rows, and of the most anomalous ones with their reasons."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from fabricated_runs import mixture, run_directory

from dgmm.report.anomalies import anomaly_table, flagging_table
from dgmm.report.run_data import RunRecord
from dgmm.report.sections import sections

REASON = ("feature", "observed", "expected", "sd", "loss")
COLUMNS = [
    *("row", "name", "component", "log_density", "anomaly", "dgmm_component", "squared_distance"),
    *(f"{what}_{i}" for i in (1, 2, 3) for what in REASON),
]
HOSTILE = '<script>alert("x")</script>'


def with_table(folder: Path, rows: list[list[Any]]) -> RunRecord:
    told = {"path": "anomalies", "rows": 80, "bytes": 1, "files": [], "columns": COLUMNS}
    anomaly = {"quantile": 0.001, "threshold": -12.5, "n_anomalies": 1234, "rule": "rate"}
    directory = run_directory(
        folder, mixture(2, 2), 100, outputs={}, delivered={"anomalies": told}, anomaly=anomaly
    )
    (directory / "anomalies").mkdir()
    with (directory / "anomalies" / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return RunRecord.open(directory)


def row(number: int) -> list[Any]:
    first = [HOSTILE, 7.5, 1.25, 0.5, 156.25]
    return [
        number,
        "A-1",
        "c9",
        -33.5,
        1,
        3,
        170.0,
        *first,
        *["b", 1, 2, 3, 40],
        *["a", 1, 2, 3, 8.9],
    ]


def test_the_first_rows_are_shown_with_ids_and_reasons(tmp_path):
    table = anomaly_table(with_table(tmp_path / "run", [row(i) for i in range(80)]))
    assert table is not None
    assert table.header == (
        *("row", "name", "component", "log density", "component", "squared distance"),
        *("reason", "observed", "expected", "sd", "loss", "further reasons"),
    )
    assert len(table.rows) == 50
    assert (len(table.open_rows), len(table.folded_rows)) == (10, 40)
    assert table.rows[49] == (
        *("49", "A-1", "c9", "−33.5", "3", "170", HOSTILE, "7.5", "1.25", "0.5", "156.2"),
        "b 1, expected 2 ± 3 (loss 40)",
    )
    assert table.note.startswith("The first 50 of 80 in anomalies/. ")
    assert table.numeric == frozenset({0, 3, 4, 5, 7, 8, 9, 10})
    # report.json has numbers.
    assert table.record["rows"][0][7:11] == [7.5, 1.25, 0.5, 156.25]
    assert json.dumps(table.record["rows"][7][0]) == "7"


def test_ids_that_are_called_as_results_are_shown_as_ids(tmp_path):
    record = with_table(tmp_path / "run", [])
    columns = ["dgmm_row", "row", "log_density", "dgmm_log_density", *COLUMNS[4:]]
    with (tmp_path / "run" / "anomalies" / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, [7, "A", "B", -33.5, *row(0)[4:]]])
    table = anomaly_table(record)
    assert table is not None
    assert table.header[:4] == ("row", "row", "log_density", "log density")
    assert table.rows[0][:4] == ("7", "A", "B", "−33.5")


def test_a_density_that_underflows_and_a_row_without_further_reasons_are_shown(tmp_path):
    only = [5, "", "", "-inf", 1, 0, "inf", "a", 1e200, 0.0, 1.0, "inf", *[""] * 10]
    table = anomaly_table(with_table(tmp_path / "run", [only]))
    assert table is not None
    (cells,) = table.rows
    assert cells[3] == "−∞"
    assert cells[-1] == ""


def test_the_threshold_is_shown_with_where_it_comes_from(tmp_path):
    record = with_table(tmp_path / "run", [row(0)])
    table = flagging_table(record)
    assert table is not None
    (cells,) = table.rows
    assert cells == ("1,234", "−12.5", "0.1 %", "that share of the rows scored here lies below it")
    section = next(one for one in sections(record) if one.anchor == "anomalies")
    assert [one.title for one in section.tables] == ["Flagged rows", "Most anomalous rows"]


def test_a_run_without_any_has_no_section(tmp_path):
    directory = run_directory(tmp_path / "run", mixture(2, 2), 100, outputs={}, anomaly=None)
    section = next(one for one in sections(RunRecord.open(directory)) if one.anchor == "anomalies")
    assert section.is_empty


def test_a_table_that_is_gone_is_left_out(tmp_path):
    record = with_table(tmp_path / "run", [row(0)])
    (record.directory / "anomalies" / "rows.csv").unlink()
    assert anomaly_table(record) is None
