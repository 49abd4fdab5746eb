"""The figure of component weights: bars, heaviest first."""

from __future__ import annotations

import numpy as np

from dgmm.report.charts.axes import Axes, Box
from dgmm.report.charts.axis import Axis
from dgmm.report.charts.svg import Drawing
from dgmm.report.components import Components
from dgmm.report.figure import (
    PAGE_WIDTH,
    ReportFigure,
    labelled_every_note,
    sentence,
    tick_positions,
)
from dgmm.report.formatting import number, percent
from dgmm.report.table import Table

_MOST_BARS = 128
_MOST_LABELS = 64
_MOST_NUMBERS = 20


def weights(components: Components) -> ReportFigure:
    """Component weights as sorted bars in the components' colours."""
    shown = components.heaviest[:_MOST_BARS]
    heaviest, lightest = components.heaviest[0], components.heaviest[-1]
    caption = sentence(
        "Share of the rows that each component explains, heaviest first.",
        _omitted(components, shown.size),
        labelled_every_note(shown.size, _MOST_LABELS, "component"),
        f"The lightest is component {lightest} "
        f"with {percent(float(components.weights[lightest]))}.",
    )
    alt = (
        f"Bars of {shown.size} component weights; component {heaviest} is the heaviest "
        f"with {percent(float(components.weights[heaviest]))}."
    )
    rows = [(number(int(j)), percent(float(components.weights[j]))) for j in shown]
    table = Table("Weights of the components", ("component", "weight"), rows, frozenset({0, 1}))
    return ReportFigure(
        "weights", "Component weights", caption, alt, _drawing(components, shown), table
    )


def _drawing(components: Components, shown: np.ndarray) -> Drawing:
    values = 100 * components.weights[shown]
    drawing = Drawing(PAGE_WIDTH, 300)
    ticks = [(float(i), str(shown[i])) for i in tick_positions(shown.size, _MOST_LABELS)]
    axes = Axes(
        drawing,
        Box(0, 0, drawing.width, drawing.height),
        Axis(-0.8, max(shown.size, 4) - 0.2, "component", ticks=ticks),
        Axis(0.0, 1.12 * max(float(values.max()), 1e-9), "weight [%]"),
        is_turned=shown.size > 40,
    )
    places = np.arange(shown.size)
    colours = [components.hexadecimal[j] for j in shown]
    zeros = np.zeros(shown.size)
    axes.rectangles(places - 0.41, places + 0.41, zeros, values, "own area", colours)
    if shown.size <= _MOST_NUMBERS:
        for place, value in enumerate(values):
            axes.note(f"{value:.3g}", place, value, dy=-4, anchor="middle")
    return drawing


def _omitted(components: Components, shown: int) -> str:
    rest = components.heaviest[shown:]
    if not rest.size:
        return ""
    share = percent(float(components.weights[rest].sum()))
    return f"Only the {shown} heaviest are drawn; the other {rest.size:,} hold {share} together."
