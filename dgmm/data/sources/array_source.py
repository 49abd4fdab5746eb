"""A source over arrays of one file: rows in parts of whole chunks, and columns carried along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dgmm.data.sources.row_source import Delivery, RowPart, SourceDescription, SourceRows
from dgmm.data.sources.stored_arrays import StoredArray, rows_per_batch

#: Bytes of values of a part, where chunks are smaller, and parts at most.
_PART_BYTES, _MOST_PARTS = 8 * 1024 * 1024, 20_000
#: Arrays of a batch's size that reading holds: as decoded, as floats, and those yielded before.
_HELD = 4


class Values(Protocol):
    """Features of rows; picklable."""

    def batches(self, start: int, stop: int, n_rows: int) -> Iterator[NDArray[Any]]:
        """Yield rows [start, stop) as (b, d) floats, `n_rows` at a time."""


class Column(Protocol):
    """One value per row; picklable."""

    @property
    def name(self) -> str:
        """What results call it."""

    def numbers(self, start: int, stop: int, n_rows: int) -> Iterator[NDArray[np.float64]]:
        """Yield rows [start, stop) as floats (b,), NaN where missing."""

    def arrow(self, start: int, stop: int, n_rows: int) -> Iterator[Any]:
        """Yield rows [start, stop) as Arrow arrays, null where missing."""


class Version(Protocol):
    """What identifies the data; picklable."""

    def fingerprint(self) -> dict[str, Any]:
        """Sizes and times, as they were when it was described."""

    def check_unchanged(self) -> None:
        """Raise a DataError if it has changed since."""


@dataclass(frozen=True, slots=True)
class RowRanges:
    """How rows are cut: n_rows in parts of `part` rows, read `batch` rows at a time."""

    n_rows: int
    part: int
    batch: int

    @classmethod
    def of(cls, array: StoredArray, width: int, itemsize: int) -> RowRanges:
        """Parts of whole chunks of an array, whose rows become `width` floats."""
        n_rows, batch = array.shape[0], rows_per_batch(array)
        if array.is_sequential:
            return cls(n_rows, n_rows, batch)
        wanted = max(_PART_BYTES // max(width * itemsize, 1), -(-n_rows // _MOST_PARTS))
        return cls(n_rows, batch * max(1, -(-wanted // batch)), batch)

    def parts(self, where: str) -> tuple[RowPart, ...]:
        """All parts in order."""
        starts = range(0, self.n_rows, self.part)
        sizes = (min(self.part, self.n_rows - start) for start in starts)
        return tuple(
            RowPart(i, n, f"{where}, rows {i * self.part:,} to {i * self.part + n - 1:,}")
            for i, n in enumerate(sizes)
        )

    def rows_of(self, part: RowPart) -> tuple[int, int]:
        """First row and row after the last of a part."""
        start = part.index * self.part
        return start, start + part.n_rows


@dataclass(frozen=True, slots=True)
class ArraySource:
    """Rows of a file's arrays; a `RowSource`.

    Parameters
    ----------
    description : SourceDescription
    where : str
        The file and what is read of it, for messages.
    ranges : RowRanges
    values : Values
    version : Version
    weights : Column, optional
    carried : tuple of Column
        What results carry along.
    delivery : {"table", "none"}
        How results go back where the job does not say.
    kept_bytes : int
        Decoded chunks of columns that a process keeps between batches.
    """

    description: SourceDescription
    where: str
    ranges: RowRanges
    values: Values
    version: Version
    weights: Column | None = None
    carried: tuple[Column, ...] = ()
    delivery: Delivery = "none"
    kept_bytes: int = 0

    @property
    def read_bytes(self) -> int:
        """Most bytes that reading one part holds at once."""
        width = len(self.description.feature_names) + len(self.carried) + 1
        return _HELD * self.ranges.batch * width * 8 + self.kept_bytes

    def parts(self) -> tuple[RowPart, ...]:
        """All parts in order; no values are read."""
        return self.ranges.parts(self.where)

    def read(self, part: RowPart) -> Iterator[SourceRows]:
        """Yield a part's rows in order, a bounded number at a time.

        Raises
        ------
        DataError
            If the file is damaged there, or holds something else than was described.
        """
        start, stop = self.ranges.rows_of(part)
        values = self.values.batches(start, stop, self.ranges.batch)
        if self.weights is None:
            yield from map(SourceRows, values)
            return
        weights = self.weights.numbers(start, stop, self.ranges.batch)
        for rows, weighed in zip(values, weights, strict=True):
            yield SourceRows(rows, weighed)

    def read_carried(self, part: RowPart) -> Iterator[Mapping[str, Any]]:
        """Yield the carried columns of a part's rows in order, as Arrow arrays by name."""
        if not self.carried:
            return
        start, stop = self.ranges.rows_of(part)
        names = [column.name for column in self.carried]
        columns = [column.arrow(start, stop, self.ranges.batch) for column in self.carried]
        for batch in zip(*columns, strict=True):
            yield dict(zip(names, batch, strict=True))

    def locate(self, row: int) -> str:
        """File, array and row."""
        return f"{self.where}, row {row:,}"

    def fingerprint(self) -> dict[str, Any]:
        """What identifies the file, and what is taken from it."""
        taken = {
            "features": list(self.description.feature_names),
            "weights": None if self.weights is None else self.weights.name,
        }
        return self.version.fingerprint() | taken

    def check_unchanged(self) -> None:
        """Raise a DataError if the file has changed since it was opened."""
        self.version.check_unchanged()
