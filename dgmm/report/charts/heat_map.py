"""A heat map of shares in [0, 1]: square cells with names, numbers where they fit, a colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dgmm.report.charts.axes import Axes, Box, label_room
from dgmm.report.charts.axis import Axis
from dgmm.report.charts.colour_bar import colour_bar
from dgmm.report.charts.colour_maps import BLUES, coloured
from dgmm.report.charts.pixels import of_colours
from dgmm.report.charts.svg import Drawing, text_width

Texts = Sequence[Sequence[str]]

#: Side of a cell, CSS pixels, and of all cells together at most.
_LEAST_CELL, _CELL, _MOST_SIDE = 2.0, 56.0, 560.0
#: Cells that numbers fit into.
_NUMBERED_CELL = 30.0
_BAR_WIDTH = 90.0
#: Grey of what is not known.
_UNKNOWN = 210.0
#: A place on the map from which on it is too dark for dark letters.
_DARK = 0.55
_TICKS = {"linear": (0, 0.25, 0.5, 0.75, 1), "root": (0, 0.01, 0.1, 0.25, 0.5, 1)}


def heat_map(
    shares: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    row_label: str = "",
    column_label: str = "",
    texts: Texts | None = None,
    scale: Literal["linear", "root"] = "linear",
    bar_label: str = "",
    every: int = 1,
) -> Drawing:
    """The drawing; what is not known (NaN) is grey.

    Parameters
    ----------
    shares : ndarray (r, c)
        Values below 0 have the colour of 0.
    rows, columns : sequence of str
        Names, from the top and from the left.
    row_label, column_label, bar_label : str
        What rows, columns and colours are.
    texts : sequence of sequences of str or None
        What the cells say, where they are large enough.
    scale : {"linear", "root"}
        root: colours follow the square root.
    every : int
        Names that are drawn: every so many.
    """
    n_rows, n_columns = shares.shape
    cell = float(np.clip(_MOST_SIDE / max(n_rows, n_columns), _LEAST_CELL, _CELL))
    x = Axis(-0.5, n_columns - 0.5, column_label, ticks=_ticks(columns, every))
    y = Axis(n_rows - 0.5, -0.5, row_label, ticks=_ticks(rows, every))
    is_turned = max(map(text_width, columns), default=0.0) > cell * every - 6
    left, bottom = label_room(x, y, is_turned=is_turned)
    width, height = left + cell * n_columns + 8, 6 + cell * n_rows + bottom
    drawing = Drawing(width + _BAR_WIDTH, height)
    inner = Box(left, 6, cell * n_columns, cell * n_rows)
    axes = Axes(drawing, Box(0, 0, width, height), x, y, grid="", is_turned=is_turned, inner=inner)
    places = np.sqrt(np.maximum(shares, 0.0)) if scale == "root" else shares
    colours = 255 * coloured(BLUES, np.nan_to_num(places))
    colours[np.isnan(shares)] = _UNKNOWN
    axes.image(of_colours(np.rint(colours).astype(np.uint8)))
    if texts is not None and cell >= _NUMBERED_CELL:
        _write(axes, texts, places, cell)
    bar = Box(width, 0, _BAR_WIDTH, max(inner.height + 12, 140.0))
    drawing.height = max(drawing.height, round(bar.height))
    colour_bar(drawing, bar, BLUES, _TICKS[scale], scale, bar_label)
    return drawing


def _ticks(names: Sequence[str], every: int) -> list[tuple[float, str]]:
    return [(float(i), names[i]) for i in range(0, len(names), every)]


def _write(axes: Axes, texts: Texts, places: NDArray[np.float64], cell: float) -> None:
    """Texts in the middle of their cells, in letters that stand out, no wider than a cell."""
    widest = max((text_width(text, 1.0) for line in texts for text in line), default=0.0)
    size: Any = min(11.0, (cell - 4) / widest) if widest else 11.0
    for (row, column), place in np.ndenumerate(places):
        ink = "on-dark" if place > _DARK else "on-light"
        axes.note(texts[row][column], column, row, dy=3.5, anchor="middle", css=ink, size=size)
