"""Whether ids are unique: results are joined back by them, and a second row would multiply rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.data.sources.row_source import RowSource
from dgmm.data.sources.tables.arrow import arrow
from dgmm.data.sources.tables.table_source import TableSource
from dgmm.errors import DataError

#: Rows up to which ids are compared: 8 bytes each are held, and sorted.
MOST_ROWS = 16_777_216
#: Why an id that is there twice is an error, and the remedy.
UNIQUE = (
    "Results are joined back by their ids, which have to be unique: name the columns that make "
    "them so together, or carry the column along by data.describe"
)
_FACTOR, _NULL = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)


def check_ids(table: TableSource) -> TableSource:
    """The table, with a note of what was compared, or why it was not.

    Each row's ids are hashed to 64 bits; where two hashes are equal, the ids themselves are
    compared.

    Raises
    ------
    DataError
        Naming an id that is there twice, and both rows.
    """
    ids, n_rows = table.choice.ids, sum(part.n_rows for part in table.parts())
    if not ids:
        return table
    if n_rows > MOST_ROWS:
        note = (
            f"{', '.join(ids)}: not compared, because more than {MOST_ROWS:,} rows would be held; "
            "an id that is there twice is carried along twice"
        )
        return replace(table, notes=(*table.notes, note))
    if (found := repeated_id(_ids_alone(table), ids)) is not None:
        raise DataError(f"data.id: {found}. {UNIQUE}")
    note = f"{', '.join(ids)}: read once more than the rest, to see that each id is there once"
    return replace(table, notes=(*table.notes, note))


def _ids_alone(table: TableSource) -> TableSource:
    """The table without the other columns that are carried: they are not read for this."""
    carried = {name: table.choice.carried[name] for name in table.choice.ids}
    return replace(table, choice=replace(table.choice, carried=carried))


def repeated_id(source: RowSource, ids: tuple[str, ...]) -> str | None:
    """The first id that is there twice and both rows, in words; None where there is none.

    Parameters
    ----------
    source
        Of `MOST_ROWS` rows at most.
    ids
        Carried columns that make up the id.
    """
    hashes = np.empty(sum(part.n_rows for part in source.parts()), np.uint64)
    for start, columns in _ids(source, ids):
        found = row_hashes(columns)
        hashes[start : start + len(found)] = found
    hashes.sort()
    repeated = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    return _compared(source, ids, repeated) if len(repeated) else None


def _compared(source: RowSource, ids: tuple[str, ...], repeated: NDArray[np.uint64]) -> str | None:
    """The first ids that are equal, of rows whose hashes are."""
    seen: dict[tuple[object, ...], int] = {}
    for start, columns in _ids(source, ids):
        # sorted, not by a table of their range: NumPy 2.0 overflows on uint64 beyond int64
        rows = np.flatnonzero(np.isin(row_hashes(columns), repeated, kind="sort"))
        keys = zip(*(column.take(rows).to_pylist() for column in columns), strict=True)
        for row, key in zip((start + rows).tolist(), keys, strict=True):
            if key in seen:
                what = ", ".join(f"{n} {safe_text(repr(v))}" for n, v in zip(ids, key, strict=True))
                return f"{what} is in {source.locate(seen[key])} and again in {source.locate(row)}"
            seen[key] = row
    return None


def _ids(source: RowSource, ids: tuple[str, ...]) -> Iterator[tuple[int, list[Any]]]:
    """First row of batches, and their id columns."""
    start = 0
    for part in source.parts():
        for columns in source.read_carried(part):
            yield start, [columns[name] for name in ids]
            start += len(columns[ids[0]])


def row_hashes(columns: Sequence[Any]) -> NDArray[np.uint64]:
    """A hash (b,) of each row of some columns, one after the other."""
    found = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        found = _mixed(found * _FACTOR + _hashes(column))
    return found


def _hashes(column: Any) -> NDArray[np.uint64]:
    library, types = arrow(), arrow("types")
    if types.is_integer(column.type):
        own: NDArray[np.uint64] = (
            column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.uint64)
        )
    elif types.is_binary(column.type) or types.is_large_binary(column.type):
        own = _text_hashes(column.cast(library.large_binary()).fill_null(b""))
    else:
        own = _text_hashes(column.cast(library.large_string()).fill_null(""))
    own[column.is_null().to_numpy(zero_copy_only=False)] = _NULL
    return own


def _text_hashes(column: Any) -> NDArray[np.uint64]:
    """Of text with bytes c_i the sum of (c_i + 1) F^i, modulo 2⁶⁴, all texts at once."""
    _, offsets, content = column.buffers()
    ends = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    if content is None or ends[-1] == ends[0]:
        return np.zeros(len(column), np.uint64)
    lengths, n_bytes = np.diff(ends), ends[-1] - ends[0]
    places = np.arange(n_bytes) - np.repeat(ends[:-1] - ends[0], lengths)
    powers = np.cumprod(np.full(lengths.max(), _FACTOR)).astype(np.uint64, copy=False)
    sums = np.zeros(n_bytes + 1, np.uint64)
    characters = np.frombuffer(content, np.uint8, n_bytes, ends[0]).astype(np.uint64) + np.uint64(1)
    np.cumsum(characters * powers[places], out=sums[1:])
    found = sums[ends - ends[0]]
    hashes: NDArray[np.uint64] = found[1:] - found[:-1]
    return hashes


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """High bits brought to low places, so that products reach all of them."""
    mixed: NDArray[np.uint64] = (hashes ^ (hashes >> np.uint64(29))) * _FACTOR
    return mixed
