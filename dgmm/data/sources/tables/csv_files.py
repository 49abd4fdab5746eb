"""CSV tables, plain or compressed: features declared as numbers, what is carried as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dgmm.data.data_source import DataSource
from dgmm.data.sources.tables.arrow import arrow
from dgmm.data.sources.tables.column_choice import choose_columns
from dgmm.data.sources.tables.column_values import LARGEST_INTEGER, inexact
from dgmm.data.sources.tables.csv_faults import cell, parsing, unclosed_quote
from dgmm.data.sources.tables.csv_options import CountedQuotes, CsvOptions, opened
from dgmm.data.sources.tables.csv_sample import CsvSample, csv_sample
from dgmm.data.sources.tables.duplicate_ids import check_ids
from dgmm.data.sources.tables.table_files import TableFile, table_files
from dgmm.data.sources.tables.table_source import Extent, TableSource, file_columns, shared_columns

#: Bytes of text that are parsed at once, at least in all and for each column: a row has to fit.
_BLOCK_BYTES, _CELL_BYTES = 1024 * 1024, 256
#: Blocks that the process holds at a time: Arrow reads 32 ahead, and keeps what it has freed.
_BLOCKS_HELD = 64
#: Whole numbers as they are written, of as many digits as 2⁵³ or more.
_LONG_INTEGER = r"^\s*[+-]?[0-9]{16,1000}\s*$"
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class CsvReader:
    """Reads CSV files; `types` are those that the beginning of each file suggests."""

    options: CsvOptions
    types: tuple[Mapping[str, Any], ...]

    @property
    def kind(self) -> str:
        """What messages call it."""
        return "CSV table"

    def batches(
        self,
        file: TableFile,
        extent: Extent,
        columns: Sequence[str],
        n_rows: int,
        *,
        as_text: bool = False,
    ) -> Iterator[Any]:
        """Yield record batches of some columns of a file: numbers and booleans, or text."""
        types = self.types[extent.file]
        declared = {name: self._declared(types[name], as_text) for name in columns}
        unchecked = set() if as_text else set(columns)
        for block in _blocks(file, self.options, declared, _block_bytes(types)):
            large = {name for name in unchecked if _holds_large(block.column(name))}
            unchecked -= large
            for name in large:
                self._check_exact(file, types, name)
            for start in range(0, block.num_rows, n_rows):
                yield block.slice(start, n_rows)

    def buffer_bytes(self, columns: Sequence[str]) -> int:
        """Bytes of blocks, whatever the columns."""
        del columns
        return _BLOCKS_HELD * max(_block_bytes(types) for types in self.types)

    def selection(self) -> Mapping[str, Any]:
        """The options."""
        return {"csv": self.options.as_mapping()}

    @staticmethod
    def _declared(guess: Any, as_text: bool) -> Any:
        library = arrow()
        if as_text:
            return library.string()
        return guess if arrow("types").is_boolean(guess) else library.float64()

    def _check_exact(self, file: TableFile, types: Mapping[str, Any], name: str) -> None:
        """Refuse whole numbers that were rounded: the column is read once more, as text."""
        at, text = 0, {name: arrow().string()}
        for block in _blocks(file, self.options, text, _block_bytes(types)):
            column = block.column(name)
            is_long = arrow("compute").match_substring_regex(column, _LONG_INTEGER)
            rows = np.flatnonzero(is_long.fill_null(False).to_numpy(zero_copy_only=False))
            found = (i for i in rows.tolist() if abs(int(column[i].as_py())) > LARGEST_INTEGER)
            if (row := next(found, None)) is not None:
                line, _ = cell(file, self.options, at + row, list(types).index(name))
                value = column[row].as_py().strip()
                raise inexact(f"{file.name}, line {line}", name, value[:_SHOWN])
            at += block.num_rows


def _holds_large(column: Any) -> bool:
    """Whether numbers are finite and so large that whole ones may have been rounded."""
    if not arrow("types").is_floating(column.type):
        return False
    numbers = column.to_numpy(zero_copy_only=False)
    return bool(np.any((np.abs(numbers) >= LARGEST_INTEGER) & np.isfinite(numbers)))


def open_csv(source: DataSource) -> TableSource:
    """Open CSV files, folders and patterns of them as one table.

    The beginning of each file tells its columns; then each is read once, to count its rows and to
    find rows with too few or too many cells.

    Raises
    ------
    DataError
        If a file is empty or cannot be parsed, a column is absent or holds no numbers, or an id is
        there twice; file, and line or column are named.
    DataNotFoundError
        If there is no file, or one cannot be read.
    UnavailableError
        If pyarrow is not installed.
    """
    files = table_files(source.paths or (source.path,))
    options = CsvOptions.of(source.csv, _usual_delimiter(files[0].name))
    samples = [csv_sample(file, options) for file in files]
    features = source.columns or source.model_features
    carried = frozenset([*source.ids, *source.described]) - set(features)
    columns = file_columns(files, [_columns(sample, carried) for sample in samples])
    partitions = dict.fromkeys(name for file in files for name in file.partition)
    no_numbers: dict[str, str] = {}
    for sample in reversed(samples):
        no_numbers |= {name: text for name, text in sample.no_numbers.items() if text}
    named = [(file.name, types) for file, types in zip(files, columns, strict=True)]
    choice = choose_columns(source, named, no_numbers, partitions)
    as_text = {n: k if n in partitions else arrow().string() for n, k in choice.carried.items()}
    reader = CsvReader(options, shared_columns([sample.types for sample in samples]))
    extents = tuple(Extent(i, 0, _count(file, options, samples[i])) for i, file in enumerate(files))
    note = "CSV files say nothing of their rows: each was read once to count them"
    choice = replace(choice, carried=as_text, dtype=np.dtype(np.float64))
    return check_ids(TableSource(reader, files, extents, columns, choice, (note,)))


def _usual_delimiter(name: str) -> str:
    return "\t" if ".tsv" in name.lower() else ","


def _columns(sample: CsvSample, carried: frozenset[str]) -> dict[str, Any]:
    text = arrow().string()
    return {name: text if name in carried else kind for name, kind in sample.types.items()}


def _count(file: TableFile, options: CsvOptions, sample: CsvSample) -> int:
    """Rows of a file: every row is parsed, one column taken."""
    if not sample.has_rows:
        return 0
    first = {next(iter(sample.types)): arrow().string()}
    quotes = CountedQuotes()
    blocks = _blocks(file, options, first, _block_bytes(sample.types), quotes)
    n_rows: int = sum(batch.num_rows for batch in blocks)
    fault = unclosed_quote(file, options) if quotes.count % 2 else None
    if fault is not None:
        raise fault
    return n_rows


def _block_bytes(types: Mapping[str, Any]) -> int:
    return max(_BLOCK_BYTES, _CELL_BYTES * len(types))


def _blocks(
    file: TableFile,
    options: CsvOptions,
    declared: Mapping[str, Any],
    size: int,
    quotes: CountedQuotes | None = None,
) -> Iterator[Any]:
    """The rows of a file, of declared types, a block of text at a time."""
    with parsing(file, options), opened(file, options) as stream:
        yield from arrow("csv").open_csv(
            stream if quotes is None else quotes.of(stream),
            options.reading(size),
            options.parsing(),
            options.converting(include_columns=list(declared), column_types=dict(declared)),
        )
