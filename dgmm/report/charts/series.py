"""Lines that differ by colour, marker and dashes: on paper and to any eyes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dgmm.report.charts.axes import Axes
from dgmm.report.charts.svg import Drawing, text_width

#: Of a legend: the line before a name, and what is between two entries.
_SAMPLE, _GAP = 30.0, 22.0


@dataclass(frozen=True, slots=True)
class Series:
    """How one line is drawn.

    Parameters
    ----------
    css : str
        Its colour and dashes, classes of figure.css.
    corners : int
        Of its marker; 0 for a circle.
    turn : float
        Of the marker, degrees.
    is_hollow : bool
        Whether the marker is drawn by its outline alone.
    """

    css: str
    corners: int
    turn: float = 0.0
    is_hollow: bool = False

    def line(self, axes: Axes, x: Sequence[float], y: Sequence[float], moved: float = 0.0) -> None:
        """A line with a marker at each value, moved by pixels to the right."""
        xs, ys = axes.at(x, y)
        points = list(zip(xs + moved, ys, strict=True))
        axes.begin()
        if len(points) > 1:
            axes.drawing.path(points, f"line dashes {self.css}")
        for cx, cy in points:
            self.marker(axes.drawing, float(cx), float(cy))
        axes.drawing.end()

    def marker(self, drawing: Drawing, x: float, y: float, radius: float = 4.0) -> None:
        """The marker about a point."""
        css = f"{'hollow' if self.is_hollow else 'dot'} {self.css}"
        if not self.corners:
            drawing.put("circle", css, cx=x, cy=y, r=radius)
            return
        # All have about the area of the circle.
        long = radius * math.sqrt(
            2 * math.pi / (self.corners * math.sin(2 * math.pi / self.corners))
        )
        angles = np.radians(self.turn + 360.0 * np.arange(self.corners) / self.corners - 90.0)
        corners = [(x + long * math.cos(a), y + long * math.sin(a)) for a in angles]
        drawing.path(corners, css, closed=True)


#: One for each family in its order; a seventh looks like the first again.
SERIES = (
    Series("one", 0),
    Series("two", 4, 45.0),
    Series("three", 3),
    Series("four", 4),
    Series("five", 3, 180.0),
    Series("six", 0, is_hollow=True),
)


def series(place: int) -> Series:
    """The one at a place."""
    return SERIES[place % len(SERIES)]


def series_legend(drawing: Drawing, names: Sequence[str], x: float, y: float) -> None:
    """Names behind their lines, from (x, y) to the right; a new line of them where they need it."""
    left = x
    for i, name in enumerate(names):
        width = _SAMPLE + 6 + text_width(name)
        if i and left + width > drawing.width:
            left, y = x, y + 18
        one = series(i)
        drawing.path([(left, y), (left + _SAMPLE, y)], f"line dashes {one.css}")
        one.marker(drawing, left + _SAMPLE / 2, y)
        drawing.text(name, left + _SAMPLE + 6, y + 4)
        left += width + _GAP
