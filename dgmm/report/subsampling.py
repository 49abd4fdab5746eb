"""Reading a stored column in bounded work: every s-th row, and a sentence that names s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dgmm.report.formatting import ordinal

#: No figure looks at more cells than this.
CELL_LIMIT = 4_000_000
#: A chunk is decoded whole, so a stride alone would decode everything; beyond this many rows whole
#: chunks are left out too (10¹¹ labels are 400 GB).
DECODE_LIMIT = 64 * CELL_LIMIT


class StoredColumn(Protocol):
    """One array of outputs.zarr with a value a row."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n,)."""

    @property
    def chunk_rows(self) -> int:
        """Rows that are decoded together."""

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows [start, stop)."""


@dataclass(frozen=True, slots=True)
class Subsample:
    """Some rows of a column.

    Parameters
    ----------
    values : ndarray (m,)
        m is at most `CELL_LIMIT`.
    description : str
        Which rows these are, for a caption: `every 3rd row of 12,000,000`.
    """

    values: NDArray[Any]
    description: str


def read_subsample(column: StoredColumn, limit: int = CELL_LIMIT) -> Subsample:
    """At most about `limit` rows, evenly spread over the column."""
    n = column.shape[0]
    chunk_stride = max(1, -(-n // DECODE_LIMIT))
    if chunk_stride == 1:
        stride = max(1, -(-n // limit))
        rows = np.arange(0, n, stride)
        return Subsample(read_at(column, rows), _description(n, stride))
    starts = range(0, n, chunk_stride * column.chunk_rows)
    # A chunk may contribute one row more than its size over the stride.
    stride = -(-len(starts) * column.chunk_rows // max(1, limit - len(starts)))
    rows = np.concatenate([np.arange(s, min(s + column.chunk_rows, n), stride) for s in starts])
    words = f"every {ordinal(stride)} row of every {ordinal(chunk_stride)} chunk of {n:,} rows"
    return Subsample(read_at(column, rows), words)


def _description(n: int, stride: int) -> str:
    return f"all {n:,} rows" if stride == 1 else f"every {ordinal(stride)} row of {n:,}"


def read_at(column: StoredColumn, rows: NDArray[np.int64]) -> NDArray[Any]:
    """The column's values at ascending row numbers (m,), each chunk decoded once."""
    if rows.size == 0:
        return np.empty(0)
    first_of_chunk = np.flatnonzero(np.diff(rows // column.chunk_rows)) + 1
    pieces = []
    for piece in np.split(rows, first_of_chunk):
        start = int(piece[0])
        pieces.append(column.read(start, int(piece[-1]) + 1)[piece - start])
    return np.concatenate(pieces)
