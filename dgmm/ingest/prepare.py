"""Prepare: read a source once and publish its rows as a Zarr array, whatever ends the process.

Each part is read by one task, each chunk is written by one. What is done stands on disk: an
attempt that begins after another one was killed reads only groups that are not done, and the bytes
are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dgmm.data.source_dataset import SourceDataset
from dgmm.data.stored_dataset import StoredDataset
from dgmm.data.summary.missing_counts import MissingCounts
from dgmm.data.zarr.dataset import open_zarr
from dgmm.data.zarr.output_array import output_failures
from dgmm.data.zarr.output_store import finish_outputs
from dgmm.errors import DataError
from dgmm.ingest.group_reading import GroupReader, PreparedCount
from dgmm.ingest.groups import Group, groups_named, groups_of
from dgmm.ingest.joining import ChunkJoiner, shared_chunks
from dgmm.ingest.prepared_arrays import MISSING_ATTRIBUTE, ROWS, PreparedArrays
from dgmm.ingest.progress import PrepareProgress
from dgmm.reduction.executor import Executor
from dgmm.reduction.map_reduce import map_reduce
from dgmm.storage.folders import Entry, Folder

#: Groups of a task at most: what is read again when a worker ends in the middle of one is a group.
_MOST_GROUPS = 16


@dataclass(frozen=True, slots=True)
class PreparedTarget:
    """Where prepared rows go.

    Attributes
    ----------
    folder : Folder
        Held open.
    name : str
        Of the group in it; while it is written `.part` is added.
    run : str
        Digest of the source's fingerprint.
    """

    folder: Folder
    name: str
    run: str

    @property
    def final(self) -> Entry:
        """The finished group."""
        return self.folder / self.name

    @property
    def part(self) -> Entry:
        """The group as it is written."""
        return self.folder / f"{self.name}.part"

    def n_bytes(self) -> int:
        """Bytes of the finished group on disk."""
        files = (self.folder.path / self.name).rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())

    def arrays(self, dataset: SourceDataset) -> PreparedArrays:
        """What tasks write."""
        path = str(self.folder.path / self.part.name)
        described = dataset.description
        return PreparedArrays(path, self.run, described.has_weights, described.residuals)

    def finished_arrays(self, dataset: SourceDataset) -> PreparedArrays:
        """The finished rows, to be read, and written where they are damaged."""
        path = str(self.folder.path / self.name)
        described = dataset.description
        return PreparedArrays(path, None, described.has_weights, described.residuals)


def is_prepared(dataset: SourceDataset, target: PreparedTarget) -> bool:
    """Whether the rows of these very data are there."""
    return target.arrays(dataset).is_finished(target.final)


def prepare(
    dataset: SourceDataset,
    executor: Executor,
    target: PreparedTarget,
    *,
    retry_s: float = 0.0,
    note: Callable[[str], None] = lambda _: None,
) -> None:
    """Read all parts of a source and publish their rows; nothing where that was done before.

    Parameters
    ----------
    dataset
        Whose source is read.
    executor
        Where tasks run.
    target
        Where the rows go.
    retry_s
        Seconds for which reads of the source that fail transiently are tried again.
    note
        Called with how many rows are there, every so many seconds.

    Raises
    ------
    DataError
        If a part is damaged, has other rows than it said, or the source has changed.
    UnavailableError
        If reading some parts ends every worker that does.
    OutputFailedError
        If rows cannot be written.
    """
    arrays = target.arrays(dataset)
    if not arrays.is_finished(target.final):
        if not arrays.is_finished(target.part):
            if not arrays.is_begun(target.part):
                arrays.create(target.part, dataset)
            reader = GroupReader(dataset, _groups(dataset), arrays, retry_s)
            read = _read_and_join(reader, executor, PrepareProgress(dataset.n_samples, note))
            dataset.source.check_unchanged()
            arrays.note_missing(target.part, read.missing, dataset.n_features)
            finish_outputs(target.part, target.run)
        with output_failures(f"cannot rename {target.part} to {target.final}"):
            target.folder.replace(target.part.name, target.final.name)
    arrays.remove_edges(target.part)


def with_prepared_rows(dataset: SourceDataset, target: PreparedTarget) -> SourceDataset:
    """The data set with its rows, which `prepare` has written."""
    return dataset.with_prepared(opened(target))


def opened(target: PreparedTarget) -> StoredDataset:
    """The prepared rows as a data set of their own."""
    return open_zarr(str(target.folder.path / target.name), ROWS)


def counted_missing(rows: StoredDataset) -> MissingCounts | None:
    """What rows lack, as it was counted when they were prepared; None where it was not.

    A record of other rows than there are is none. Of an array that is read in place values may have
    been changed since: nothing may be refused by it.
    """
    prepared = rows.prepared if isinstance(rows, SourceDataset) else rows
    if prepared is None:
        return None
    found = MissingCounts.of_record(prepared.attributes.get(MISSING_ATTRIBUTE), rows.n_features)
    if found is None:
        return None
    n_rows = found.patterns.n_rows + found.n_empty + found.n_weightless
    return found if n_rows == prepared.n_samples else None


def _groups(dataset: SourceDataset) -> tuple[Group, ...]:
    return groups_of(dataset.parts, dataset.chunk_rows)


def _read_and_join(
    reader: GroupReader, executor: Executor, progress: PrepareProgress
) -> PreparedCount:
    dataset, groups = reader.dataset, reader.groups
    with groups_named(groups):
        read = map_reduce(
            executor, reader, len(groups), most_blocks=_MOST_GROUPS, progress=progress
        )
    if read.n_rows != dataset.n_samples:
        raise DataError(
            f"{read.n_rows:,} rows were prepared of {dataset.n_samples:,}: the data changed"
        )
    shared = shared_chunks(groups, dataset.chunk_rows, dataset.n_samples)
    if shared:
        joiner = ChunkJoiner(shared, reader.arrays, dataset.chunk_rows, dataset.n_samples)
        map_reduce(executor, joiner, len(shared), most_blocks=_MOST_GROUPS)
    return read
