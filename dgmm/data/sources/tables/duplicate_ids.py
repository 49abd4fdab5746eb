"""Whether ids are unique: results are joined back by them, and a second row would multiply rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dgmm.data.feature_names import safe_text
from dgmm.data.sources.tables.table_source import TableSource
from dgmm.errors import DataError

#: Rows up to which ids are compared: 8 bytes each are held, and sorted.
MOST_ROWS = 16_777_216


def check_ids(table: TableSource) -> TableSource:
    """The table, with a note where it has too many rows for the comparison.

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
    hashes = np.empty(n_rows, np.int64)
    for start, keys in _keys(table):
        hashes[start : start + len(keys)] = np.fromiter(map(hash, keys), np.int64, len(keys))
    repeated = _repeated(hashes)
    if repeated:
        _compare(table, hashes, repeated)
    return table


def _repeated(hashes: NDArray[np.int64]) -> frozenset[int]:
    found = np.sort(hashes)
    return frozenset(found[1:][found[1:] == found[:-1]].tolist())


def _compare(table: TableSource, hashes: NDArray[np.int64], repeated: frozenset[int]) -> None:
    rows = np.flatnonzero(np.isin(hashes, list(repeated)))
    seen: dict[tuple[object, ...], int] = {}
    for start, keys in _keys(table):
        inside = rows[(rows >= start) & (rows < start + len(keys))].tolist()
        for row in inside:
            key = keys[row - start]
            if key in seen:
                raise _twice(table, key, seen[key], row)
            seen[key] = row


def _twice(table: TableSource, key: tuple[object, ...], first: int, second: int) -> DataError:
    ids = table.choice.ids
    what = ", ".join(f"{n} {safe_text(repr(v))}" for n, v in zip(ids, key, strict=True))
    return DataError(
        f"data.id: {what} is in {table.locate(first)} and again in {table.locate(second)}. Results "
        "are joined back by their ids, which have to be unique: name the columns that make them so "
        "together, or carry the column along by data.describe"
    )


def _keys(table: TableSource) -> Iterator[tuple[int, list[tuple[object, ...]]]]:
    """First row and ids of batches of rows."""
    start = 0
    for part in table.parts():
        for columns in table.read_carried(part):
            keys = list(zip(*(columns[n].to_pylist() for n in table.choice.ids), strict=True))
            yield start, keys
            start += len(keys)
