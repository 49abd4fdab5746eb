"""Images side by side at their own resolution, with a legend of colours below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.report.figure import DPI, new_figure

_PANEL_PIXELS = 720
_GAP_PIXELS = 16
_TITLE_PIXELS = 26
_LEAST_WIDTH = 480
_ENTRY_PIXELS = 62
_LINE_PIXELS = 34
_SWATCH_PIXELS = 22


@dataclass(frozen=True, slots=True)
class ImageGrid:
    """Where everything lies, in pixels from the left and from the top.

    Parameters
    ----------
    images : sequence of ndarray (h, w, 3)
        RGB, of bytes or in [0, 1], all of one shape.
    titles : sequence of str
        One an image; empty for none.
    legend : sequence of (str, ndarray (3,))
        Labels and colours; empty for none.
    """

    images: Sequence[NDArray[Any]]
    titles: Sequence[str]
    legend: Sequence[tuple[str, NDArray[np.float64]]] = ()

    @property
    def zoom(self) -> int:
        """Figure pixels a pixel: a whole number, so that no line is wider than another."""
        height, width = self.images[0].shape[:2]
        return max(1, _PANEL_PIXELS // int(max(height, width)))

    @property
    def panel(self) -> tuple[int, int]:
        """Width and height of one image."""
        height, width = self.images[0].shape[:2]
        return width * self.zoom, height * self.zoom

    @property
    def across(self) -> int:
        """Images in a row."""
        width, height = self.panel
        return 1 if len(self.images) == 1 or width > 2 * height else 2

    @property
    def width(self) -> int:
        """Of the whole figure."""
        return max(self.across * self.panel[0] + (self.across - 1) * _GAP_PIXELS, _LEAST_WIDTH)

    @property
    def row_height(self) -> int:
        """From the top of one image's title to that of the image below."""
        return self.panel[1] + (_TITLE_PIXELS if self.titles else 0) + _GAP_PIXELS

    @property
    def legend_top(self) -> int:
        """Where the legend begins."""
        return -(-len(self.images) // self.across) * self.row_height

    @property
    def entries_across(self) -> int:
        """Legend entries in a line."""
        return self.width // _ENTRY_PIXELS

    @property
    def height(self) -> int:
        """Of the whole figure."""
        lines = -(-len(self.legend) // self.entries_across)
        return (
            self.legend_top - _GAP_PIXELS + (_GAP_PIXELS // 2 + lines * _LINE_PIXELS) * (lines > 0)
        )

    def draw(self) -> Any:
        """The figure."""
        figure = new_figure(self.width / DPI, self.height / DPI, constrained=False)
        for place, image in enumerate(self.images):
            self._place_image(figure, place, image)
        for place, (label, colour) in enumerate(self.legend):
            self._place_entry(figure, place, label, colour)
        return figure

    def _place_image(self, figure: Any, place: int, image: NDArray[Any]) -> None:
        row, column = divmod(place, self.across)
        left = column * (self.panel[0] + _GAP_PIXELS)
        top = row * self.row_height + (_TITLE_PIXELS if self.titles else 0)
        axes = figure.add_axes(self._box(left, top, *self.panel))
        axes.imshow(image, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        if self.titles:
            axes.set_title(self.titles[place], loc="left", pad=3, fontsize=8)

    def _place_entry(self, figure: Any, place: int, label: str, colour: Any) -> None:
        from matplotlib.patches import Rectangle  # noqa: PLC0415 - only a report needs it

        line, column = divmod(place, self.entries_across)
        left = column * _ENTRY_PIXELS + 2
        top = self.legend_top + line * _LINE_PIXELS
        x, y, width, height = self._box(left, top, _SWATCH_PIXELS, _SWATCH_PIXELS)
        figure.add_artist(
            Rectangle((x, y), width, height, facecolor=colour, edgecolor="#7b8794", lw=0.5)
        )
        end = x + width + 5 / self.width
        figure.text(end, y + height / 2, label, va="center_baseline", fontsize=8)

    def _box(self, left: int, top: int, width: int, height: int) -> tuple[float, ...]:
        """A rectangle as Matplotlib wants it: fractions, from the bottom left."""
        bottom = self.height - top - height
        return (
            left / self.width,
            bottom / self.height,
            width / self.width,
            height / self.height,
        )
