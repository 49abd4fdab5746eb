"""A figure of the page: a drawing, what is said about it, and the numbers that it shows."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from dgmm.report.charts.svg import Drawing
from dgmm.report.formatting import ordinal
from dgmm.report.table import Table

#: CSS pixels of a figure that fills the page.
PAGE_WIDTH = 900


@dataclass(frozen=True, slots=True)
class ReportFigure:
    """One figure of the report.

    Parameters
    ----------
    name : str
        File name without suffix, also the anchor on the page.
    title, caption, alt : str
        What stands above and below it, and what a reader hears who cannot see it.
    drawing : Drawing
    table : Table
        The numbers that it shows, for those who cannot see it and for report.json.
    """

    name: str
    title: str
    caption: str
    alt: str
    drawing: Drawing
    table: Table

    @property
    def record(self) -> dict[str, Any]:
        """The figure for report.json: its numbers are those of its table."""
        return {
            "name": self.name,
            "title": str(self.title),
            "caption": str(self.caption),
            "alt": str(self.alt),
            "table": self.table.record,
        }

    def file(self, style: str) -> str:
        """The figure as an SVG file with a style sheet of its own."""
        width, height = self.drawing.width, self.drawing.height
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="figure" role="img" width="{width}" '
            f'height="{height}" viewBox="0 0 {width} {height}" aria-label="{escape(self.alt)}">'
            f"<style>{style}</style>"
            f'<rect class="ground" width="{width}" height="{height}"/>{self.drawing.body}</svg>\n'
        )


@dataclass(frozen=True, slots=True)
class OmittedFigure:
    """A figure that this run cannot have, and why."""

    title: str
    reason: str


def tick_positions(count: int, at_most: int) -> range:
    """Every s-th of `count` positions, so that no more than `at_most` are labelled."""
    return range(0, count, max(1, -(-count // at_most)))


def labelled_every_note(count: int, at_most: int, what: str) -> str:
    """A sentence for the caption where not every position is labelled, else nothing."""
    stride = tick_positions(count, at_most).step
    return f" Every {ordinal(stride)} {what} is labelled." if stride > 1 else ""


def sentence(*parts: str) -> str:
    """Caption parts in one line, empty ones left out."""
    return " ".join(part.strip() for part in parts if part.strip())
