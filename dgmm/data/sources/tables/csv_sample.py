"""The beginning of a CSV file: its columns, and what their values look like."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dgmm.data.feature_names import safe_text
from dgmm.data.sources.tables.arrow import arrow
from dgmm.data.sources.tables.column_types import is_number
from dgmm.data.sources.tables.csv_faults import parsing
from dgmm.data.sources.tables.csv_options import CsvOptions, opened, text_lines
from dgmm.data.sources.tables.table_files import TableFile
from dgmm.errors import DataError
from dgmm.terminal_text import listed

#: Bytes of the sample, at least in all and for each column.
_SAMPLE_BYTES, _CELL_BYTES = 1024 * 1024, 256
_SAMPLE_ROWS = 10_000
_DELIMITERS = (";", "\t", "|", ",")


@dataclass(frozen=True, slots=True)
class CsvSample:
    """What the first mebibyte shows.

    Attributes
    ----------
    types : mapping
        Arrow's guess of each column's type; null where all cells are empty.
    no_numbers : mapping
        By column that is no number, what its first such value is.
    has_rows : bool
        Whether there is more than a header.
    """

    types: Mapping[str, Any]
    no_numbers: Mapping[str, str]
    has_rows: bool = True


def csv_sample(file: TableFile, options: CsvOptions) -> CsvSample:
    """Read the header and the first rows.

    Raises
    ------
    DataError
        If the header is no list of unique names, or the first rows cannot be read.
    """
    names = _header(file, options)
    if _is_header_alone(file, options):
        return CsvSample(dict.fromkeys(names, arrow().null()), {}, has_rows=False)
    with parsing(file, options), opened(file, options) as stream:
        batches = arrow("csv").open_csv(
            stream,
            options.reading(max(_SAMPLE_BYTES, _CELL_BYTES * len(names))),
            options.parsing(),
            options.converting(check_utf8=True),
        )
        types = dict(zip(names, batches.schema.types, strict=True))
        first = next(iter(batches), None)
    rows = [] if first is None else [c.slice(0, _SAMPLE_ROWS) for c in first.columns]
    no_numbers = {
        name: _first_text(values, options)
        for name, values in zip(names, rows, strict=False)
        if not is_number(types[name])
    }
    return CsvSample(types, no_numbers)


def _header(file: TableFile, options: CsvOptions) -> list[str]:
    with parsing(file, options), text_lines(file, options) as lines:
        names = next(filter(None, csv.reader(lines, delimiter=options.delimiter)), [])
        "".join(names).encode()  # fails on bytes of another encoding
    names = [names[0].removeprefix("\ufeff"), *names[1:]] if names else names
    if not names:
        raise DataError(f"{file.name} holds blank lines alone; expected a header of column names")
    _check_delimiter(file, names, options)
    _check_named(file, names)
    if all(map(_is_numeric, names)):
        raise DataError(
            f"{file.name}: the first line is {safe_text(options.delimiter.join(names))!r}; "
            "expected a header with the names of the columns. Put one above the numbers"
        )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(
            f"{file.name}, line 1: more than one column is called "
            f"{listed([repr(safe_text(name)) for name in repeated])}; expected unique names"
        )
    return names


def _check_delimiter(file: TableFile, names: Sequence[str], options: CsvOptions) -> None:
    others = [d for d in _DELIMITERS if d in names[0] and d != options.delimiter]
    if len(names) == 1 and others:
        raise DataError(
            f"{file.name}: the header has one column, {safe_text(names[0])!r}. If its columns are "
            f"separated by {others[0]!r}, set data.csv.delimiter to {others[0]!r}"
        )


def _check_named(file: TableFile, names: Sequence[str]) -> None:
    """The first column alone may have no name, as pandas writes an index."""
    blank = [i for i, name in enumerate(names) if not name.strip() and (i or name)]
    if blank:
        raise DataError(
            f"{file.name}, line 1: column {blank[0] + 1} of {len(names)} has no name. Give it one, "
            "or take the delimiter at the end of each line away"
        )


def _is_header_alone(file: TableFile, options: CsvOptions) -> bool:
    """Whether nothing but blank lines follows the header; Arrow refuses one without a line end."""
    with parsing(file, options), text_lines(file, options) as lines:
        next(filter(None, csv.reader(lines, delimiter=options.delimiter)), None)
        return not any(line.strip() for line in lines)


def _first_text(values: Any, options: CsvOptions) -> str:
    """The first value that is no number, and how many numbers there are beside it."""
    if arrow("types").is_binary(values.type):
        return f"bytes that are not of the encoding {options.encoding}; see data.csv.encoding"
    cells = [cell for cell in values.to_pylist() if cell is not None]
    texts = [cell for cell in cells if not _is_numeric(str(cell).replace(options.decimal, "."))]
    if not texts:
        return ""
    n_numbers = len(cells) - len(texts)
    beside = f" among {n_numbers:,} numbers" if n_numbers else ""
    return safe_text(repr(str(texts[0])[:60])) + beside


def _is_numeric(text: str) -> bool:
    try:
        float(text or "0")
    except ValueError:
        return False
    return True
