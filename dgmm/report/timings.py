"""The figure of timings: where the run's time went."""

from __future__ import annotations

import math
from typing import Any

from dgmm.report.figure import OmittedFigure, ReportFigure, new_figure, render
from dgmm.report.formatting import duration, literal

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
    figure = new_figure(9.0, 0.9 + 0.28 * len(seconds))
    axes = figure.subplots()
    places = range(len(seconds))
    axes.barh(places, list(seconds.values()), height=0.7, color="#3e7cb1")
    axes.set_yticks(places, [literal(_words(name), 28) for name in seconds])
    axes.invert_yaxis()
    axes.set(xlabel="seconds")
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.grid(visible=True, axis="x")
    for place, value in zip(places, seconds.values(), strict=True):
        axes.annotate(
            duration(value), (value, place), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=8,
        )  # fmt: skip
    slowest = max(seconds, key=lambda name: seconds[name])
    caption = "Wall-clock time of each stage, all attempts together."
    alt = (
        f"Bars of stage times; the longest is {_words(slowest)} with {duration(seconds[slowest])}."
    )
    return render(figure, "timings", title=_TITLE, caption=caption, alt=alt)


def _words(stage: str) -> str:
    return _SHOWN.get(stage, stage.replace("_", " "))
