"""What a table holds, from its first rows, and what each column is good for: for `dgmm inspect`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dgmm.data.sources.tables.arrow import arrow, reading
from dgmm.data.sources.tables.column_checks import MASK
from dgmm.data.sources.tables.column_types import (
    decoded,
    is_mask,
    is_nested,
    is_text,
    width,
)
from dgmm.data.sources.tables.csv_faults import parsing
from dgmm.data.sources.tables.csv_options import CsvOptions, opened, text_lines
from dgmm.data.sources.tables.table_files import TableFile, table_files

#: Rows, and bytes of a CSV file, that are looked at.
_ROWS, _BYTES = 20_000, 1024 * 1024
#: Values of a column that the report can count in each component.
_MOST_CATEGORIES = 50
#: Of a column of numbers, the share that may be other text, of which there are so many kinds.
_FAULTY_SHARE, _MOST_FAULTY = 0.1, 2
#: Fewer rows say nothing of how many values a column has.
_FEW_ROWS = 100
_DELIMITERS = (",", ";", "\t", "|")
Use = Literal["feature", "id", "describe", "none"]


@dataclass(frozen=True, slots=True)
class ColumnLook:
    """One column.

    Attributes
    ----------
    name, type : str
    use : str
        What a first job would take it for.
    why : str
        In words.
    n_missing : int
        Of the rows looked at.
    """

    name: str
    type: str
    use: Use
    why: str
    n_missing: int


@dataclass(frozen=True, slots=True)
class TableLook:
    """A table's files and columns.

    Attributes
    ----------
    n_files, n_looked : int
        Files, and rows of the first one with any that were looked at.
    n_rows : int or None
        Of all files; None where files do not say it.
    columns : tuple of ColumnLook
    csv : mapping
        Options without which its columns are not what they look like.
    partitions : tuple of str
        Columns that folders give.
    """

    n_files: int
    n_looked: int
    n_rows: int | None
    columns: tuple[ColumnLook, ...]
    csv: Mapping[str, Any] = field(default_factory=dict)
    partitions: tuple[str, ...] = ()


def look_at_parquet(path: str) -> TableLook:
    """Read the footers and the first rows.

    Raises
    ------
    DataError
        If a file is no Parquet file, or cut.
    DataNotFoundError, UnavailableError
        If there is no file, or no pyarrow.
    """
    files = table_files([path])
    n_rows, first = 0, None
    for file in files:
        with reading(file.name, "Write it again"), arrow("parquet").ParquetFile(file.path) as table:
            n_rows += table.metadata.num_rows
            if first is None and (table.metadata.num_rows or file is files[-1]):
                batches = [b for b in [next(table.iter_batches(_ROWS), None)] if b is not None]
                first = arrow().Table.from_batches(batches, table.schema_arrow)
    return _looked(files, first, n_rows, {})


def look_at_csv(path: str) -> TableLook:
    """Read the first mebibyte; the delimiter is the one that makes the most columns.

    Raises
    ------
    DataError
        If it is no table of text.
    DataNotFoundError, UnavailableError
        If there is no file, or no pyarrow.
    """
    files = table_files([path])
    options, given = _options(files[0])
    text = _first_rows(files[0], options)
    nulls = sorted({token for name in text.column_names for token in _faulty(text[name], options)})
    if nulls:
        given["null_values"] = nulls
    typed = _first_rows(files[0], CsvOptions.of({**given}), as_text=False)
    return _looked(files, typed, None, given)


def _options(file: TableFile) -> tuple[CsvOptions, dict[str, Any]]:
    """How the header and the first row look: delimiter, and a decimal comma beside semicolons."""
    with text_lines(file, CsvOptions()) as lines:
        begin = [lines.readline(), lines.readline()]
    lines_given = [line for line in begin if line.strip()]
    counts = {d: min((line.count(d) for line in lines_given), default=0) for d in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda d: counts[d])
    usual = "\t" if ".tsv" in file.name.lower() else ","
    given: dict[str, Any] = {}
    if counts[best] and best != usual:
        given["delimiter"] = best
    has_comma = best != "," and "," in begin[1] and "." not in begin[1]
    if has_comma:
        given["decimal"] = ","
    return CsvOptions.of(given, usual), given


def _first_rows(file: TableFile, options: CsvOptions, *, as_text: bool = True) -> Any:
    """The first rows, as text or as Arrow takes them."""
    library = arrow()
    with parsing(file, options), opened(file, options) as stream:
        begin = arrow("csv").open_csv(stream, options.reading(_BYTES), options.parsing())
        names = begin.schema.names
    declared = dict.fromkeys(names, library.string()) if as_text else None
    with parsing(file, options), opened(file, options) as stream:
        reader = arrow("csv").open_csv(
            stream,
            options.reading(_BYTES),
            options.parsing(),
            options.converting(column_types=declared, strings_can_be_null=as_text),
        )
        batch = next(iter(reader), None)
        batches = [] if batch is None else [batch.slice(0, _ROWS)]
        return library.Table.from_batches(batches, reader.schema)


def _faulty(column: Any, options: CsvOptions) -> set[str]:
    """Texts of a column that is numbers but for a few; such as a blank for a missing one."""
    texts = [text for text in column.to_pylist() if text is not None]
    others = [text for text in texts if not _is_number(text, options.decimal)]
    is_few = 0 < len(others) <= _FAULTY_SHARE * len(texts)
    return set(others) if is_few and len(set(others)) <= _MOST_FAULTY else set()


def _is_number(text: str, decimal: str) -> bool:
    try:
        float(text.replace(decimal, "."))
    except ValueError:
        return False
    return True


def _looked(
    files: Sequence[TableFile], rows: Any, n_rows: int | None, csv: Mapping[str, Any]
) -> TableLook:
    names = rows.column_names
    columns = tuple(_column(name, rows[name], names) for name in names)
    partitions = dict.fromkeys(name for file in files for name in file.partition)
    return TableLook(
        len(files), rows.num_rows, n_rows, _with_one_id(columns), csv, tuple(partitions)
    )


def _column(name: str, values: Any, names: Sequence[str]) -> ColumnLook:
    kind = decoded(values.type)
    n, n_missing = len(values), values.null_count
    use, why = _use(name, values, kind, names)
    if name + MASK in names:
        why = f"missing where {name + MASK} is true"
    return ColumnLook(name, str(values.type), use, why, n_missing if n else 0)


def _use(name: str, values: Any, kind: Any, names: Sequence[str]) -> tuple[Use, str]:
    if name.endswith(MASK) and name.removesuffix(MASK) in names and is_mask(kind):
        return "none", f"mask of {name.removesuffix(MASK)}"
    if is_nested(kind) and width(kind):
        return "feature", f"vectors: {width(kind)} features"
    if is_nested(kind):  # Arrow does not count lists and records
        return "none", "lists or records, and no vectors of a fixed size"
    distinct = len(arrow("compute").unique(values))
    is_unique = distinct == len(values) and values.null_count == 0 and distinct > 1
    if is_text(kind):
        return _use_of_text(distinct, is_unique=is_unique)
    return _use_of_numbers(values, distinct, is_unique=is_unique) if width(kind) else _NEITHER


_NEITHER: tuple[Use, str] = ("none", "no numbers; carried along where `id` names it")


def _use_of_text(distinct: int, *, is_unique: bool) -> tuple[Use, str]:
    if is_unique:
        return "id", "every value once"
    is_few = distinct <= _MOST_CATEGORIES
    return ("describe" if is_few else "none"), f"{'' if is_few else 'text, '}{distinct:,} values"


def _use_of_numbers(values: Any, distinct: int, *, is_unique: bool) -> tuple[Use, str]:
    """Of so many rows, integers that are all different number them."""
    if distinct <= 1:
        return "none", "one value"
    if arrow("types").is_integer(values.type) and is_unique and len(values) >= _FEW_ROWS:
        return "id", "every value once"
    if distinct - (values.null_count > 0) == 2 and len(values) >= _FEW_ROWS:
        return "describe", "two values, on which a density means nothing"
    return "feature", ""


def _with_one_id(columns: tuple[ColumnLook, ...]) -> tuple[ColumnLook, ...]:
    """One column of identifiers suffices; further ones stay out."""
    ids = [column for column in columns if column.use == "id"]
    return tuple(
        ColumnLook(c.name, c.type, "none", c.why, c.n_missing) if c in ids[1:] else c
        for c in columns
    )
