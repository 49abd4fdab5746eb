"""A table: what the page shows as text is what report.json gives as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dgmm.report.formatting import value_of

#: Rows and columns that the page shows; report.json has them all.
_MOST_ROWS, _MOST_COLUMNS = 200, 24
#: Rows that are not worth folding.
_FEW = 4


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the page.

    Parameters
    ----------
    title : str
    header : tuple of str
    rows : sequence of tuple of str
        Cells, in the header's order. Those made by `number`, `percent`, `size` and `duration` keep
        their numbers for report.json.
    numeric : frozenset of int
        Columns that are set to the right.
    note : str
        What is left out or has to be known.
    swatches : tuple of str
        One colour a row (`#rrggbb`), drawn before its first cell; empty for none.
    n_open : int or None
        Rows that the page shows at once, the others once they are opened; None for all.
    """

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numeric: frozenset[int] = frozenset()
    note: str = ""
    swatches: tuple[str, ...] = ()
    n_open: int | None = None

    @property
    def shown_columns(self) -> range:
        """The columns that the page shows."""
        return range(min(len(self.header), _MOST_COLUMNS))

    @property
    def shown_rows(self) -> Sequence[tuple[str, ...]]:
        """The rows that the page shows, with their columns that it shows."""
        columns = self.shown_columns
        return [tuple(row[i] for i in columns if i < len(row)) for row in self.rows[:_MOST_ROWS]]

    @property
    def open_rows(self) -> Sequence[tuple[str, ...]]:
        """Those that the page shows at once: all where few would be left."""
        rows = self.shown_rows
        is_folded = self.n_open is not None and len(rows) > self.n_open + _FEW
        return rows[: self.n_open] if is_folded else rows

    @property
    def folded_rows(self) -> Sequence[tuple[str, ...]]:
        """The others."""
        return self.shown_rows[len(self.open_rows) :]

    @property
    def shown_note(self) -> str:
        """The note, and what is in report.json alone."""
        more = (
            (len(self.rows) - _MOST_ROWS, "rows"),
            (len(self.header) - _MOST_COLUMNS, "columns"),
        )
        left = " and ".join(f"{count:,} more {what}" for count, what in more if count > 0)
        return f"{self.note} {left} are in report.json.".strip() if left else self.note

    @property
    def record(self) -> dict[str, Any]:
        """The table for report.json: shares as fractions, sizes in bytes, times in seconds."""
        return {
            "title": str(self.title),
            "columns": [str(name) for name in self.header],
            "rows": [[value_of(cell) for cell in row] for row in self.rows],
            "note": str(self.note),
        }
