"""Curves of several models: told apart without colour, with their spread, and near the best."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dgmm.report.charts.axes import Axes, Box
from dgmm.report.charts.axis import Axis
from dgmm.report.charts.heat_map import heat_map
from dgmm.report.charts.series import SERIES, series, series_legend
from dgmm.report.charts.svg import Drawing
from dgmm.report.criteria_curves import selection_figure
from dgmm.report.figure import ReportFigure
from dgmm.report.held_out import held_out_figures
from dgmm.report.model_curves import Level, Panel, draw_distances, draw_levels, size_axis
from dgmm.report.run_data import RunRecord

FAMILIES = ("full", "tied", "diag", "spherical", "tied_diag", "tied_spherical")
STYLE = Path(__file__).resolve().parents[2] / "dgmm" / "report" / "templates" / "figure.css"
N = 1000.0


def run(**changes: Any) -> RunRecord:
    """Six families of 2, 4 and 8 components; full 8 has the lowest BIC and was chosen."""
    models = [
        {"n_components": k, "covariance_type": family, "is_sound": True,
         "mean_log_likelihood": -10.0 - i - 1 / k, "bic": 2 * N * (10 + i + 1 / k),
         "aic": 2 * N * (9.9 + i + 1 / k), "icl": 2 * N * (10.2 + i + 1 / k)}
        for i, family in enumerate(FAMILIES)
        for k in (2, 4, 8)
    ]  # fmt: skip
    chosen = {"n_components": 8, "covariance_type": "full"}
    own = {"models": models, "rows": N, "chosen": chosen, "tolerance": 0.3, **changes}
    restarts = [
        {"n_components": 4, "covariance_type": "tied", "outcome": outcome,
         "mean_log_likelihood": level}
        for level, outcome in ((-11.25, "CONVERGED"), (-11.75, "MAX_ITER_REACHED"),
                               (-99.0, "COMPONENT_COLLAPSED"))
    ]  # fmt: skip
    return RunRecord(Path("run"), {"selection": own, "restarts": restarts})


def drawn(record: RunRecord) -> ReportFigure:
    figure = selection_figure(record)
    assert isinstance(figure, ReportFigure)
    return figure


def test_lines_of_six_families_differ_by_marker_and_by_dashes_without_their_colours() -> None:
    sheet = STYLE.read_text()
    markers, dashes = set(), set()
    for one in SERIES:
        drawing = Drawing(10, 10)
        one.marker(drawing, 5.0, 5.0)
        markers.add(drawing.body.replace(one.css, ""))
        found = re.search(rf"\.dashes\.{one.css} {{ stroke-dasharray: ([^;]+);", sheet)
        dashes.add(found.group(1) if found else "solid")
    assert len(markers) == len(dashes) == len(SERIES) == len(FAMILIES)
    assert series(len(SERIES)) == SERIES[0]


def test_a_legend_that_is_too_long_goes_on_in_a_second_line() -> None:
    drawing = Drawing(300, 60)
    series_legend(drawing, [f"family {i}" for i in range(6)], 10.0, 10.0)
    places = re.findall(r'<text x="([\d.]+)" y="([\d.]+)"', drawing.body)
    assert len({y for _, y in places}) > 1
    assert max(float(x) for x, _ in places) < 300


def test_bars_reach_from_the_best_to_the_worst_usable_start() -> None:
    figure = drawn(run())
    ranges = {(row[0], row[1]): row[5] for row in figure.table.rows}
    assert ranges["tied", "4"] == "0.5"  # nats per row, and not 87.75 of the collapsed one
    assert set(ranges.values()) == {"0", "0.5"}
    # One bar of BIC, one of AIC, one of the distance, each with two caps; none of ICL.
    assert len(re.findall(r'<path class="line two" d=', figure.drawing.body)) == 9
    assert "Bars of BIC and AIC reach from the best to the worst" in figure.caption


def test_without_other_starts_the_caption_names_the_key_that_makes_some() -> None:
    record = RunRecord(Path("run"), {"selection": run().section("selection")})
    assert "model.n_init: 5 shows how far starts differ" in drawn(record).caption


def test_the_best_model_lies_at_zero_and_the_tolerance_is_a_line() -> None:
    curves = {"full": [Level(2, 0.5, 0.5, 0.5), Level(4, 0.0, 0.0, 0.0)]}
    drawing = Drawing(400, 300)
    chosen = {"n_components": 4, "covariance_type": "full"}
    draw_distances(Panel(drawing, Box(0, 0, 400, 300), "nats", ""), curves, chosen, 0.01)
    heights = {text: float(y) for y, text in
               re.findall(r'y="([\d.]+)" font-size="11" text-anchor="end"[^>]*>([^<]+)<',
                          drawing.body)}  # fmt: skip
    marks = [float(y) for y in re.findall(r'class="dot one" cx="[\d.]+" cy="([\d.]+)"',
                                          drawing.body)]  # fmt: skip
    (line,) = re.findall(r'class="line dashed soft" d="M\S+ (\S+)L', drawing.body)
    assert marks[1] == pytest.approx(heights["0"] - 3.8, abs=0.02)
    assert float(line) == pytest.approx(heights["0.01"] - 3.8, abs=0.02)
    assert heights["1"] < marks[0] + 3.8 < heights["0.1"]
    (ring,) = re.findall(r'class="ring accent" cx="[\d.]+" cy="([\d.]+)"', drawing.body)
    assert float(ring) == marks[1]


def test_a_model_that_ties_with_the_best_is_drawn_and_equal_models_make_an_axis() -> None:
    same = [Level(k, 0.0, 0.0, 0.0) for k in (1, 2)]
    drawing = Drawing(400, 300)
    draw_distances(Panel(drawing, Box(0, 0, 400, 300), "nats", ""), {"full": same}, {})
    assert drawing.body.count('class="dot one"') == 2


def test_held_out_models_have_one_standard_error_each_on_both_axes() -> None:
    held_out = [
        {"n_components": k, "covariance_type": "full", "mean_log_likelihood": -10.0 - 1 / k,
         "below_best": 1 / k, "standard_error": 0.1, "by_fold": []}
        for k in (2, 4)
    ] + [{"n_components": 8, "covariance_type": "full", "mean_log_likelihood": -10.0,
          "below_best": 0.0, "standard_error": 0.0, "by_fold": []}]  # fmt: skip
    (figure,) = held_out_figures(run(held_out={"models": held_out, "rows": [1, 1]}))
    assert isinstance(figure, ReportFigure)
    assert [row[3] for row in figure.table.rows] == ["0.1", "0.1", "0"]
    assert len(re.findall(r'<path class="line one" d=', figure.drawing.body)) == 2 * 2 * 3


def test_families_of_one_size_stand_beside_each_other() -> None:
    level = Level(4, 1.0, 0.5, 1.5)
    drawing = Drawing(400, 300)
    draw_levels(Panel(drawing, Box(0, 0, 400, 300), "", ""), {"full": [level], "tied": [level]}, {})
    bars = re.findall(r'class="line (?:one|two)" d="M(\S+) (\S+)L(\S+) (\S+)"', drawing.body)
    upright = [float(x0) for x0, _, x1, _ in bars if x0 == x1]
    assert len(upright) == 2
    assert abs(upright[0] - upright[1]) >= 5


def test_sizes_that_grow_by_a_factor_have_a_logarithmic_axis() -> None:
    assert size_axis([2, 4, 8, 16, 32]).scale == "log"
    assert size_axis(range(1, 9)).scale == "linear"
    assert [text for _, text in size_axis([2, 4, 8, 16, 32]).shown] == ["2", "4", "8", "16", "32"]
    assert size_axis([3]).low < 3 < size_axis([3]).high


def test_cells_of_a_heat_map_are_squares_in_the_order_of_their_names() -> None:
    shares = np.array([[1.0, 0.0, np.nan], [0.25, 0.75, 0.0]])
    texts = [["a", "b", ""], ["c", "d", "e"]]
    drawing = heat_map(shares, ["one", "two"], ["x", "y", "z"], texts=texts)
    (image, _) = re.findall(r'<image[^>]* width="(\S+)" height="(\S+)"', drawing.body)
    assert float(image[0]) / 3 == float(image[1]) / 2
    cells = {text: (float(x), float(y)) for x, y, text in
             re.findall(r'x="(\S+)" y="(\S+)"[^>]*>([a-e])<', drawing.body)}  # fmt: skip
    assert cells["a"][0] < cells["b"][0]
    assert cells["a"][1] == cells["b"][1] < cells["c"][1]


def test_a_whisker_has_caps_at_both_ends() -> None:
    drawing = Drawing(100, 100)
    axes = Axes(drawing, Box(0, 0, 100, 100), Axis(0, 1), Axis(0, 1), inner=Box(0, 0, 100, 100))
    axes.whisker(0.5, 0.2, 0.6, "line one", moved=3.0)
    lines = re.findall(r'class="line one" d="M(\S+) (\S+)L(\S+) (\S+)"', drawing.body)
    assert lines == [("53", "80", "53", "40"), ("49", "80", "57", "80"), ("49", "40", "57", "40")]
