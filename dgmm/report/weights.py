"""The figure of component weights: bars, heaviest first."""

from __future__ import annotations

import numpy as np

from dgmm.report.components import Components
from dgmm.report.figure import (
    ReportFigure,
    labelled_every_note,
    new_figure,
    render,
    sentence,
    tick_positions,
)
from dgmm.report.formatting import percent

_MOST_BARS = 128
_MOST_LABELS = 64
_MOST_NUMBERS = 20


def weights(components: Components) -> ReportFigure:
    """Component weights as sorted bars in the components' colours."""
    shown = components.heaviest[:_MOST_BARS]
    values = 100 * components.weights[shown]
    figure = new_figure(9.0, 3.2)
    axes = figure.subplots()
    places = np.arange(shown.size)
    axes.bar(places, values, width=0.82, color=components.colours[shown])
    ticks = list(tick_positions(shown.size, _MOST_LABELS))
    axes.set_xticks(ticks, [str(shown[i]) for i in ticks], fontsize=8 if shown.size <= 32 else 6.5)
    axes.set(xlabel="component", ylabel="weight [%]", xlim=(-0.8, max(shown.size, 4) - 0.2))
    axes.grid(visible=True, axis="y")
    axes.margins(y=0.12)
    if shown.size <= _MOST_NUMBERS:
        for place, value in zip(places, values, strict=True):
            axes.annotate(
                f"{value:.3g}", (place, value), xytext=(0, 3), textcoords="offset points",
                ha="center", fontsize=8,
            )  # fmt: skip
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
    return render(figure, "weights", title="Component weights", caption=caption, alt=alt)


def _omitted(components: Components, shown: int) -> str:
    rest = components.heaviest[shown:]
    if not rest.size:
        return ""
    share = percent(float(components.weights[rest].sum()))
    return f"Only the {shown} heaviest are drawn; the other {rest.size:,} hold {share} together."
