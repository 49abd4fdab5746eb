"""The task of preparing: reads the parts of groups, writes whole chunks, saves what lies at edges.

A task holds the rows of one read and of three chunks, however large its parts are.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np

from dgmm.data.source_dataset import SourceDataset
from dgmm.data.sources.row_source import RowPart, SourceRows
from dgmm.data.summary.missing_counts import MissingCounts
from dgmm.errors import DataError, StoppedError
from dgmm.ingest.groups import Group
from dgmm.ingest.prepared_arrays import PreparedArrays
from dgmm.reduction.blocks import BlockRange
from dgmm.runtime import stop_flag
from dgmm.storage.retry import retry_budget


@dataclass(frozen=True, slots=True)
class PreparedCount:
    """Rows that are written, of a number of groups or chunks, and what these rows lack."""

    n_rows: int
    missing: MissingCounts

    def merge(self, other: PreparedCount) -> PreparedCount:
        """Of both."""
        return PreparedCount(self.n_rows + other.n_rows, self.missing.merge(other.missing))


@dataclass(frozen=True, slots=True, eq=False)
class GroupReader:
    """Reads groups and writes their rows; picklable."""

    dataset: SourceDataset
    groups: tuple[Group, ...]
    arrays: PreparedArrays
    retry_s: float = 0.0

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, PreparedCount]]:
        """Yield (group, count); all rows of a group are durable before it is yielded."""
        for group in self.groups[blocks.start : blocks.stop]:
            missing = self.arrays.missing_of(group)
            if missing is None:
                with retry_budget(self.retry_s):
                    missing = self._prepare(group)
            yield group.index, PreparedCount(group.stop - group.start, missing)

    def _prepare(self, group: Group) -> MissingCounts:
        step = self.dataset.chunk_rows
        first, last = group.inner_chunks(step, self.dataset.n_samples)
        batches = RowBatches(self.dataset, group)
        head = batches.take(first - group.start)
        missing = MissingCounts.of_rows(head.values, head.weights)
        for start in range(first, last, step):
            rows = batches.take(min(step, last - start))
            self.arrays.write(start, rows)
            missing = missing.merge(MissingCounts.of_rows(rows.values, rows.weights))
        tail = batches.take(group.stop - last)
        missing = missing.merge(MissingCounts.of_rows(tail.values, tail.weights)).recordable()
        batches.end()
        if first < last:
            self.arrays.sync(first, last)
        self.arrays.write_edges(group, head, tail, missing)
        return missing


class RowBatches:
    """The rows of a group's parts in order, each part read once and its rows counted."""

    def __init__(self, dataset: SourceDataset, group: Group) -> None:
        self._source, self._described = dataset.source, dataset.description
        self._batches = self._of_parts(group)
        self._rest = self._empty(0)

    def take(self, n_rows: int) -> SourceRows:
        """The next rows, as an array of their own."""
        taken, filled = self._empty(n_rows), 0
        while filled < n_rows:
            if not len(self._rest.values):
                self._rest = next(self._batches)
            n_copied = min(len(self._rest.values), n_rows - filled)
            own, rest = slice(filled, filled + n_copied), self._rest
            taken.values[own] = rest.values[:n_copied]
            if taken.weights is not None and rest.weights is not None:
                taken.weights[own] = rest.weights[:n_copied]
            if taken.residuals is not None and rest.residuals is not None:
                taken.residuals[own] = rest.residuals[:n_copied]
            self._rest = rest.part(slice(n_copied, None))
            filled += n_copied
        return taken

    def end(self) -> None:
        """Read on to the end: a part that has more rows than it said is found there."""
        for _ in self._batches:
            pass

    def close(self) -> None:
        """Leave the rest unread, and close what was read from."""
        self._batches.close()

    def _empty(self, n_rows: int) -> SourceRows:
        described = self._described
        values = np.empty((n_rows, len(described.feature_names)), described.dtype)
        r = len(described.residuals)
        return SourceRows(
            values,
            np.empty(n_rows) if described.has_weights else None,
            np.empty((n_rows, r)) if r else None,
        )

    def _of_parts(self, group: Group) -> Generator[SourceRows, None, None]:
        for part in group.parts:
            n_read = 0
            for rows in self._source.read(part):
                if stop_flag.requested.is_set():
                    raise StoppedError("stopped in the middle of a task")
                self._check(part, rows)
                n_read += len(rows.values)
                if n_read > part.n_rows:
                    raise _other_count(part, f"more than {part.n_rows:,} rows were read")
                yield rows
            if n_read < part.n_rows:
                raise _other_count(part, f"{n_read:,} rows were read")

    def _check(self, part: RowPart, rows: SourceRows) -> None:
        described, values, weights = self._described, rows.values, rows.weights
        d = len(described.feature_names)
        if values.ndim != 2 or values.shape[1] != d or values.dtype != described.dtype:
            raise DataError(
                f"{part.name}: values of shape {values.shape} and type {values.dtype} were read; "
                f"its {described.kind} was described as rows of {d} {described.dtype}"
            )
        expected = (len(values),) if described.has_weights else None
        if (None if weights is None else weights.shape) != expected:
            raise DataError(f"{part.name}: expected weights of shape {expected} with its rows")


def _other_count(part: RowPart, found: str) -> DataError:
    return DataError(
        f"{part.name}: {found}, its metadata say {part.n_rows:,}. It was changed or cut short "
        "since it was opened: restore it, or run again when nothing writes to it"
    )
