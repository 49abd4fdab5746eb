"""A table as a source: files in order, cut into parts, of which chosen columns are streamed."""

from __future__ import annotations

import bisect
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dgmm.data.sources.row_source import Delivery, RowPart, SourceDescription, SourceRows
from dgmm.data.sources.tables.arrow import arrow
from dgmm.data.sources.tables.column_choice import ColumnChoice
from dgmm.data.sources.tables.column_values import feature_values, weight_values
from dgmm.data.sources.tables.table_files import TableFile, partition_values
from dgmm.errors import DataError

#: Rows and bytes of numbers that are read at once, at most.
BATCH_ROWS, _BATCH_BYTES = 65_536, 8 * 1024 * 1024
_FEWEST_ROWS = 256


@dataclass(frozen=True, slots=True)
class Extent:
    """Consecutive rows of a file that are one part: the whole file, or some of its row groups."""

    file: int
    first: int
    n_rows: int
    row_groups: tuple[int, ...] = ()


class TableReader(Protocol):
    """Reads files of one kind; picklable."""

    @property
    def kind(self) -> str:
        """What a table of such files is called."""

    def batches(
        self,
        file: TableFile,
        extent: Extent,
        columns: Sequence[str],
        n_rows: int,
        *,
        as_text: bool,
    ) -> Iterator[Any]:
        """Yield record batches of some columns of an extent, `n_rows` rows at most, in order.

        `as_text`: a column whose type the file does not say is text, not numbers.

        Raises
        ------
        DataError
            If the file is damaged, naming it and the place.
        """

    def buffer_bytes(self, columns: Sequence[str]) -> int:
        """Bytes that reading those columns holds at most, besides the batches."""

    def selection(self) -> Mapping[str, Any]:
        """How files are read, as far as the job says."""


@dataclass(frozen=True, slots=True)
class TableSource:
    """Rows of a table; nothing but metadata is kept.

    Parameters
    ----------
    reader : TableReader
    files : tuple of TableFile
    extents : tuple of Extent
        The parts, in order.
    columns : tuple of mapping
        Arrow types by name, for each file.
    choice : ColumnChoice
    notes : tuple of str
        Of the reader, printed with those of the choice.
    """

    reader: TableReader
    files: tuple[TableFile, ...]
    extents: tuple[Extent, ...]
    columns: tuple[Mapping[str, Any], ...]
    choice: ColumnChoice
    notes: tuple[str, ...] = ()

    @property
    def description(self) -> SourceDescription:
        """What the table holds."""
        return SourceDescription(
            kind=self.reader.kind,
            feature_names=self.choice.feature_names,
            dtype=self.choice.dtype,
            carried=tuple(self.choice.carried),
            described=self.choice.described,
            notes=(*self.notes, *self.choice.notes),
            has_weights=self.choice.weights is not None,
        )

    @property
    def delivery(self) -> Delivery:
        """Results go back as a table."""
        return "table"

    @property
    def read_bytes(self) -> int:
        """Bytes that reading a part holds at most: buffers, a batch, and its numbers twice."""
        columns = self.choice.read
        width = self.choice.n_numbers
        return self.reader.buffer_bytes(columns) + 3 * 8 * width * batch_rows(width)

    def parts(self) -> tuple[RowPart, ...]:
        """A part for each extent."""
        shares = Counter(extent.file for extent in self.extents)
        return tuple(
            RowPart(i, extent.n_rows, self._name(extent, is_whole=shares[extent.file] == 1))
            for i, extent in enumerate(self.extents)
        )

    def read(self, part: RowPart) -> Iterator[SourceRows]:
        """Yield a part's features and weights.

        Raises
        ------
        DataError
            If the file is damaged or has changed, or a value is no float64 number.
        """
        extent, choice = self.extents[part.index], self.choice
        name, at = self.files[extent.file].name, extent.first
        for batch in self._batches(extent, choice.read, choice.n_numbers, as_text=False):

            def place(row: int, first: int = at) -> str:
                return f"{name}, row {first + row}"

            values = feature_values(batch, choice.features, choice.dtype, place)
            named = choice.weights
            weights = None if named is None else weight_values(batch, named, place)
            yield SourceRows(values, weights)
            at += batch.num_rows

    def read_carried(self, part: RowPart) -> Iterator[Mapping[str, Any]]:
        """Yield the carried columns of a part's rows, each with its type in all files."""
        carried = self.choice.carried
        extent = self.extents[part.index]
        for batch in self._batches(extent, list(carried), len(carried), as_text=True):
            yield {name: _cast(batch.column(name), kind) for name, kind in carried.items()}

    def locate(self, row: int) -> str:
        """The file of a row, and which of its rows it is, from 0."""
        starts = [0, *itertools.accumulate(extent.n_rows for extent in self.extents)]
        part = bisect.bisect_right(starts, row) - 1
        extent = self.extents[part]
        inside = row - starts[part] + extent.first
        return f"{self.files[extent.file].name}, row {inside}"

    def fingerprint(self) -> dict[str, Any]:
        """How many files, a digest of their names, sizes, times and types; what is read of them."""
        listing = [
            [f.name, f.size, f.mtime_ns, [[n, str(t)] for n, t in columns.items()]]
            for f, columns in zip(self.files, self.columns, strict=True)
        ]
        return {
            "files": len(self.files),
            "bytes": sum(file.size for file in self.files),
            "files_sha256": hashlib.sha256(json.dumps(listing).encode()).hexdigest(),
            "columns": [feature.name for feature in self.choice.features],
            "carried": list(self.choice.carried),
            "weights": self.choice.weights,
            **self.reader.selection(),
        }

    def check_unchanged(self) -> None:
        """Compare sizes and times of all files with what they were.

        Raises
        ------
        DataError
            Naming the first that has changed.
        """
        for file in self.files:
            file.check_unchanged()

    def _name(self, extent: Extent, *, is_whole: bool) -> str:
        name = self.files[extent.file].name
        if is_whole:
            return name
        return f"{name}, rows {extent.first} to {extent.first + extent.n_rows - 1}"

    def _batches(
        self, extent: Extent, names: Sequence[str], width: int, *, as_text: bool
    ) -> Iterator[Any]:
        """Batches with the columns of the file, and those that its folders give."""
        file, types = self.files[extent.file], self.columns[extent.file]
        given = [n for n in names if n in file.partition]
        stored = [n for n in names if n in types and n not in given]
        rows = batch_rows(width)
        n_read = 0
        if not stored or not extent.n_rows:
            batches = _empty(extent, rows)
        else:
            batches = self.reader.batches(file, extent, stored, rows, as_text=as_text)
        for batch in batches:
            n_read += batch.num_rows
            yield _with_partitions(batch, file, types, given)
        if n_read != extent.n_rows:
            raise DataError(
                f"{file.name} gave {n_read:,} rows where {extent.n_rows:,} were expected: it "
                "changed since the table was opened. Run again when nothing writes to it"
            )


