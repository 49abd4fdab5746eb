"""Images side by side, each pixel a whole number of pixels wide, with a legend of colours below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dgmm.report.charts.svg import Drawing

_PANEL_PIXELS = 448
_GAP_PIXELS = 12
_TITLE_PIXELS = 20
_LEAST_WIDTH = 320
_ENTRY_PIXELS = 46
_LINE_PIXELS = 24
_SWATCH_PIXELS = 15


@dataclass(frozen=True, slots=True)
class ImageGrid:
    """Where everything lies, in CSS pixels from the left and from the top.

    Parameters
    ----------
    images : sequence of bytes
        PNG images, all of one size.
    size : (int, int)
        Their width and height, pixels.
    titles : sequence of str
        One an image; empty for none.
    legend : sequence of (str, str)
        Labels and colours (`#rrggbb`); empty for none.
    """

    images: Sequence[bytes]
    size: tuple[int, int]
    titles: Sequence[str]
    legend: Sequence[tuple[str, str]] = ()

    @property
    def panel(self) -> tuple[float, float]:
        """Width and height of one image: a whole multiple of its pixels where it is small."""
        width, height = self.size
        largest = max(width, height)
        zoom = max(1, _PANEL_PIXELS // largest) if largest <= _PANEL_PIXELS else (
            (2 if len(self.images) == 1 else 1) * _PANEL_PIXELS / largest
        )  # fmt: skip
        return width * zoom, height * zoom

    @property
    def across(self) -> int:
        """Images in a row."""
        width, height = self.panel
        return 1 if len(self.images) == 1 or width > 2 * height else 2

    @property
    def width(self) -> float:
        """Of the whole figure."""
        return max(self.across * self.panel[0] + (self.across - 1) * _GAP_PIXELS, _LEAST_WIDTH)

    @property
    def row_height(self) -> float:
        """From the top of one image's title to that of the image below."""
        return self.panel[1] + (_TITLE_PIXELS if self.titles else 0) + _GAP_PIXELS

    @property
    def legend_top(self) -> float:
        """Where the legend begins."""
        return -(-len(self.images) // self.across) * self.row_height

    @property
    def entries_across(self) -> int:
        """Legend entries in a line."""
        return int(self.width // _ENTRY_PIXELS)

    @property
    def height(self) -> float:
        """Of the whole figure."""
        lines = -(-len(self.legend) // self.entries_across)
        return self.legend_top - _GAP_PIXELS * (lines == 0) + lines * _LINE_PIXELS

    def draw(self) -> Drawing:
        """The figure."""
        drawing = Drawing(self.width, self.height)
        for place, image in enumerate(self.images):
            row, column = divmod(place, self.across)
            left = column * (self.panel[0] + _GAP_PIXELS)
            top = row * self.row_height
            if self.titles:
                drawing.text(self.titles[place], left, top + 13, css="soft")
                top += _TITLE_PIXELS
            drawing.image(image, left, top, *self.panel)
        for place, (label, colour) in enumerate(self.legend):
            line, column = divmod(place, self.entries_across)
            left, top = column * _ENTRY_PIXELS + 1, self.legend_top + line * _LINE_PIXELS
            drawing.put("rect", "swatch", x=left, y=top, width=_SWATCH_PIXELS,
                        height=_SWATCH_PIXELS, fill=colour)  # fmt: skip
            drawing.text(label, left + _SWATCH_PIXELS + 4, top + 12)
        return drawing
