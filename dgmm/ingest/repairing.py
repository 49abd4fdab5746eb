"""Chunks of prepared rows that are damaged or absent, written again from the source.

Each chunk has a checksum, so that all of them are read to find which are damaged. The parts that
hold rows of these are read again: the source is the one that the rows were prepared from, and the
bytes are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

from dgmm.data.source_dataset import SourceDataset
from dgmm.data.sources.row_source import RowPart
from dgmm.errors import OutputFailedError
from dgmm.ingest.group_reading import RowBatches
from dgmm.ingest.groups import Group
from dgmm.ingest.prepare import PreparedTarget
from dgmm.ingest.prepared_arrays import PreparedArrays
from dgmm.reduction.blocks import BlockRange
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import map_reduce
from dgmm.storage.retry import retry_budget

#: Chunks of a task at most.
_MOST_CHUNKS = 64


@dataclass(frozen=True, slots=True)
class DamagedChunks:
    """Numbers of chunks, in order."""

    chunks: tuple[int, ...]

    def merge(self, other: DamagedChunks) -> DamagedChunks:
        """Those before, and those behind them."""
        return DamagedChunks(self.chunks + other.chunks)


@dataclass(frozen=True, slots=True, eq=False)
class ChunkChecker:
    """Reads chunks; picklable."""

    arrays: PreparedArrays
    chunk_rows: int
    n_samples: int

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, DamagedChunks]]:
        """Yield (chunk, whether it is damaged)."""
        for chunk in range(blocks.start, blocks.stop):
            start = chunk * self.chunk_rows
            stop = min(start + self.chunk_rows, self.n_samples)
            yield chunk, DamagedChunks(() if self._is_intact(start, stop) else (chunk,))

    def _is_intact(self, start: int, stop: int) -> bool:
        try:
            self.arrays.read(start, stop)
        except OutputFailedError:
            return False
        return True


@dataclass(frozen=True, slots=True, eq=False)
class ChunkRewriter:
    """Reads rows of chunks from the source and writes them; picklable."""

    dataset: SourceDataset
    arrays: PreparedArrays
    chunks: tuple[int, ...]
    retry_s: float

    def __call__(self, blocks: BlockRange) -> Iterator[tuple[int, DamagedChunks]]:
        """Yield (place in the list, the chunk); it is durable before it is yielded."""
        for place in range(blocks.start, blocks.stop):
            chunk = self.chunks[place]
            with retry_budget(self.retry_s):
                self._write(chunk)
            yield place, DamagedChunks((chunk,))

    def _write(self, chunk: int) -> None:
        step = self.dataset.chunk_rows
        start = chunk * step
        stop = min(start + step, self.dataset.n_samples)
        parts: list[RowPart] = []
        first, reached = start, 0
        for part in self.dataset.parts:
            if part.n_rows and reached < stop and reached + part.n_rows > start:
                first = reached if not parts else first
                parts.append(part)
            reached += part.n_rows
        last = first + sum(part.n_rows for part in parts)
        with closing(RowBatches(self.dataset, Group(0, tuple(parts), first, last))) as batches:
            while first < start:
                n_before = min(step, start - first)
                batches.take(n_before)
                first += n_before
            self.arrays.write(start, batches.take(stop - start))
        self.arrays.sync(start, stop)


def is_repairable(dataset: SourceDataset, target: PreparedTarget) -> bool:
    """Whether the finished rows lie in the chunks in which they are written today."""
    return target.finished_arrays(dataset).has_layout(dataset)


def repair(
    dataset: SourceDataset,
    executor: Executor,
    target: PreparedTarget,
    *,
    retry_s: float = 0.0,
    note: Callable[[str], None] = lambda _: None,
) -> int:
    """Write the chunks again that are damaged or absent; how many these were.

    Parameters
    ----------
    dataset, executor
        Whose source is read, with its steps fitted, and where.
    target
        Where the finished rows are: `is_prepared` says that they are of these very data.
    retry_s, note
        As of `prepare`.

    Raises
    ------
    DataError
        If a part is damaged, or the source has changed.
    OutputFailedError
        If rows cannot be written.
    """
    dataset.source.check_unchanged()
    arrays = target.finished_arrays(dataset)
    n_chunks = -(-dataset.n_samples // dataset.chunk_rows)
    note(f"all {n_chunks:,} chunks of {target.name} are read to find those that are damaged")
    checker = ChunkChecker(arrays, dataset.chunk_rows, dataset.n_samples)
    damaged = map_reduce(executor, checker, n_chunks, most_blocks=_MOST_CHUNKS).chunks
    if damaged:
        rewriter = ChunkRewriter(dataset, arrays, damaged, retry_s)
        map_reduce(executor, rewriter, len(damaged), most_blocks=_MOST_CHUNKS)
        dataset.source.check_unchanged()
    return len(damaged)
