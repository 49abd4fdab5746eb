"""What an inspection finds: lines of description, and data sections that a job could have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dgmm.data.data_source import DataSource

#: Fields of a `DataSource` by the key of the data section that gives them.
_FIELDS = {
    "array": "array",
    "columns": "columns",
    "id": "ids",
    "describe": "described",
    "csv": "csv",
    "variables": "variables",
    "sample_dims": "sample_dims",
    "feature_dims": "feature_dims",
    "concat_dim": "concat_dim",
    "absent_chunks": "absent_chunks",
}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A data section, without its path.

    Attributes
    ----------
    format : str
        Name of the format that opens it.
    keys : mapping
        Keys of the section in order.
    remarks : mapping
        By key, a comment.
    """

    format: str
    keys: Mapping[str, Any] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)

    def source(self, path: str) -> DataSource:
        """What the format is handed for a job with this section."""
        given: dict[str, Any] = {
            _FIELDS[key]: tuple(value) if isinstance(value, list) else value
            for key, value in self.keys.items()
        }
        return DataSource(path, paths=(path,), **given)


@dataclass(frozen=True, slots=True)
class Description:
    """What a path holds.

    Attributes
    ----------
    title : str
        In words: `a NetCDF-4 file (HDF5)`.
    lines : tuple of str
        Arrays, columns or variables, one a line.
    suggestions : tuple of Suggestion
        The most plausible first; the first that opens becomes the job.
    """

    title: str
    lines: tuple[str, ...]
    suggestions: tuple[Suggestion, ...]


def columns_of_text(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines with their cells below each other, without blanks at the end."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
