"""A box with two axes, and what is drawn in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dgmm.report.charts.axis import Axis
from dgmm.report.charts.svg import LARGE, PLAIN, SMALL, Drawing, text_width

_TICK = 4.0
_TURNED = 90.0


class Box(NamedTuple):
    """A rectangle: its upper left corner and its size, CSS pixels."""

    x: float
    y: float
    width: float
    height: float


def transposed(points: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Points as their x and their y."""
    x, y = zip(*points, strict=True)
    return list(x), list(y)


class Axes:
    """Axes in a drawing; the box holds their labels too.

    Parameters
    ----------
    drawing : Drawing
    box : Box
    x, y : Axis
        `y` grows upwards.
    title : str
    grid : str
        Which axes' ticks have lines across: `x`, `y`, both, or none.
    is_turned : bool
        Whether the labels of x stand upright.
    shows_x, shows_y : bool
        Whether ticks have labels.
    inner : Box or None
        Where the axes themselves go; None: what labels leave of the box.
    """

    def __init__(self, drawing: Drawing, box: Box, x: Axis, y: Axis, *, title: str = "",
                 grid: str = "y", is_turned: bool = False, shows_x: bool = True,
                 shows_y: bool = True, inner: Box | None = None) -> None:  # fmt: skip
        self.drawing, self.x, self.y = drawing, x, y
        left, bottom = label_room(x, y, is_turned=is_turned, shows_x=shows_x, shows_y=shows_y)
        top = 22.0 if title else 6.0
        self.inner = inner or Box(
            box.x + left, box.y + top, max(box.width - left - 8, 1),
            max(box.height - top - bottom, 1),
        )  # fmt: skip
        if title:
            drawing.text(title, self.inner.x, box.y + 13, size=LARGE)
        self._frame(grid, box, is_turned=is_turned, shows_x=shows_x, shows_y=shows_y)

    def at(self, x: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values as coordinates of the drawing."""
        inner = self.inner
        down = inner.y + inner.height * (1 - self.y.places(y))
        return inner.x + inner.width * self.x.places(x), down

    def line(self, x: Any, y: Any, css: str = "line", colour: str | None = None,
             *, dots: float = 0.0) -> None:  # fmt: skip
        """A line through values, with dots of a radius on them."""
        xs, ys = self.at(x, y)
        if xs.size > 1:
            self._begin()
            self.drawing.path(zip(xs, ys, strict=True), css, colour)
            self.drawing.end()
        if dots:
            self.dots(x, y, css.replace("line", "dot"), colour, radius=dots)

    def dots(self, x: Any, y: Any, css: str, colour: str | None = None,
             *, radius: float = 2.5) -> None:  # fmt: skip
        """A dot at each value that lies in the box."""
        inner = self.inner
        for cx, cy in zip(*self.at(x, y), strict=True):
            inside_x = inner.x - 1 <= cx <= inner.x + inner.width + 1
            if inside_x and inner.y - 1 <= cy <= inner.y + inner.height + 1:
                self.drawing.put("circle", css, colour, cx=cx, cy=cy, r=radius)

    def whisker(self, x: float, low: float, high: float, css: str, *, cap: float = 4.0,
                moved: float = 0.0) -> None:  # fmt: skip
        """A range of y at a value of x, with caps; all of it moved by pixels to the right."""
        at, ends = self.at([x, x], [low, high])
        left = float(at[0]) + moved
        self._begin()
        self.drawing.path([(left, float(y)) for y in ends], css)
        for y in ends:
            self.drawing.path([(left - cap, float(y)), (left + cap, float(y))], css)
        self.drawing.end()

    def band(self, x: Any, low: Any, high: Any, css: str, colour: str | None = None) -> None:
        """The area between two lines."""
        xs, lower = self.at(x, low)
        _, upper = self.at(x, high)
        edge = [*zip(xs, upper, strict=True), *zip(xs[::-1], lower[::-1], strict=True)]
        self._begin()
        self.drawing.path(edge, css, colour, closed=True)
        self.drawing.end()

    def ellipse(
        self, mean: Any, covariance: Any, radius: float, css: str, colour: str | None = None
    ) -> None:
        """The points at a Mahalanobis distance from a mean (2,); on linear axes alone."""
        inner = self.inner
        scale = np.array([
            inner.width / (self.x.high - self.x.low), -inner.height / (self.y.high - self.y.low)
        ])  # fmt: skip
        values, vectors = np.linalg.eigh(np.asarray(covariance) * scale[:, None] * scale)
        radii = radius * np.sqrt(np.maximum(values, 0.0))
        cx = inner.x + scale[0] * (float(mean[0]) - self.x.low)
        cy = inner.y + inner.height + scale[1] * (float(mean[1]) - self.y.low)
        if not np.isfinite([cx, cy, *radii]).all():
            return
        angle = float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1])))
        turned = f"translate({cx:.2f} {cy:.2f}) rotate({angle:.2f})"
        self.drawing.put("ellipse", css, colour, rx=float(radii[1]), ry=float(radii[0]),
                         transform=turned)  # fmt: skip

    def rectangles(self, x0: Any, x1: Any, y0: Any, y1: Any, css: str,
                   colours: list[str] | None = None) -> None:  # fmt: skip
        """Bars and cells, cut off at the box."""
        left, bottom = self.at(x0, y0)
        right, top = self.at(x1, y1)
        inner = self.inner
        left, right = (np.clip(v, inner.x, inner.x + inner.width) for v in (left, right))
        top, bottom = (np.clip(v, inner.y, inner.y + inner.height) for v in (top, bottom))
        for i in range(left.size):
            self.drawing.put(
                "rect", css, None if colours is None else colours[i], x=left[i], y=top[i],
                width=right[i] - left[i], height=bottom[i] - top[i],
            )  # fmt: skip

    def across(self, value: float, css: str) -> None:
        """A level line at a value of y."""
        _, y = self.at(self.x.low, value)
        inner = self.inner
        self.drawing.path([(inner.x, float(y)), (inner.x + inner.width, float(y))], css)

    def upright(self, value: float, css: str) -> None:
        """A vertical line at a value of x."""
        x, _ = self.at(value, self.y.low)
        inner = self.inner
        self.drawing.path([(float(x), inner.y), (float(x), inner.y + inner.height)], css)

    def note(self, text: str, x: float, y: float, *, dx: float = 0.0, dy: float = 0.0,
             anchor: str = "start", css: str = "", size: float = SMALL) -> None:  # fmt: skip
        """A text beside a value, moved by pixels."""
        left, top = self.at(x, y)
        self.drawing.text(text, float(left) + dx, float(top) + dy, anchor=anchor, css=css,
                          size=size)  # fmt: skip

    def image(self, png: bytes, css: str = "pixels") -> None:
        """An image over the whole box."""
        self.drawing.image(png, *self.inner, css)

    def begin(self) -> None:
        """What follows, up to `drawing.end`, is cut off at the box."""
        self._begin()

    def _begin(self) -> None:
        inner = self.inner
        self.drawing.begin(inner.x - 2, inner.y - 2, inner.width + 4, inner.height + 4)

    def _frame(self, grid: str, box: Box, *, is_turned: bool, shows_x: bool,
               shows_y: bool) -> None:  # fmt: skip
        inner, draw = self.inner, self.drawing
        bottom = inner.y + inner.height
        for value, text in self.x.shown:
            x = float(self.at(value, self.y.low)[0])
            if "x" in grid:
                draw.path([(x, inner.y), (x, bottom)], "grid")
            draw.path([(x, bottom), (x, bottom + _TICK)], "axis")
            if shows_x and is_turned:
                draw.text(text, x + 3.5, bottom + 7, anchor="end", angle=-_TURNED, css="soft")
            elif shows_x:
                draw.text(text, x, bottom + 15, anchor="middle", css="soft")
        for value, text in self.y.shown:
            y = float(self.at(self.x.low, value)[1])
            if "y" in grid:
                draw.path([(inner.x, y), (inner.x + inner.width, y)], "grid")
            draw.path([(inner.x - _TICK, y), (inner.x, y)], "axis")
            if shows_y:
                draw.text(text, inner.x - 7, y + 3.8, anchor="end", css="soft")
        draw.path([(inner.x, inner.y), (inner.x, bottom), (inner.x + inner.width, bottom)], "axis")
        if self.x.label:
            middle, low = inner.x + inner.width / 2, box.y + box.height - 4
            draw.text(self.x.label, middle, low, size=PLAIN, anchor="middle")
        if self.y.label:
            draw.text(self.y.label, box.x + 12, inner.y + inner.height / 2, size=PLAIN,
                      anchor="middle", angle=-_TURNED)  # fmt: skip


def label_room(x: Axis, y: Axis, *, is_turned: bool = False, shows_x: bool = True,
               shows_y: bool = True) -> tuple[float, float]:  # fmt: skip
    """What labels take at the left and below, CSS pixels."""
    left = 9.0 + 18.0 * bool(y.label)
    if shows_y:
        left += max((text_width(text) for _, text in y.shown), default=0.0)
    bottom = 8.0 + 19.0 * bool(x.label)
    if shows_x:
        widest = max((text_width(text) for _, text in x.shown), default=0.0)
        bottom += widest if is_turned else 12.0
    return left, bottom
