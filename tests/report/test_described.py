"""Cross tables of described columns, from the counts that run.json has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fabricated_runs import mixture, run_directory
from page_reading import Page

from dgmm.report import write_report
from dgmm.report.described import described_tables
from dgmm.report.run_data import RunRecord


def record(**described: Any) -> RunRecord:
    return RunRecord(Path(), {"delivered": {"table": {"described": described}}})


def test_a_value_has_its_rows_and_their_shares_by_component():
    found = {"values": ["UA", ""], "counts": [[30, 5, 5], [0, 4, 0]], "other_values": 0}
    (table,) = described_tables(record(carrier=found | {"other_counts": []}))
    assert table.title == "carrier by component"
    assert table.header == ("carrier", "rows", "component 0", "component 1", "no label")
    assert table.rows == [
        ("UA", "40", "30 (75 %)", "5 (12.5 %)", "5 (12.5 %)"),
        ("(empty)", "4", "0", "4 (100 %)", "0"),
    ]


def test_values_and_components_beyond_those_listed_are_summed():
    counts = [[*range(20), 1], [0] * 19 + [3, 0]]
    found = {"values": ["a", "b"], "counts": counts, "other_values": 7, "other_counts": [2] * 21}
    (table,) = described_tables(record(v=found))
    assert table.header[2:] == (
        *(f"component {k}" for k in range(4, 20)),
        "other components",
        "no label",
    )
    assert table.rows[0][-2:] == ("6 (3.14 %)", "1 (0.524 %)")
    assert table.rows[2][:2] == ("7 other values", "42")


def test_a_column_of_too_many_values_is_said_to_be_not_counted():
    (table,) = described_tables(record(v={"too_many_values": 10_000}))
    assert table.rows == [("more than 10,000 different values: not counted",)]


def test_the_page_has_the_tables_and_shows_markup_literally(tmp_path):
    found = {"values": ["<b>bold</b>"], "counts": [[1, 2, 3, 4]], "other_values": 0}
    delivered = {"table": {"described": {"<i>kind": found | {"other_counts": []}}}}
    directory = run_directory(tmp_path / "run", mixture(3, 2), delivered=delivered)
    write_report(directory)
    page = Page(directory / "report.html")
    assert "Described columns" in page.text
    assert "<i>kind by component" in page.text
    assert "<b>bold</b> 10 1 (10 %) 2 (20 %) 3 (30 %) 4 (40 %)" in page.text


def test_a_run_without_described_columns_has_no_such_section(tmp_path):
    directory = run_directory(tmp_path / "run", mixture(3, 2))
    write_report(directory)
    assert "Described columns" not in Page(directory / "report.html").text


def test_of_a_job_that_classifies_labels_are_classes_and_theirs_is_no_table():
    one = {"values": ["wet"], "counts": [[3, 1, 0]], "other_values": 0, "other_counts": []}
    described = {"weather": one, "species": one, "plot": one}
    data = {"classes": "species", "groups": "plot"}
    classes = [{"name": "<ash>"}, {"name": 7}]
    record = {
        "job": {"data": data},
        "delivered": {"table": {"described": described}},
        "classification": {"classes": classes},
    }
    (table,) = described_tables(RunRecord(Path(), record))
    assert table.title == "weather by class"
    assert table.header == ("weather", "rows", "<ash>", "7", "no label")
    assert table.rows == [("wet", "4", "3 (75 %)", "1 (25 %)", "0")]
