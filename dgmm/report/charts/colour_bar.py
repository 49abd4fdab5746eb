"""What the colours of a heat map mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from dgmm.report.charts.axes import Axes, Box
from dgmm.report.charts.axis import Axis
from dgmm.report.charts.colour_maps import coloured
from dgmm.report.charts.pixels import of_colours
from dgmm.report.charts.svg import PLAIN, Drawing
from dgmm.report.formatting import number

_LEVELS = 128


def colour_bar(drawing: Drawing, box: Box, table: Any, ticks: Sequence[float],
               scale: Literal["linear", "root"] = "linear", label: str = "") -> None:  # fmt: skip
    """A bar of a map's colours, upright in a box, with ticks at its left."""
    y = Axis(ticks[0], ticks[-1], scale=scale, ticks=[(t, number(t, 3)) for t in ticks])
    inner = Box(box.x, box.y + 0.1 * box.height, box.width - 18 * bool(label), 0.8 * box.height)
    axes = Axes(drawing, inner, Axis(0.0, 1.0, ticks=()), y, grid="", shows_x=False)
    levels = np.linspace(1.0, 0.0, _LEVELS)[:, None]
    axes.image(of_colours(np.rint(255 * coloured(table, levels)).astype(np.uint8)), "smooth")
    if label:
        drawing.text(label, box.x + box.width - 6, box.y + box.height / 2, size=PLAIN,
                     anchor="middle", angle=-90)  # fmt: skip
