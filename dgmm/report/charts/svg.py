"""One figure as SVG: elements with escaped text, classes for colours, coordinates in CSS pixels."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from typing import Any

#: Of letters, in CSS pixels; those of ticks and legends, of labels, of titles.
SMALL, PLAIN, LARGE = 11.0, 12.0, 13.0
_WIDE_FROM = 0x1100  # Hangul, kana, ideographs
_WIDE, _BROAD, _NARROW = 1.0, 0.88, 0.6
_BROAD_LETTERS = frozenset("mwMWOQ@%+=<>~#−×·…—&")


def text_width(text: str, size: float = SMALL) -> float:
    """About how wide a text is in the page's typeface, CSS pixels."""
    return size * sum(map(_share, text))


def _share(letter: str) -> float:
    """The width of a letter in its size."""
    if letter in _BROAD_LETTERS:
        return _BROAD
    return _WIDE if ord(letter) >= _WIDE_FROM else _NARROW


def hexadecimal(colour: Any) -> str:
    """RGB in [0, 1] as `#rrggbb`."""
    return "#" + "".join(f"{round(255 * min(max(float(c), 0.0), 1.0)):02x}" for c in colour)


class Drawing:
    """A figure that is being drawn.

    Parameters
    ----------
    width, height : float
        In CSS pixels; the page is 936 wide at most.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = round(width), round(height)
        self._parts: list[str] = []

    @property
    def body(self) -> str:
        """The elements."""
        return "".join(self._parts)

    def put(self, tag: str, css: str = "", colour: str | None = None, **attributes: Any) -> None:
        """An element without content.

        Parameters
        ----------
        tag : str
        css : str
            Classes of figure.css.
        colour : str or None
            `#rrggbb`, what `own` elements are drawn in; a dark page makes it lighter.
        **attributes
            Numbers are rounded to a hundredth of a pixel; `_` stands for `-`.
        """
        self._parts.append(f"<{tag}{_attributes(css, colour, attributes)}/>")

    def path(self, points: Iterable[tuple[float, float]], css: str, colour: str | None = None,
             *, closed: bool = False, **attributes: Any) -> None:  # fmt: skip
        """A line through points."""
        d = "L".join(f"{_short(x)} {_short(y)}" for x, y in points)
        if d:
            self.put("path", css, colour, d=f"M{d}{'z' * closed}", **attributes)

    def text(self, text: str, x: float, y: float, *, size: float = SMALL, anchor: str = "start",
             angle: float = 0.0, css: str = "") -> None:  # fmt: skip
        """A text whose letters stand on (x, y), turned about there by degrees."""
        turned = {"transform": f"rotate({_short(angle)} {_short(x)} {_short(y)})"} if angle else {}
        given: dict[str, Any] = {"x": x, "y": y, "font_size": size}
        if anchor != "start":
            given["text_anchor"] = anchor
        self._parts.append(
            f"<text{_attributes(css, None, given | turned)}>{escape(str(text))}</text>"
        )

    def image(self, png: bytes, x: float, y: float, width: float, height: float,
              css: str = "pixels") -> None:  # fmt: skip
        """An image stretched over a rectangle; `pixels` keeps its pixels sharp."""
        uri = "data:image/png;base64," + base64.b64encode(png).decode()
        self.put("image", css, x=x, y=y, width=width, height=height, preserveAspectRatio="none",
                 href=uri)  # fmt: skip

    def begin(self, x: float, y: float, width: float, height: float) -> None:
        """What follows, up to `end`, is cut off at a rectangle; coordinates stay as they are."""
        box = " ".join(map(_short, (x, y, width, height)))
        self._parts.append(
            f'<svg class="cut" x="{_short(x)}" y="{_short(y)}" width="{_short(width)}" '
            f'height="{_short(height)}" viewBox="{box}">'
        )

    def end(self) -> None:
        """The end of what is cut off."""
        self._parts.append("</svg>")

    def legend(self, entries: Iterable[tuple[str, str, str | None]], x: float, y: float,
               *, step: float = 17.0) -> None:  # fmt: skip
        """Swatches with labels from (x, y) downwards: label, classes, colour."""
        for i, (label, css, colour) in enumerate(entries):
            top = y + i * step
            self.put("rect", css, colour, x=x, y=top, width=11, height=11, rx=2)
            self.text(label, x + 16, top + 9.5)


def _attributes(css: str, colour: str | None, given: dict[str, Any]) -> str:
    found = {"class": css} if css else {}
    if colour is not None:
        found["color"] = colour
    for name, value in given.items():
        shown = _short(value) if isinstance(value, int | float) else str(value)
        found[name.replace("_", "-")] = shown
    return "".join(f' {name}="{escape(value)}"' for name, value in found.items())


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
