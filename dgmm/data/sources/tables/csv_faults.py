"""Where a CSV file is at fault: file, line, column and value, once Arrow has refused it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dgmm.data.feature_names import safe_text
from dgmm.data.sources.tables.arrow import arrow, reading
from dgmm.data.sources.tables.csv_options import CsvOptions, opened, text_lines
from dgmm.data.sources.tables.table_files import TableFile
from dgmm.errors import DataError

_NO_VALUE = re.compile(
    r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error to (\w+): invalid value '(.*)'",
    re.DOTALL,
)
_SHOWN = 60


@contextmanager
def parsing(file: TableFile, options: CsvOptions) -> Iterator[None]:
    """Arrow's refusals to read a CSV file, with the line that they are of.

    Raises
    ------
    DataError
        Naming file, line, and what is there.
    DataNotFoundError
        If the system refuses to read it.
    """
    with reading(file.name, "Was it cut short while it was written? Write it again"):
        try:
            yield
        except (arrow("lib").ArrowInvalid, UnicodeError) as error:
            fault = _fault(file, options, str(error))
            if fault is None:
                raise
            raise fault from error


def cell(file: TableFile, options: CsvOptions, row: int, column: int) -> tuple[int, str]:
    """The line of a row, from 0 for the first below the header, and the text of one cell."""
    lines = _rows(file, options)
    for _ in range(row + 1):
        next(lines)
    line, cells = next(lines)
    return line, cells[column]


def _fault(file: TableFile, options: CsvOptions, said: str) -> DataError | None:
    """What is found at fault; None where nothing is."""
    found = _NO_VALUE.search(said)
    with suppress(csv.Error, UnicodeError, StopIteration):
        if found:
            return _no_value(file, options, int(found[1]), found[2], found[3])
        if ragged := _ragged(file, options):
            return ragged
    return _not_decoded(file, options) or unclosed_quote(file, options)


def unclosed_quote(file: TableFile, options: CsvOptions) -> DataError | None:
    """Where a cell in quotes has no end; Arrow takes the rest of the file as that cell."""
    rows, line = _rows(file, options, strict=True), 0
    try:
        while (row := next(rows, None)) is not None:
            line, _ = row
    except csv.Error as error:
        if "unexpected end" in str(error) or "field limit" in str(error):
            return DataError(
                f"{file.name}, line {line + 1}: a cell that begins with a quote has no end, or has "
                f"more than {csv.field_size_limit():,} characters. Close the quote"
            )
    return None


def _no_value(
    file: TableFile, options: CsvOptions, column: int, kind: str, value: str
) -> DataError | None:
    rows = _rows(file, options)
    _, names = next(rows)
    for line, cells in rows:
        if len(cells) > column and cells[column].strip() == value.strip():
            expected = "true or false" if kind == "bool" else "a number"
            return DataError(
                f"{file.name}, line {line}: column {safe_text(names[column])!r} holds "
                f"{safe_text(repr(cells[column][:_SHOWN]))}, expected {expected}. If that stands "
                "for a missing value, name it in data.csv.null_values; if the column holds text, "
                "name it in data.describe"
            )
    return None


def _ragged(file: TableFile, options: CsvOptions) -> DataError | None:
    rows = _rows(file, options)
    _, names = next(rows)
    for line, cells in rows:
        if len(cells) != len(names):
            text = safe_text(options.delimiter.join(cells)[:_SHOWN])
            return DataError(
                f"{file.name}, line {line}: {len(cells)} cells, where the header has "
                f"{len(names)}: {text!r}. Was the file cut short, or does text with "
                f"{options.delimiter!r} lack its quotes? Correct the line"
            )
    return None


def _not_decoded(file: TableFile, options: CsvOptions) -> DataError | None:
    """The first line whose bytes are not of the encoding; wide encodings have no such lines."""
    with io.BufferedReader(opened(file, options)) as stream:
        for line, content in enumerate(stream, 1):
            try:
                content.decode(options.encoding)
            except UnicodeDecodeError as error:
                byte = content[error.start]
                return DataError(
                    f"{file.name}, line {line}: byte 0x{byte:02x} is not of the encoding "
                    f"{options.encoding}. Name the one the file is in, such as latin-1 or "
                    "cp1252, in data.csv.encoding"
                )
    return None


def _rows(
    file: TableFile, options: CsvOptions, *, strict: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Last line and cells of each row, blank lines left out."""
    with text_lines(file, options) as lines:
        rows = csv.reader(lines, delimiter=options.delimiter, strict=strict)
        for cells in rows:
            if cells:
                yield rows.line_num, cells