def batch_rows(width: int) -> int:
    """Rows that are read at once where a row has so many numbers: 8 MiB of them at most."""
    return max(_FEWEST_ROWS, min(BATCH_ROWS, _BATCH_BYTES // (8 * max(width, 1))))


def file_columns(
    files: Sequence[TableFile], stored: Sequence[Mapping[str, Any]]
) -> tuple[Mapping[str, Any], ...]:
    """Columns of each file, those that its folders give included.

    Raises
    ------
    DataError
        If a file holds a column that its folder gives too.
    """
    every: list[dict[str, Any]] = [dict(columns) for columns in stored]
    for name in dict.fromkeys(name for file in files for name in file.partition):
        values = partition_values(file.partition.get(name) for file in files)
        is_text = any(isinstance(value, str) for value in values)
        for file, columns in zip(files, every, strict=True):
            if name in columns:
                raise DataError(
                    f"{file.name} holds a column {name!r}, and its folder gives one of that name "
                    "too. Rename one of them"
                )
            if name in file.partition:
                columns[name] = arrow().string() if is_text else arrow().int64()
    return shared_columns(every)


def shared_columns(every: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """The same, equal ones as one object: a table of many files is small where it is sent."""
    shared: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    return tuple(shared.setdefault(tuple(columns.items()), columns) for columns in every)


def _with_partitions(
    batch: Any, file: TableFile, types: Mapping[str, Any], given: Sequence[str]
) -> Any:
    library = arrow()
    arrays, names = list(batch.columns), list(batch.schema.names)
    for name in given:
        text, kind = file.partition[name], types[name]
        is_integer = library.types.is_integer(kind)
        value = int(text) if is_integer and text is not None else text
        arrays.append(library.repeat(library.scalar(value, kind), batch.num_rows))
        names.append(name)
    return library.record_batch(arrays, names=names) if given else batch


def _empty(extent: Extent, rows: int) -> Iterator[Any]:
    """Batches with rows and no column to speak of."""
    library = arrow()
    for start in range(0, extent.n_rows, rows):
        n = min(rows, extent.n_rows - start)
        yield library.record_batch([library.nulls(n)], names=[""])


def _cast(column: Any, kind: Any) -> Any:
    return column if column.type == kind else arrow("compute").cast(column, kind)
