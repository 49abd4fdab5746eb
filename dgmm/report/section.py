"""A section of the page: figures, tables and texts below one heading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dgmm.report.figure import OmittedFigure, ReportFigure
from dgmm.report.table import Table


@dataclass(frozen=True, slots=True)
class Section:
    """One heading of the page and what stands below it.

    Parameters
    ----------
    anchor, title : str
    figures : list of ReportFigure
    tables : list of Table
    texts : list of (str, str)
        Titles and preformatted texts.
    omitted : list of OmittedFigure
        Figures that this run cannot have.
    """

    anchor: str
    title: str
    figures: list[ReportFigure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    omitted: list[OmittedFigure] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether it has nothing to show."""
        return not (self.figures or self.tables or self.texts)

    @property
    def record(self) -> dict[str, Any]:
        """The section for report.json."""
        return {
            "anchor": self.anchor,
            "title": str(self.title),
            "figures": [figure.record for figure in self.figures],
            "tables": [table.record for table in self.tables],
        }


def section_of(
    anchor: str,
    title: str,
    figures: Iterable[ReportFigure | OmittedFigure],
    tables: Iterable[Table | None] = (),
) -> Section:
    """A section of what this run has of it; figures that it cannot have are kept with the reason.

    Parameters
    ----------
    anchor, title : str
    figures : iterable of ReportFigure or OmittedFigure
    tables : iterable of Table or None
        None: the run has none.
    """
    drawn = list(figures)
    return Section(
        anchor,
        title,
        figures=[figure for figure in drawn if isinstance(figure, ReportFigure)],
        tables=[table for table in tables if table is not None],
        omitted=[figure for figure in drawn if isinstance(figure, OmittedFigure)],
    )
