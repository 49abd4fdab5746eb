"""The report's section of classes: evaluation, confusion, calibration, and the chosen share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fabricated_runs import facts
from page_reading import Page

from dgmm.report import write_report
from dgmm.report.class_figures import calibration_figure, wilson
from dgmm.report.classes import classes_section
from dgmm.report.figure import ReportFigure
from dgmm.report.overview import overview
from dgmm.report.run_data import RunRecord
from dgmm.scoring.class_posteriors import class_posteriors
from dgmm.scoring.class_statistics import Evaluation
from dgmm.storage.atomic_files import read_json, write_json

HOSTILE = ("</td><script>alert(1)</script>", "{{ 7 * 7 }}", "x\x1b[31m" + "é" * 1000)
POSTERIORS = np.array([[0.92, 0.05, 0.03], [0.75, 0.15, 0.1], [0.1, 0.65, 0.25], [0.2, 0.3, 0.5]])
TRUTH = np.array([0, 1, 1, 2])


def evaluation(truth: Any = TRUTH) -> dict[str, Any]:
    found = class_posteriors(np.log(POSTERIORS), np.zeros(3))
    return Evaluation.of(found, np.asarray(truth)).record(HOSTILE)


def classification(**changes: Any) -> dict[str, Any]:
    entry = {"rows": 1234, "prior": 0.125, "n_components": 2, "n_parameters": 11}
    entry |= {"outcome": "CONVERGED", "n_iter": 7, "mean_log_likelihood": -1 / 3}
    held_out = {"0.3": -2.5, "0.1": -2.25, "1e-06": None}
    return {
        "classes": [entry | {"name": name} for name in HOSTILE],
        "rows_without_class": 17,
        "folds": 2,
        "all_rows": evaluation([0, 0, 1, 2]),
        "held_out": evaluation(),
        "groups": {"n_groups": 2, "mixed": 0, "held_out": evaluation([0, -1, 1, -1])},
        "shrinkage": {"share": 0.1, "held_out": held_out},
    } | changes


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that classifies, of class names that are markup; its report is written."""
    folder = tmp_path_factory.mktemp("run")
    write_json(folder / "run.json", facts(classification=classification()))
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def tables(run: Path) -> dict[str, dict[str, Any]]:
    """Those of the section in report.json, by title."""
    sections: Any = read_json(run / "report.json")["sections"]
    (own,) = [one for one in sections if one["anchor"] == "classes"]
    drawn = [figure["table"] for figure in own["figures"]]
    return {table["title"]: table for table in (*drawn, *own["tables"])}


def test_accuracy_and_log_loss_stand_unrounded_in_the_numbers_held_out_ones_first(
    tables: dict[str, dict[str, Any]],
) -> None:
    rows = tables["Evaluation"]["rows"]
    assert [row[0] for row in rows] == [
        *("held-out rows", "all rows, fitted ones included", "held-out groups")
    ]
    assert rows[0][1:3] == [4, 0.75]
    assert rows[0][3] == pytest.approx(-np.log([0.92, 0.15, 0.65, 0.5]).mean(), rel=1e-12)
    assert rows[0][4] == pytest.approx((0.08 + 0.75 + 0.35 + 0.5) / 4, rel=1e-12)
    assert [row[1:3] for row in rows[1:]] == [[4, 1.0], [2, 1.0]]


def test_confusion_and_calibration_are_of_held_out_rows_and_groups(
    tables: dict[str, dict[str, Any]],
) -> None:
    confusion = tables["Confusion matrix of held-out rows"]
    assert [row[1:] for row in confusion["rows"]] == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    groups = tables["Confusion matrix of held-out groups"]
    assert [row[1:] for row in groups["rows"]] == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    lines = tables["Calibration, held-out rows"]["rows"]
    assert [line[0] for line in lines] == ["0.5 to 0.6", "0.6 to 0.7", "0.7 to 0.8", "0.9 to 1"]
    assert [line[1] for line in lines] == [1, 1, 1, 1]
    assert [line[2] for line in lines] == pytest.approx([0.5, 0.65, 0.75, 0.92], rel=1e-12)
    assert [line[3] for line in lines] == [1.0, 1.0, 0.0, 1.0]


def test_each_class_has_its_rows_prior_and_share_of_right_predictions(
    tables: dict[str, dict[str, Any]],
) -> None:
    rows = tables["Classes"]["rows"]
    assert [row[1:3] for row in rows] == [[1234, 0.125]] * 3
    assert [row[6] for row in rows] == [-1 / 3] * 3
    assert [row[7] for row in rows] == [1.0, 0.5, 1.0]


def test_the_share_that_was_chosen_stands_beside_those_that_were_tried(
    tables: dict[str, dict[str, Any]], run: Path
) -> None:
    assert tables["Regularisation"]["rows"] == [[0.3, -2.5], [0.1, -2.25], [1e-6, None]]
    assert "0.1 of each feature's robust variance is added" in Page(run / "report.html").text


def test_the_page_has_the_tables_of_its_numbers_and_names_as_text(
    tables: dict[str, dict[str, Any]], run: Path
) -> None:
    page = Page(run / "report.html")  # which raises where a name closes a tag
    shown = {a["aria-label"] for a in page.attributes("div") if a.get("class") == "scroll"}
    assert set(tables) <= shown
    assert page.attributes("script") == []
    assert "</td><script>alert(1)</script>" in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "\x1b" not in page.source
    assert "é" * 100 not in page.source
    assert "17 rows of no known class were predicted, and not fitted." in page.text


