"""Chunks whose rows are of several groups, joined from the rows that these saved at their edges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dgmm.data.sources.row_source import SourceRows
from dgmm.ingest.groups import Group
from dgmm.ingest.prepared_arrays import PreparedArrays
from dgmm.reduction.blocks import BlockRange


@dataclass(frozen=True, slots=True)
class JoinedCount:
    """Rows of a number of chunks."""

    n_rows: int

    def merge(self, other: JoinedCount) -> JoinedCount:
        """Of both."""
        return JoinedCount(self.n_rows + other.n_rows)


@dataclass(frozen=True, slots=True)
class SharedChunk:
    """A chunk of rows [start, stop) and the groups that have some of them, in order."""

    start: int
    stop: int
    groups: tuple[Group, ...]


def shared_chunks(
    groups: Sequence[Group], chunk_rows: int, n_samples: int
) -> tuple[SharedChunk, ...]:
    """The chunks that lie wholly in no group, in order."""
    is_shared = np.ones(-(-n_samples // chunk_rows), bool)
    for group in groups:
        first, last = group.inner_chunks(chunk_rows, n_samples)
        if first < last:
            is_shared[first // chunk_rows : -(-last // chunk_rows)] = False
    starts, stops = [group.start for group in groups], [group.stop for group in groups]
    found = []
    for chunk in np.flatnonzero(is_shared).tolist():
        start = chunk * chunk_rows
        stop = min(start + chunk_rows, n_samples)
        own = groups[bisect_right(stops, start) : bisect_left(starts, stop)]
        found.append(SharedChunk(start, stop, tuple(g for g in own if g.start < g.stop)))
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class ChunkJoiner:
    """Joins chunks and writes them; picklable."""

    chunks: tuple[SharedChunk, ...]
    arrays: PreparedArrays
    chunk_rows: int
    n_samples: int

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, JoinedCount]]:
        """Yield (number among the chunks, rows); a chunk is durable before it is yielded."""
        for index in range(blocks.start, blocks.stop):
            chunk = self.chunks[index]
            pieces = [self._piece(group, chunk) for group in chunk.groups]
            self.arrays.write(chunk.start, SourceRows.joined(pieces))
            self.arrays.sync(chunk.start, chunk.stop)
            yield index, JoinedCount(chunk.stop - chunk.start)

    def _piece(self, group: Group, chunk: SharedChunk) -> SourceRows:
        """The rows of a group that lie in a chunk."""
        head, tail = self.arrays.read_edges(group.index)
        _, last = group.inner_chunks(self.chunk_rows, self.n_samples)
        rows, start = (head, group.start) if chunk.start < last else (tail, last)
        own = slice(max(chunk.start - start, 0), chunk.stop - start)
        return rows.part(own)
