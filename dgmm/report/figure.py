"""Figures as PNG bytes with a caption; Matplotlib through its objects only, never its state."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dgmm.errors import UnavailableError
from dgmm.report.formatting import ordinal
from dgmm.report.table import Table

DPI = 144
INK = "#1f2933"
FAINT = "#9aa5b1"
ACCENT = "#c2410c"

_STYLE = {
    # Matplotlib ships the first; the others lend glyphs that it lacks, where they are installed.
    "font.family": ["DejaVu Sans", "Noto Sans CJK JP", "Hiragino Sans", "Microsoft YaHei"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "axes.edgecolor": "#7b8794",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": "#e4e7eb",
    "grid.linewidth": 0.7,
    "xtick.color": "#52606d",
    "ytick.color": "#52606d",
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "axes.formatter.useoffset": True,
}


class ReportUnavailableError(UnavailableError):
    """The report's figures need Matplotlib, which is an extra."""


@dataclass(frozen=True, slots=True)
class ReportFigure:
    """One figure of the report.

    Parameters
    ----------
    name : str
        File name without suffix, also the anchor on the page.
    title, caption, alt : str
        What stands above and below it, and what a reader hears who cannot see it.
    png : bytes
        The image.
    width, height : int
        Its size in pixels.
    table : Table or None
        The numbers that it shows.
    """

    name: str
    title: str
    caption: str
    alt: str
    png: bytes
    width: int
    height: int
    table: Table | None = None

    @property
    def record(self) -> dict[str, Any]:
        """The figure for report.json: its numbers are those of its table."""
        return {
            "name": self.name,
            "title": str(self.title),
            "caption": str(self.caption),
            "alt": str(self.alt),
            "table": None if self.table is None else self.table.record,
        }

    @property
    def page_width(self) -> int:
        """Width on the page in CSS pixels (96 an inch), so that letters have one size."""
        return round(self.width * 96 / DPI)

    @property
    def page_height(self) -> int:
        """Height on the page in CSS pixels."""
        return round(self.height * 96 / DPI)


@dataclass(frozen=True, slots=True)
class OmittedFigure:
    """A figure that this run cannot have, and why."""

    title: str
    reason: str


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib's own defaults and the report's style; the caller's settings are back afterwards.

    Raises
    ------
    ReportUnavailableError
        Where Matplotlib does not import.
    """
    log = logging.getLogger("matplotlib")
    level = log.level
    # Its import complains about an unwritable HOME, its drawing about every glyph a font lacks.
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _style():
                yield
    finally:
        log.setLevel(level)


def matplotlib() -> Any:
    """Return the module.

    Raises
    ------
    ReportUnavailableError
        If it does not import; the text names the command that installs it.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - only a report needs it
    except ImportError as error:
        raise ReportUnavailableError(
            "the report needs Matplotlib, which does not import here "
            f"({type(error).__name__}: {error}). Install it with: pip install 'dgmm[report]'"
        ) from error
    return mpl


def _style() -> Any:
    mpl = matplotlib()
    # A user's matplotlibrc may ask for LaTeX, a theme or another backend.
    defaults = {key: mpl.rcParamsDefault[key] for key in mpl.rcParamsDefault if key != "backend"}
    return mpl.rc_context(defaults | _STYLE)


def new_figure(width: float, height: float, *, constrained: bool = True) -> Any:
    """A white figure of `width` × `height` inches on an Agg canvas."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - as above
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    layout: Any = "constrained" if constrained else None
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def render(
    figure: Any, name: str, *, title: str, caption: str, alt: str, table: Table | None = None
) -> ReportFigure:
    """Render a figure at its own size."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    width, height = figure.canvas.get_width_height()
    return ReportFigure(name, title, caption, alt, buffer.getvalue(), width, height, table)


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
