"""Text files that grow line by line; what a write cut short leaves of a line is taken off again."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from io import FileIO
from types import TracebackType
from typing import Any, Self

import numpy as np

from dgmm.errors import OutputFailedError
from dgmm.storage.atomic_files import encoded, output_errors, plain
from dgmm.storage.folders import Target, entry_of

_READ_AT_ONCE = 1 << 16


class _Lines:
    """A text file that grows line by line; no line is ever half there once the file is opened.

    A line that cannot be written whole (disk full, quota) is taken off again at once, or where that
    fails too, or the process was killed, when the file is next opened.

    Parameters
    ----------
    path : str, Path or Entry
        Created when absent, appended to when there. A link is refused; where a file has another
        name elsewhere (a hard link), a copy of it is appended to.

    Raises
    ------
    OutputFailedError
        If the file cannot be opened or a line cannot be written.
    """

    def __init__(self, path: Target) -> None:
        self.path = path
        with output_errors(path), entry_of(path) as entry:
            self._file = FileIO(entry.appending(), "a+b")
            whole = _end_of_last_line(self._file)
            if whole < self._file.seek(0, os.SEEK_END):
                self._file.truncate(whole)
            self._is_empty = whole == 0

    def _write_line(self, line: str) -> None:
        data = encoded(line) + b"\n"
        with output_errors(self.path):
            whole = self._file.seek(0, os.SEEK_END)
            try:
                while data:  # the rest of a line cut short fails with the reason
                    data = data[self._file.write(data) :]
            except BaseException:
                with suppress(OSError):
                    self._file.truncate(whole)
                raise

    def close(self) -> None:
        """Bring the lines to disk and close the file; may be called again."""
        if not self._file.closed:
            with output_errors(self.path), self._file:
                os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OutputFailedError) if error is not None else nullcontext():
            self.close()  # what ended the body matters more


class JsonLines(_Lines):
    """Appends one JSON object a line."""

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record; it is in the file when this returns."""
        self._write_line(json.dumps(plain(record), allow_nan=False, ensure_ascii=False))


class CsvLines(_Lines):
    """Appends one row a line under a fixed heading; None and NaN are empty cells.

    Parameters
    ----------
    path : str, Path or Entry
        Created when absent, appended to when there.
    columns : sequence of str
        The heading, written when the file is new.
    """

    def __init__(self, path: Target, columns: Sequence[str]) -> None:
        super().__init__(path)
        self.columns = tuple(columns)
        if self._is_empty:
            self._write_line(_csv_line(self.columns))

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one row; it is in the file when this returns.

        Raises
        ------
        ValueError
            If the record has a key that is no column.
        """
        self._write_line(self.line(record))

    def line(self, record: Mapping[str, Any]) -> str:
        """The row of a record, as `append` writes it."""
        if unknown := set(record) - set(self.columns):
            raise ValueError(f"{self.path} has no column {', '.join(sorted(unknown))}")
        return _csv_line([_cell(record.get(name)) for name in self.columns])


def _end_of_last_line(file: FileIO) -> int:
    """Bytes of all lines that end, read from the end of the file backwards."""
    stop = file.seek(0, os.SEEK_END)
    while stop > 0:
        start = max(stop - _READ_AT_ONCE, 0)
        file.seek(start)
        if (last := file.read(stop - start).rfind(b"\n")) >= 0:
            return start + last + 1
        stop = start
    return 0


def _csv_line(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return "" if value is None or value != value else value  # noqa: PLR0124 - NaN alone is not itself