def test_without_folds_the_page_warns_of_fitted_rows_and_without_classes_it_has_no_section() -> (
    None
):
    def section(own: Any) -> Any:
        return classes_section(RunRecord(Path("run"), {"classification": own}))

    absent = {k: v for k, v in classification().items() if k != "held_out"}
    assert "classes.folds holds rows out" in section(absent).tables[0].note
    assert "classes.folds" not in section(classification()).tables[0].note
    assert section({}).is_empty


def test_a_matrix_of_many_classes_is_cut_and_what_is_left_out_is_counted() -> None:
    n = 40
    found = class_posteriors(np.log(np.eye(n) + 1e-3), np.zeros(n))
    names = [f"class {i}" for i in range(n)]
    own = {"held_out": Evaluation.of(found, np.arange(n)).record(names)}
    section = classes_section(RunRecord(Path("run"), {"classification": own}))
    (confusion,) = [f for f in section.figures if f.name == "confusion"]
    assert (len(confusion.table.rows), len(confusion.table.header)) == (30, 31)
    assert "10 more classes are in run.json" in confusion.caption


def figures(own: dict[str, Any]) -> dict[str, ReportFigure]:
    section = classes_section(RunRecord(Path("run"), {"classification": own}))
    return {figure.name: figure for figure in section.figures}


def test_the_confusion_matrix_is_drawn_as_shares_of_each_class() -> None:
    counts = [[30, 10, 0], [0, 50, 0], [0, 0, 0]]
    own = {"rows": 90, "names": ["a", "b", "c"], "confusion": counts}
    figure = figures({"held_out": own})["confusion"]
    cells = re.findall(r'class="on-(dark|light)"[^>]*>(\d*)<', figure.drawing.body)
    shares = [("dark", "75"), ("light", "25"), ("light", "0"),
              ("light", "0"), ("dark", "100"), ("light", "0")]  # fmt: skip
    assert cells == [*shares, *[("light", "")] * 3]
    assert "A grey line has nothing to compare." in figure.caption
    assert figure.alt == "Heat map. Most confused: 25 % of a are predicted as b."


def test_calibration_is_drawn_as_accuracy_against_posterior_with_its_interval() -> None:
    bins = [
        {"low": 0.4, "high": 0.5, "rows": 400, "mean_posterior": 0.45, "accuracy": 0.5},
        {"low": 0.9, "high": 1.0, "rows": 100, "mean_posterior": 0.95, "accuracy": 0.9},
        {"low": 0.0, "high": 0.1, "rows": 0, "mean_posterior": None, "accuracy": None},
    ]
    own = {"rows": 500, "names": ["a"], "confusion": [[1]], "calibration": bins}
    figure = figures({"held_out": own})["calibration"]
    body = figure.drawing.body
    points = [tuple(map(float, found)) for found in
              re.findall(r'<circle class="dot one" cx="([\d.]+)" cy="([\d.]+)"', body)]  # fmt: skip
    (diagonal,) = re.findall(r'class="line dashed soft" d="M(\S+) (\S+)L(\S+) (\S+)"', body)
    x0, y0, x1, y1 = map(float, diagonal)  # from (0, 0) to (1, 1)
    shares = [((x - x0) / (x1 - x0), (y - y0) / (y1 - y0)) for x, y in points]
    np.testing.assert_allclose(shares, [[0.45, 0.5], [0.95, 0.9]], atol=1e-3)
    ends = [float(y) for line in re.findall(r'class="line one" d="M(\S+) (\S+)L\1 (\S+)"', body)
            for y in line[1:]]  # fmt: skip
    intervals = [(y - y0) / (y1 - y0) for y in ends]
    np.testing.assert_allclose(intervals, [*wilson(0.5, 400), *wilson(0.9, 100)], atol=1e-3)
    assert body.count('class="bar"') == 2


def test_intervals_of_shares_are_those_of_wilson() -> None:
    # Newcombe, Stat. Med. 17, 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for right, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605),
                                (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)):  # fmt: skip
        np.testing.assert_allclose(wilson(right / n, n), (low, high), atol=5e-5)


def test_accuracy_and_log_loss_of_held_out_rows_stand_at_the_top() -> None:
    own = {"held_out": {"accuracy": 0.75, "log_loss": 0.5}, "all_rows": {"accuracy": 1.0}}
    shown = dict(overview(RunRecord(Path("run"), {"classification": own})).figures)
    assert (shown["accuracy"], shown["log loss"]) == ("0.75", "0.5")
    job = {"model": {"n_components": 4}}
    of_classes = overview(RunRecord(Path("run"), {"classification": own, "job": job})).figures
    assert dict(of_classes)["components of each class"] == "4"
    assert dict(overview(RunRecord(Path("run"), {"job": job})).figures)["components"] == "4"


@pytest.mark.parametrize(
    ("words", "is_said"), [("held-out rows", True), ("held-out groups", False)]
)
def test_rows_of_one_group_are_not_independent_and_groups_are(words: str, is_said: bool) -> None:
    figure = calibration_figure(words, evaluation())
    assert isinstance(figure, ReportFigure)
    assert ("those of one group are not" in figure.caption) is is_said
