"""Rows of a Zarr array on disk, version 2 or 3, in any chunking, read block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dgmm.data.decoding import Decoding
from dgmm.data.feature_names import feature_names_from
from dgmm.data.fill_value import FillValue
from dgmm.data.row_block import RowBlock, Rows
from dgmm.data.valid_range import ValidRange
from dgmm.data.zarr.absent_chunks import find_absent
from dgmm.data.zarr.chunk_listing import list_chunks
from dgmm.data.zarr.chunk_reading import ChunkReader, check_openable
from dgmm.data.zarr.conventions import meaning_of
from dgmm.data.zarr.coordinates import feature_names
from dgmm.data.zarr.layout import layout_of
from dgmm.data.zarr.node import find_array
from dgmm.data.zarr.read_ahead import bands, read_ahead
from dgmm.data.zarr.row_reader import RowReader
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockGrid, BlockRange
from dgmm.runtime.row_cache import process_cache

AbsentPolicy = Literal["error", "fill"]
#: A read larger than the first is worth a warning; one larger than the second fits no machine.
_WARNED_READ_BYTES, _MOST_READ_BYTES = 2**30, 2**40
#: Chunks this small and this many make reading slower than computing.
_TINY_BYTES, _MANY_CHUNKS = 2**16, 100_000


@dataclass(frozen=True, slots=True)
class ZarrDataset:
    """Rows (n, d) of one Zarr array; picklable, opened once in each process that reads it.

    Made by `open_zarr`, and by `open_in_store`.

    Parameters
    ----------
    reader : RowReader
    feature_names : tuple of str
    attributes : mapping
        The array's own.
    chunks_digest : str
        SHA-256 of the chunks' keys, sizes and times.
    warnings : tuple of str
        What a user should know of how the array is stored.
    cache_bytes : int
        Bytes of decoded rows that each process that reads may cache for the next pass.
    fill_value : FillValue, optional
        What stands where nothing was written, unless that is NaN.
    valid_range : ValidRange, optional
        Outside of which values stand for missing ones.
    decoding : Decoding, optional
        How the values follow from the stored numbers, where they are others.
    has_names : bool
        False of rows that an array without names was written to: features go by position.
    """

    reader: RowReader
    feature_names: tuple[str, ...]
    attributes: Mapping[str, Any]
    chunks_digest: str
    warnings: tuple[str, ...]
    cache_bytes: int = 0
    fill_value: FillValue | None = None
    valid_range: ValidRange | None = None
    decoding: Decoding | None = None
    has_names: bool = True

    @property
    def n_samples(self) -> int:
        """Rows."""
        return self.reader.layout.shape[0]

    @property
    def n_features(self) -> int:
        """Columns."""
        return self.reader.layout.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a value as meant, in native byte order."""
        stored = self.reader.layout.dtype
        return stored if self.decoding is None else self.decoding.dtype

    @property
    def grid(self) -> BlockGrid:
        """How the rows are cut into blocks."""
        return BlockGrid(self.n_samples, self.n_features)

    @property
    def zarr_format(self) -> Literal[2, 3]:
        """The version in which the array is stored."""
        return 2 if self.reader.zarr_format == 2 else 3

    @property
    def rows_per_read(self) -> int:
        """Rows decoded at once: whole chunks, at least a block's rows."""
        unit_rows = self.reader.layout.unit_shape[0]
        return unit_rows * -(-self.grid.rows_per_block // unit_rows)

    @property
    def read_bytes(self) -> int:
        """Bytes one read decodes; a task that reads holds up to four times that: the rows in
        use, those read ahead, and on their way there the decoded and the encoded chunk.
        """
        layout = self.reader.layout
        unit_rows, unit_columns = layout.unit_shape
        rows = min(self.rows_per_read, layout.units[0] * unit_rows)
        itemsize = max(layout.dtype.itemsize, self.dtype.itemsize)
        return rows * layout.units[1] * unit_columns * itemsize

    def with_cache(self, n_bytes: int) -> ZarrDataset:
        """The same rows; each process that reads them may cache so many bytes for later passes.

        All data sets that are open in a process share its cache, see `runtime.row_cache`.
        """
        return replace(self, cache_bytes=n_bytes)

    def with_retries(self, seconds: float) -> ZarrDataset:
        """The same rows; reads that fail transiently are tried again for so long."""
        return replace(self, reader=self.reader.with_retries(seconds))

    def read_blocks(self, blocks: BlockRange) -> Iterator[RowBlock]:
        """Yield blocks, read only, decoding each chunk once and one read ahead.

        Rows that the process has cached in an earlier pass are not decoded again.

        Raises
        ------
        DataError
            If a chunk is damaged, or was listed and is gone.
        DataNotFoundError
            If a chunk cannot be read.
        """
        start, stop = self.grid.rows_of_range(blocks)
        reads = read_ahead(self._decoded, bands(start, stop, self.rows_per_read), self._cached)
        band = np.empty((0, self.n_features), self.dtype)
        try:
            for block in range(blocks.start, blocks.stop):
                start, stop = self.grid.rows(block)
                parts, missing = [band[: stop - start]], stop - start - len(band)
                while missing > 0:
                    band = next(reads)
                    parts.append(band[:missing])
                    missing -= len(band)
                band = band[len(parts[-1]) :]
                yield RowBlock(block, start, _joined(parts))
        finally:
            reads.close()

    def _cached(self, start: int, stop: int) -> Rows | None:
        """Rows [start, stop) of one band, where they are cached."""
        if not self.cache_bytes:
            return None
        return process_cache.find(self._identity, start // self.rows_per_read, start, stop)

    def _decoded(self, start: int, stop: int) -> Rows:
        """Rows [start, stop) of one band, cached for the next pass while the budget lasts."""
        rows = self.reader.rows(start, stop)
        if self.decoding is not None:
            rows = self.decoding.apply(rows)
        rows.flags.writeable = False
        if self.cache_bytes:
            band = start // self.rows_per_read
            process_cache.add(self._identity, band, start, rows, self.cache_bytes)
        return rows

    @property
    def _identity(self) -> tuple[str, str, str]:
        """What identifies cached rows: a chunk written again is another data set's."""
        return self.reader.folder, self.reader.digest, self.chunks_digest

    def locate(self, row: int) -> str:
        """The chunk that holds a row."""
        layout = self.reader.layout
        return f"{layout.name((row // layout.unit_shape[0], 0))}, row {row}"

    def fingerprint(self) -> dict[str, Any]:
        """Shape, type, and digests of metadata and chunk listing as they were when opened."""
        return {
            "shape": [self.n_samples, self.n_features],
            "dtype": self.reader.layout.dtype.name,
            "metadata_sha256": self.reader.digest,
            "chunks_sha256": self.chunks_digest,
        }

    def check_unchanged(self) -> None:
        """List the chunks again and compare, in a local folder.

        Raises
        ------
        DataError
            If a chunk was added, removed or written since the array was opened.
        """
        self.reader.check_unchanged(self.chunks_digest)


def open_zarr(
    path: str, array: str | None = None, *, absent_chunks: AbsentPolicy = "error"
) -> ZarrDataset:
    """Open an array for reading.

    Parameters
    ----------
    path : str
        Local folder of an array or of a group.
    array : str, optional
        Name of the array; only where `path` is a group.
    absent_chunks
        Whether chunks that do not exist are an error or hold the fill value.

    Raises
    ------
    DataError
        If it is no array of rows × features of real numbers, is damaged, lacks chunks, holds dates
        or time spans, or is a map of one variable.
    DataNotFoundError
        If the path is absent or not readable.
    """
    node = find_array(path, array)
    layout = layout_of(node)
    fill_value = check_openable(node, layout)
    meaning = meaning_of(node.folder, node.attributes, layout.dtype, node.zarr_format, fill_value)
    names, unnamed = feature_names(node, layout.shape)
    source = f"{node.folder}: attribute feature_names"
    listing = list_chunks(Path(node.folder), layout)
    absent = find_absent(Path(node.folder), layout, listing, fill=absent_chunks == "fill")
    dataset = ZarrDataset(
        ChunkReader(node.folder, node.zarr_format, node.digest, layout, absent),
        feature_names_from(names, layout.shape[1], source),
        node.attributes,
        listing.digest,
        warnings=(),
        fill_value=meaning.fill_value,
        valid_range=meaning.valid_range,
        decoding=meaning.decoding,
    )
    return with_warnings(dataset, (*meaning.warnings, *unnamed))


def with_warnings(dataset: ZarrDataset, warnings: tuple[str, ...]) -> ZarrDataset:
    """The data set with these warnings and those of how it is stored.

    Raises
    ------
    DataError
        If one read would take more than any machine has.
    """
    _refuse_giant(dataset)
    return replace(dataset, warnings=(*warnings, *_warnings(dataset)))


def _joined(parts: list[Rows]) -> Rows:
    """Consecutive rows as one array: a view where they lie in one band."""
    filled = [part for part in parts if len(part)]
    return filled[0] if len(filled) == 1 else np.concatenate(filled)


def _refuse_giant(dataset: ZarrDataset) -> None:
    if dataset.read_bytes > _MOST_READ_BYTES:
        layout = dataset.reader.layout
        raise DataError(
            f"{dataset.reader.folder}: chunks of {layout.unit_shape} make one read "
            f"{dataset.read_bytes:.3g} bytes; metadata claim {layout.claim()}. {_advice(dataset)}"
        )


def _advice(dataset: ZarrDataset) -> str:
    return f"Rewrite it in chunks of about {dataset.grid.rows_per_block} rows"


def _warnings(dataset: ZarrDataset) -> Iterator[str]:
    """What a user should know of how the array is stored."""
    layout, folder = dataset.reader.layout, dataset.reader.folder
    n_units, absent = layout.units[0] * layout.units[1], dataset.reader.absent.count
    advice = _advice(dataset)
    if absent:
        yield f"{folder}: {absent:,} of {n_units:,} chunks do not exist and are read as fill values"
    if dataset.read_bytes > _WARNED_READ_BYTES:
        yield (
            f"{folder}: chunks of {layout.unit_shape} make one read "
            f"{dataset.read_bytes / 2**30:.1f} GiB, and every task holds up to four of them. "
            f"{advice}"
        )
    unit_bytes = layout.unit_shape[0] * layout.unit_shape[1] * layout.dtype.itemsize
    if n_units > _MANY_CHUNKS and unit_bytes < _TINY_BYTES:
        yield (
            f"{folder}: {n_units:,} chunks of {unit_bytes:,} bytes; opening them takes longer than "
            f"computing. {advice}"
        )
    if not layout.is_index_readable:
        yield (
            f"{folder}: its shards' index is encoded unusually, so inner chunks that do not exist "
            "cannot be told apart from those full of fill values"
        )
