"""The figure of timings: where the run's time went."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dgmm.report.charts.axes import Axes, Box
from dgmm.report.charts.axis import Axis
from dgmm.report.charts.svg import Drawing
from dgmm.report.figure import PAGE_WIDTH, OmittedFigure, ReportFigure
from dgmm.report.formatting import duration, shortened
from dgmm.report.table import Table

_TITLE = "Where the time went"
#: Stages whose names in run.json are shorter than a reader needs.
_SHOWN = {"sample": "EM on a sample", "em": "EM on all rows"}


def timings(stages: dict[str, Any]) -> ReportFigure | OmittedFigure:
    """Seconds of each stage as bars, in the order in which they ran."""
    seconds = {
        name: float(value)
        for name, value in stages.items()
        if isinstance(value, int | float) and math.isfinite(value) and value >= 0
    }
    if not seconds:
        return OmittedFigure(_TITLE, "run.json holds no timings")
    slowest = max(seconds, key=lambda name: seconds[name])
    rows = [(_words(name), duration(value)) for name, value in seconds.items()]
    return ReportFigure(
        "timings",
        _TITLE,
        "Wall-clock time of each stage, all attempts together.",
        f"Bars of stage times; the longest is {_words(slowest)} with {duration(seconds[slowest])}.",
        _drawing(seconds),
        Table("Time of each stage", ("stage", "time"), rows, frozenset({1})),
    )


def _drawing(seconds: dict[str, float]) -> Drawing:
    count, values = len(seconds), np.array(list(seconds.values()))
    drawing = Drawing(PAGE_WIDTH, 60 + 27 * count)
    ticks = [(float(i), _words(name)) for i, name in enumerate(seconds)]
    x = Axis(0.0, 1.12 * max(float(values.max()), 1e-9), "seconds")
    axes = Axes(drawing, Box(0, 0, drawing.width, drawing.height), x,
                Axis(count - 0.4, -0.6, ticks=ticks), grid="x")  # fmt: skip
    places = np.arange(count)
    axes.rectangles(np.zeros(count), values, places + 0.35, places - 0.35, "bar")
    for place, value in enumerate(values):
        axes.note(duration(float(value)), value, place, dx=5, dy=4)
    return drawing


def _words(stage: str) -> str:
    return _SHOWN.get(stage, shortened(stage.replace("_", " "), 28))
