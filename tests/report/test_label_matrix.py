"""The label matrix of two mixtures on the page: shares, matched clusters, what is left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from page_reading import Page

from dgmm.fitting.comparison.label_matrix import LabelMatrix
from dgmm.report.label_matrix import label_matrix_figure, matched_labels_table
from dgmm.report.run_data import RunRecord
from dgmm.report.sections import sections

COUNTS = np.array([[0, 10, 0, 30], [0, 0, 50, 0], [0, 0, 0, 0]])


def found(counts: Any = COUNTS, noise: tuple[int | None, int | None] = (2, None)) -> dict[str, Any]:
    return dict(LabelMatrix.of(np.asarray(counts), noise).record())


def test_cells_are_shares_of_the_line_and_their_table_has_rows() -> None:
    figure = label_matrix_figure(found())
    assert figure is not None
    written = re.findall(r'<text class="on-\w+"[^>]*>([^<]*)</text>', figure.drawing.body)
    assert [text for text in written if text] == ["100", "0", "0", "0", "0", "75", "25", "0"]
    assert figure.table.header == ("rows", *(f"this run: {j}" for j in (2, 3, 1, 0)))
    assert [row[0] for row in figure.table.rows] == [
        f"earlier model: {name}" for name in (1, 0, "noise")
    ]
    cells = [row[1:] for row in figure.table.record["rows"]]
    assert cells == [[50, 0, 0, 0], [0, 30, 10, 0], [0, 0, 0, 0]]
    assert "11.1 % of the rows are in another cluster" in figure.caption
    assert "A grey line has no rows." in figure.caption


def test_matched_clusters_have_their_rows_and_the_others_no_partner() -> None:
    table = matched_labels_table(found())
    assert table is not None
    assert table.record["rows"] == [
        ["1", "2", 50, 50, 50, 1.0],
        ["0", "3", 40, 30, 30, 0.75],
        ["noise", "—", 0, None, None, None],
        ["—", "1", None, 10, None, None],
        ["—", "0", None, 0, None, None],
    ]
    assert "the adjusted Rand index is" in table.note


def test_of_many_clusters_those_with_most_rows_are_shown_and_the_others_are_a_sum() -> None:
    rng = np.random.default_rng(0)
    counts = np.diag(np.arange(200, 0, -1) * 10) + rng.integers(3, size=(200, 200))
    figure = label_matrix_figure(found(counts, (None, None)))
    assert figure is not None
    shown = np.array([row[1:] for row in figure.table.record["rows"]])
    assert shown.shape == (23, 23)
    assert shown.sum() == counts.sum()
    first, second = (
        [int(name.split(": ")[1]) for name in names[:22]]
        for names in ([row[0] for row in figure.table.rows], figure.table.header[1:])
    )
    assert (
        shown[-1, :22].tolist()
        == (counts[:, second].sum(axis=0) - counts[np.ix_(first, second)].sum(axis=0)).tolist()
    )
    assert (
        shown[:22, -1].tolist()
        == (counts[first].sum(axis=1) - counts[np.ix_(first, second)].sum(axis=1)).tolist()
    )
    assert figure.table.header[-1] == "this run: others"
    order = "matched ones by their rows in the earlier model, then the unmatched"
    assert f"later in this order ({order}): earlier model: 178, this run: 178." in figure.caption
    assert figure.table.shown_note == ""  # every number of the figure is on the page
    table = matched_labels_table(found(counts, (None, None)))
    assert table is not None
    assert len(table.rows) == 128
    assert "144 clusters that come last in this order are left out." in table.note


def test_a_few_clusters_more_than_columns_are_no_sum() -> None:
    figure = label_matrix_figure(found(np.diag(np.arange(1, 24)), (None, None)))
    assert figure is not None
    assert len(figure.table.rows) == 23
    assert "others" not in figure.caption


def test_a_run_without_such_labels_has_no_figure() -> None:
    assert label_matrix_figure({}) is None
    assert matched_labels_table(found(np.zeros((2, 2), np.int64), (None, None))) is None
    (drift,) = [s for s in sections(RunRecord(Path("run"), {})) if s.anchor == "drift"]
    assert drift.is_empty


def test_the_section_of_drift_has_the_matrix(hostile_page: Page) -> None:
    text = hostile_page.text
    assert "Labels of both models" in text
    assert "runs/<b>last</b>" in text
    assert any(t == "figure" and a.get("id") == "label-matrix" for t, a in hostile_page.tags)
