"""report.json: the tables of the page as numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fabricated_runs import mixture, run_directory
from page_reading import Page

from dgmm.report import write_report
from dgmm.report.formatting import Shown, duration, number, percent, size, value_of
from dgmm.report.run_data import RunRecord
from dgmm.report.sections import sections
from dgmm.report.table import Table
from dgmm.storage.atomic_files import read_json


def numbers(run: Path) -> dict[str, Any]:
    found = read_json(run / "report.json")
    assert isinstance(found, dict)
    return found


def tables(found: dict[str, Any]) -> list[dict[str, Any]]:
    figures = [f["table"] for s in found["sections"] for f in s["figures"] if f["table"]]
    return figures + [table for s in found["sections"] for table in s["tables"]]


def table(found: dict[str, Any], title: str) -> dict[str, Any]:
    (one,) = [t for t in tables(found) if t["title"] == title]
    return one


def test_what_a_reader_sees_keeps_the_value_it_was_made_of() -> None:
    shown = (number(-1 / 3), percent(0.0123456789), size(1500), duration(0.25), number(None))
    assert shown == ("−0.33333", "1.23 %", "1.5 kB", "250 ms", "—")
    assert [value_of(one) for one in shown] == [-1 / 3, 0.0123456789, 1500, 0.25, None]
    assert all(isinstance(one, Shown) for one in shown)
    assert value_of("words") == "words"


def test_numbers_of_the_tables_stand_unrounded_beside_the_page(hostile_run: Path) -> None:
    found = numbers(hostile_run)
    criteria = table(found, "Criteria")
    assert criteria["columns"] == ["", "value", "meaning"]
    assert ["BIC", 1234999.123] in [row[:2] for row in criteria["rows"]]
    weights = [row[1] for row in table(found, "Components")["rows"]]
    assert sum(weights) == pytest.approx(1.0, abs=1e-12)
    assert found["summary"]["mean log-likelihood"] == -3.14159265358979
    assert found["warnings"] == ["<script>alert('warning')</script>"]


def test_page_and_numbers_have_the_same_sections_figures_and_tables(
    hostile_run: Path, hostile_page: Page
) -> None:
    found = numbers(hostile_run)
    sections = [a["aria-labelledby"] for a in hostile_page.attributes("section")]
    assert [s["anchor"] for s in found["sections"]] == [
        anchor for anchor in sections if anchor not in {"warnings", "omitted"}
    ]
    figures = [a["id"] for a in hostile_page.attributes("figure")]
    assert [f["name"] for s in found["sections"] for f in s["figures"]] == figures
    labels = {a["aria-label"] for a in hostile_page.attributes("div") if a.get("class") == "scroll"}
    assert labels == {one["title"] for one in tables(found)}


def test_a_number_that_json_has_no_word_for_is_spelled_out(tmp_path: Path) -> None:
    run = run_directory(tmp_path / "run", mixture(2, 2), 200, 50, log_likelihood="-inf")
    write_report(run)
    text = (run / "report.json").read_text()
    json.loads(text, parse_constant=pytest.fail)
    rows = dict(row[:2] for row in table(numbers(run), "Criteria")["rows"])
    assert rows["log-likelihood"] == "-inf"


def test_a_long_and_wide_table_is_whole_in_the_numbers_and_cut_on_the_page() -> None:
    header = tuple(f"c{i}" for i in range(30))
    one = Table("Wide", header, [tuple(number(i) for i in range(30))] * 300, note="Noted.")
    assert len(one.shown_rows) == 200
    assert {len(row) for row in one.shown_rows} == {24}
    assert one.shown_note == "Noted. 100 more rows and 6 more columns are in report.json."
    assert [len(row) for row in one.record["rows"]] == [30] * 300


def test_columns_of_numbers_hold_numbers(hostile_run: Path, image_run: Path) -> None:
    for run in (hostile_run, image_run):
        record = RunRecord.open(run)
        for section in sections(record):
            for one in (*(figure.table for figure in section.figures), *section.tables):
                cells = [value_of(row[i]) for row in one.rows for i in one.numeric]
                assert all(isinstance(c, int | float | list | None) for c in cells), one.title
