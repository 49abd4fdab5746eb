"""Parquet tables: schemas and sizes from the footers, rows streamed page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgmm.data.data_source import DataSource
from dgmm.data.feature_names import safe_text
from dgmm.data.sources.tables.arrow import arrow, reading
from dgmm.data.sources.tables.column_choice import choose_columns
from dgmm.data.sources.tables.duplicate_ids import check_ids
from dgmm.data.sources.tables.retried_file import RetriedFile
from dgmm.data.sources.tables.table_files import TableFile, table_files
from dgmm.data.sources.tables.table_source import Extent, TableSource, file_columns
from dgmm.errors import DataError

#: Row groups of a file are joined to parts of at most so many rows; a larger one is a part.
_PART_ROWS = 1_048_576
#: Bytes that are held while pages are decoded: of a column as many as its largest chunk has, but
#: pages and dictionaries of the usual 1 MiB at most; of each column besides; and of the process.
_COLUMN_BYTES, _BESIDE_BYTES, _LIBRARY_BYTES = 4 * 1024 * 1024, 1024 * 1024, 16 * 1024 * 1024
_READ_AHEAD = 256 * 1024
_REMEDY = "Was it cut short while it was written? Write it again, or move it away"
MAGIC = b"PAR1"
#: Earlier versions end with "Expected all lists to be of size=2 but index 2 had size=0".
_READS_NULL_VECTORS = 26


@dataclass(frozen=True, slots=True)
class ParquetReader:
    """Reads Parquet files; `column_bytes` has what decoding a column holds at most."""

    column_bytes: Mapping[str, int]

    @property
    def kind(self) -> str:
        """What messages call it."""
        return "Parquet table"

    def batches(
        self,
        file: TableFile,
        extent: Extent,
        columns: Sequence[str],
        n_rows: int,
        *,
        as_text: bool = False,
    ) -> Iterator[Any]:
        """Yield record batches of some columns of an extent, of the types in the file."""
        del as_text
        with reading(file.name, _remedy_of_values()), _opened(file) as parquet:
            yield from parquet.iter_batches(
                n_rows, row_groups=extent.row_groups, columns=list(columns), use_threads=False
            )

    def buffer_bytes(self, columns: Sequence[str]) -> int:
        """Bytes of pages and dictionaries."""
        held = sum(self.column_bytes.get(name, 0) + _BESIDE_BYTES for name in columns)
        return _LIBRARY_BYTES + held

    def selection(self) -> Mapping[str, Any]:
        """Parquet has no options."""
        return {}


@dataclass(frozen=True, slots=True)
class _Footer:
    columns: Mapping[str, Any]
    row_groups: tuple[int, ...]
    column_bytes: Mapping[str, int]


def open_parquet(source: DataSource) -> TableSource:
    """Open files, folders and patterns of Parquet files as one table.

    The footer of every file is read, and the schemas are checked; of the values only ids are read,
    which have to be unique.

    Raises
    ------
    DataError
        If a file is no Parquet file or is cut short, a column is absent, twice there or of a type
        that is not read, or an id is there twice; file and column are named.
    DataNotFoundError
        If there is no file, or one cannot be read.
    UnavailableError
        If pyarrow is not installed.
    """
    files = table_files(source.paths or (source.path,))
    footers = [_footer(file) for file in files]
    columns = file_columns(files, [footer.columns for footer in footers])
    partitions = dict.fromkeys(name for file in files for name in file.partition)
    named = [(file.name, types) for file, types in zip(files, columns, strict=True)]
    choice = choose_columns(source, named, {}, partitions)
    extents = [e for i, f in enumerate(footers) for e in _extents(i, f.row_groups)]
    largest: dict[str, int] = {}
    for footer in footers:
        for name, size in footer.column_bytes.items():
            largest[name] = max(size, largest.get(name, 0))
    reader = ParquetReader(largest)
    table = TableSource(reader, files, tuple(extents), columns, choice)
    return check_ids(table)


def _opened(file: TableFile) -> Any:
    return arrow("parquet").ParquetFile(
        RetriedFile(file.path),
        buffer_size=_READ_AHEAD,
        pre_buffer=False,
        page_checksum_verification=True,
    )


def _remedy_of_values() -> str:
    """What to do about values that cannot be read; older libraries read no null vectors."""
    version = str(arrow().__version__)
    if int(version.partition(".")[0]) >= _READS_NULL_VECTORS:
        return _REMEDY
    return (
        f"{_REMEDY}. Vectors of a fixed size that are null are read by pyarrow "
        f"{_READS_NULL_VECTORS} and later; this is {version}"
    )


def _begin(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(MAGIC))


def _footer(file: TableFile) -> _Footer:
    with reading(file.name, _REMEDY):
        begin = _begin(Path(file.path))
    if begin != MAGIC:
        raise DataError(
            f"{file.name} is no Parquet file: it begins with {safe_text(repr(begin))}, expected "
            f"{MAGIC!r}. Move it away, or name the files by a pattern (folder/*.parquet)"
        )
    with reading(file.name, _REMEDY), _opened(file) as parquet:
        schema, metadata = parquet.schema_arrow, parquet.metadata
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        return _Footer(
            _types(file, schema),
            tuple(group.num_rows for group in groups),
            _column_bytes(groups, schema.names),
        )


def _types(file: TableFile, schema: Any) -> dict[str, Any]:
    repeated = [name for name, count in Counter(schema.names).items() if count > 1]
    if repeated:
        raise DataError(
            f"{file.name} has more than one column {safe_text(repeated[0])!r}; expected names to "
            "be unique"
        )
    return dict(zip(schema.names, schema.types, strict=True))


def _column_bytes(groups: Sequence[Any], names: Sequence[str]) -> dict[str, int]:
    """Bytes that decoding a column holds: of its largest chunk, at most `_COLUMN_BYTES`."""
    found: dict[str, int] = {}
    for group in groups:
        for i in range(group.num_columns):
            chunk = group.column(i)
            path = chunk.path_in_schema
            name = path if path in names else path.split(".", 1)[0]
            size = min(chunk.total_uncompressed_size, _COLUMN_BYTES)
            found[name] = max(size, found.get(name, 0))
    return found


def _extents(file: int, row_groups: Sequence[int]) -> Iterator[Extent]:
    """Consecutive row groups of a file, joined as long as they have few rows."""
    first, at, held = 0, 0, 0
    for group, n_rows in enumerate(row_groups):
        if held and held + n_rows > _PART_ROWS:
            yield Extent(file, at, held, tuple(range(first, group)))
            first, at, held = group, at + held, 0
        held += n_rows
    yield Extent(file, at, held, tuple(range(first, len(row_groups))))
